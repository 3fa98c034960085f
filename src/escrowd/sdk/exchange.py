"""One call with all its tries, as a plan: the same request with the same key, until it is answered or patience ends."""

from dataclasses import dataclass, replace
from typing import Final, Generic

from escrowd.sdk.calls import AnswerT, Call
from escrowd.sdk.errors import EscrowClientError, OutcomeUnknown
from escrowd.sdk.replies import answer_of, error_of
from escrowd.sdk.retries import TRIED_AGAIN, Retries
from escrowd.sdk.steps import Course, Outcome, Request, Send


@dataclass(frozen=True, slots=True)
class Answered(Generic[AnswerT]):
    """An answer, and how many seconds it took with all tries and pauses."""

    answer: AnswerT
    seconds: float


def exchange(call: Call[AnswerT], retries: Retries) -> Course[AnswerT]:
    """Make a call and return its answer.

    Raises:
        EscrowClientError: it was refused, or not answered to the last try.

    """
    return (yield from timed_exchange(call, retries)).answer


def timed_exchange(call: Call[AnswerT], retries: Retries) -> Course[Answered[AnswerT]]:
    """Make a call and return its answer, and how long that took.

    Raises:
        EscrowClientError: it was refused, or not answered to the last try.

    """
    request = call.request
    # What the server holds back on purpose is no time lost.
    patience = replace(retries, seconds=retries.seconds + call.held_seconds)
    tries, spent, may_have_happened = 0, 0.0, False
    while True:
        tries += 1
        seconds = min(retries.try_seconds + call.held_seconds, max(patience.seconds - spent, _SHORTEST_TRY))
        came = yield Send(request, seconds)
        spent += came.seconds
        error = error_of(request, came)
        if error is None or (may_have_happened and _is_removed(request, came)):
            return Answered(answer_of(call, came), spent)
        pause = patience.pause_after(tries, spent, error.retry_after) if is_tried_again(came, error) else None
        may_have_happened = may_have_happened or (request.changes and error.retry == "unknown")
        if pause is None:
            raise _final(request, error, tries, may_have_happened=may_have_happened)
        spent += (yield pause).seconds


def is_tried_again(came: Outcome, error: EscrowClientError) -> bool:
    """Return whether the same call may succeed a little later.

    After a conflict it may only where the server itself says that nothing happened and when to come back, as while it
    still works on an earlier try with the same key.
    """
    invited = came.status == 409 and error.retry == "safe" and error.retry_after is not None
    return came.failure is not None or came.status in TRIED_AGAIN or invited


# ---------------------------------------------------------------------------------------------------------------------

#: A try gets so many seconds, even at the very end of patience.
_SHORTEST_TRY: Final = 1.0
#: Refusals that are made before the key of a call is looked up: they say nothing of an earlier try.
_BEFORE_THE_KEY: Final = frozenset((401, 403, 429))


def _is_removed(request: Request, came: Outcome) -> bool:
    """Return whether something is not there because an earlier try removed it."""
    return request.method == "DELETE" and came.status == 404


def _final(request: Request, error: EscrowClientError, tries: int, *, may_have_happened: bool) -> EscrowClientError:
    is_settled = error.retry == "pointless" and error.status not in _BEFORE_THE_KEY
    if not may_have_happened or is_settled:
        return error
    key = request.idempotency_key
    advice = f"make it again with idempotency_key={key!r}" if key else "look before making it again"
    unknown = OutcomeUnknown(
        f"{request.method} {request.path} may have been carried out; {advice} (tried {tries} times; the last: {error})",
        replace(error.circumstances, code=OutcomeUnknown.default_code, retry="unknown"),
    )
    unknown.__cause__ = error
    return unknown
