"""Drives plans without network and time: every step is answered from a list, and a pause takes its least."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from escrowd.sdk.errors import EscrowClientError
from escrowd.sdk.steps import Give, Listen, Outcome, Pause, Read, Request, Send, Step

ResultT = TypeVar("ResultT")


@dataclass
class Run(Generic[ResultT]):
    """What a plan did. A plan whose answers ran out was stopped there, and has neither result nor error."""

    steps: list[Step] = field(default_factory=list)
    given: list[Any] = field(default_factory=list)
    result: ResultT | None = None
    error: EscrowClientError | None = None

    @property
    def requests(self) -> list[Request]:
        """All requests, in order."""
        return [step.request for step in self.steps if isinstance(step, Send | Listen)]

    @property
    def pauses(self) -> list[Pause]:
        """All pauses, in order."""
        return [step for step in self.steps if isinstance(step, Pause)]

    def query(self, index: int) -> dict[str, str]:
        """Return the query of one request."""
        return dict(self.requests[index].query)


def drive(plan: Generator[Step | Give[Any], Outcome, ResultT], *outcomes: Outcome) -> Run[ResultT]:
    """Carry out a plan on these outcomes of its requests and readings, to its end or to theirs."""
    run, rest = Run[ResultT](), iter(outcomes)
    try:
        step = next(plan)
        while True:
            outcome = _outcome(step, rest, run)
            if outcome is None:
                plan.close()
                return run
            step = plan.send(outcome)
    except StopIteration as end:
        run.result = end.value
    except EscrowClientError as error:
        run.error = error
    return run


def _outcome(step: Step | Give[Any], rest: Iterator[Outcome], run: Run[ResultT]) -> Outcome | None:
    match step:
        case Give():
            run.given += step.items
            return Outcome()
        case Pause():
            run.steps.append(step)
            return Outcome(seconds=step.least)
        case Send() | Listen() | Read():
            outcome = next(rest, None)
            if outcome is not None:
                run.steps.append(step)
            return outcome
