"""The story: what happens to wallet sessions in the life of a service, as a list of acts.

The story is data. Who shows it, and how, is a matter of the reporter.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from escrowd.demo import acts
from escrowd.demo.stage import Facts, Measured, Stage


@dataclass(frozen=True, slots=True)
class Act:
    """One act: its name for programs, its title for people, and how it is played."""

    name: str
    title: str
    play: Callable[[Stage], Awaitable[Facts]]


@dataclass(frozen=True, slots=True)
class Step:
    """An act that was played: how many seconds it took, and what was seen."""

    name: str
    title: str
    seconds: float
    facts: Facts


ACTS: Final = (
    Act("chain", "Start a private Monero chain", acts.start_a_chain),
    Act("sessions", "Open the wallet sessions of three escrows", acts.open_three_sessions),
    Act("deposit", "Pay a deposit into the first escrow", acts.pay_a_deposit),
    Act("balance", "Look at the balance ten times, on the open session", acts.look_at_the_balance),
    Act("capacity", "Use a fourth escrow where three may be open", acts.use_one_escrow_too_many),
    Act("killed_wallet", "Kill a wallet process with kill -9", acts.kill_a_wallet),
    Act("swapped_wallet", "Swap a wallet behind the service's back", acts.swap_a_wallet),
    Act("killed_service", "Kill the service itself with kill -9", acts.kill_the_service),
    Act("close", "Save and close everything", acts.close_everything),
)


class Reporter(Protocol):
    """Who shows the story."""

    def begins(self, act: Act) -> None:
        """Show that an act begins."""
        ...

    def says(self, what: str) -> None:
        """Show what goes on inside the act."""
        ...

    def ends(self, step: Step) -> None:
        """Show what came of the act."""
        ...


async def tell(reporter: Reporter) -> Measured:
    """Play all acts, one after the other. At the end nothing runs any more, also when an act fails.

    Raises:
        ClaimFailed: something did not happen as the story claims.
        EscrowdError: something could not be done at all.

    """
    async with Stage(reporter.says) as stage:
        for act in ACTS:
            reporter.begins(act)
            stage.act_began = len(stage.calls)
            started = time.monotonic()
            facts = await act.play(stage)
            reporter.ends(Step(act.name, act.title, time.monotonic() - started, facts))
            stage.note_processes()
    return stage.measured
