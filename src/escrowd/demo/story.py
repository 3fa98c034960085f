"""The story as data: which acts each scenario has. Who shows it, and how, is a matter of the reporter."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from escrowd.demo import acts
from escrowd.demo.stage import Facts, Stage


class Scenario(StrEnum):
    """How an escrow ends."""

    RELEASE = "release"
    REFUND = "refund"
    SPLIT = "split"
    DISPUTE = "dispute"


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


_PROLOGUE: Final = (
    Act("chain", "Start a private Monero chain", acts.start_a_chain),
    Act("service", "Start the service", acts.start_the_service),
)
_EPILOGUE: Final = (Act("close", "Stop everything", acts.close_everything),)

_CREATE: Final = Act("create", "Make a 2-of-3 escrow", acts.create)
_FUND: Final = Act("fund", "Pay the deposit", acts.fund)
_DELIVER: Final = Act("deliver", "The vendor delivers", acts.deliver)
_PAY: Final = Act("payout", "Sign with two of three keys, send, confirm", acts.pay_out)
_PROVE: Final = Act("proof", "Prove it from outside", acts.prove_from_outside)

#: What is said in each scenario, between the deposit and the payout.
_WORDS: Final = {
    Scenario.RELEASE: (_DELIVER, Act("release", "The buyer releases", acts.release)),
    Scenario.REFUND: (Act("refund", "The vendor gives the money back", acts.refund),),
    Scenario.SPLIT: (Act("split", "Buyer and vendor agree on a split", acts.agree_on_a_split),),
    Scenario.DISPUTE: (
        _DELIVER,
        Act("dispute", "The buyer disputes", acts.dispute),
        Act("rule", "The arbiter rules", acts.rule),
    ),
}


def acts_of(scenarios: Sequence[Scenario]) -> tuple[Act, ...]:
    """Return the acts of a story with these scenarios, in order. An act of a scenario is named after it."""
    played = [
        Act(f"{scenario}.{act.name}", act.title, act.play)
        for scenario in scenarios
        for act in (_CREATE, _FUND, *_WORDS[scenario], _PAY, _PROVE)
    ]
    return (*_PROLOGUE, *played, *_EPILOGUE)


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


async def tell(reporter: Reporter, scenarios: Sequence[Scenario]) -> tuple[Step, ...]:
    """Play all acts, one after the other. At the end nothing runs any more, also when an act fails.

    Raises:
        ClaimFailed: something did not happen as the story claims.
        EscrowdError: something could not be done at all.

    """
    steps = []
    async with Stage(reporter.says, len(scenarios)) as stage:
        for act in acts_of(scenarios):
            reporter.begins(act)
            started = time.monotonic()
            facts = await act.play(stage)
            steps.append(Step(act.name, act.title, time.monotonic() - started, facts))
            reporter.ends(steps[-1])
    return tuple(steps)
