"""Whether a new escrow is taken at the moment.

Not in drain mode, not if it may last beyond a hard fork, and not if its amount is too small for the network fee.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.escrow.facts import Moment
from escrowd.domain.escrow.terms import DAY, Terms
from escrowd.domain.forks import AnnouncedFork
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.floor import check_amount
from escrowd.service.engine import EngineState


class Draining(EscrowdError):
    """The service takes no new escrows; those that there are go on and are paid out."""

    fault = Fault.CALLER


class EndsAfterFork(EscrowdError):
    """The escrow may last beyond an announced hard fork."""

    fault = Fault.CALLER


class EngineNotSupported(EscrowdError):
    """The Monero underneath is one that this version of escrowd does not hold money on."""

    fault = Fault.OPERATOR


@dataclass(frozen=True, slots=True)
class AdmissionSettings:
    """Which new escrows are taken."""

    accept_new: bool = True
    end_before_fork: bool = False
    fork_margin_days: int = 3
    #: The least amount of an escrow, in expected network fees of its payout.
    min_fee_multiple: int = 10


class Admission:
    """Takes or refuses new escrows. Those that exist are no matter of it."""

    def __init__(
        self,
        settings: AdmissionSettings,
        state: Callable[[], EngineState],
        fee_rate: Callable[[], FeeRate | None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._state = state
        #: Returns what the network asked for lately; ``None`` where that is not known: then any amount is taken.
        self._fee_rate = fee_rate

    @property
    def is_draining(self) -> bool:
        """Whether all new escrows are refused."""
        return not self._settings.accept_new

    def warnings(self) -> Mapping[str, str]:
        """Return what an operator has to know while the service works, a sentence by name."""
        warnings, state = {}, self._state()
        if self.is_draining:
            warnings["draining"] = "new escrows are refused (escrows.accept_new = false); all others are settled"
        if state.fork is not None and state.blocks_left:
            warnings["fork_approaching"] = (
                f"hard fork {state.fork.version} is announced for height {state.fork.height}, in {state.blocks_left} "
                "blocks: see 'A hard fork is announced' in docs/operating.md"
            )
        return warnings

    def check(self, terms: Terms, moment: Moment) -> None:
        """Go on only where an escrow with these terms may begin now.

        Raises:
            Draining: new escrows are refused by a setting.
            EngineNotSupported: Monero was exchanged, or the chain is past a hard fork that escrowd does not know.
            EndsAfterFork: its deadlines reach beyond an announced fork; the message has the latest end.
            AmountTooSmall: the network fee would take too much of it; the message has the least amount.

        """
        if self.is_draining:
            raise Draining
        state = self._state()
        if not state.is_supported:
            raise EngineNotSupported("new escrows are refused: " + "; ".join(state.verdict.refusals))
        if self._settings.end_before_fork and state.fork is not None and state.height is not None:
            self._check_end(terms, moment, state.fork, state.height)
        rate = self._fee_rate()
        if rate is not None:
            check_amount(terms, rate, self._settings.min_fee_multiple)

    def _check_end(self, terms: Terms, moment: Moment, fork: AnnouncedFork, height: int) -> None:
        room = fork.seconds_left(height) - self._settings.fork_margin_days * DAY
        longest = terms.deadlines.longest
        if longest <= room:
            return
        raise EndsAfterFork(
            f"hard fork {fork.version} is announced for height {fork.height}, expected {_at(moment, fork, height)}; an "
            f"escrow must end {self._settings.fork_margin_days} days before that, so keying, funding, delivery, "
            f"inspection and twice ruling may be {max(0, room)} seconds together until {_in(moment, max(0, room))}, "
            f"and are {longest}; {_advice(room)}"
        )


# ---------------------------------------------------------------------------------------------------------------------


def _at(moment: Moment, fork: AnnouncedFork, height: int) -> str:
    return _in(moment, fork.seconds_left(height))


def _in(moment: Moment, seconds: int) -> str:
    at = datetime.fromtimestamp(moment.utc // 1000, UTC) + timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _advice(room: int) -> str:
    return "shorten the deadlines" if room > 0 else "no escrow can be made until the service knows the fork"
