"""Reads what came back: an answer as its type, or an error as one that says what it means."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, cast, get_args

from pydantic import BaseModel, ValidationError

from escrowd.sdk.calls import AnswerT, Call
from escrowd.sdk.errors import (
    Circumstances,
    Conflict,
    ConnectionFailed,
    EscrowClientError,
    Forbidden,
    Invalid,
    NotAllowed,
    NotFound,
    Refused,
    Retry,
    ServerError,
    TooManyRequests,
    Unauthorised,
    UnreadableAnswer,
)
from escrowd.sdk.retries import retry_after
from escrowd.sdk.steps import Outcome, Request
from escrowd.wire.problems import Problem


def error_of(request: Request, came: Outcome) -> EscrowClientError | None:
    """Return what went wrong with a request, or ``None`` where it was answered well."""
    if came.is_good:
        return None
    if came.failure is not None:
        retry: Retry = "unknown" if request.changes and came.failure.may_have_arrived else "safe"
        known = Circumstances(retry=retry, idempotency_key=request.idempotency_key)
        return ConnectionFailed(f"{request.method} {request.path}: {came.failure.reason}", known)
    problem = _problem(came)
    known = _circumstances(request, came, problem)
    kind = _kind(came.status, problem)
    said = problem.detail or problem.title if problem else "no problem document came with it"
    named = f" {known.code}" if known.code else ""
    traced = f" [request {known.request_id}]" if known.request_id else ""
    return kind(f"{request.method} {request.path}: {came.status}{named}: {said}{traced}", known)


def answer_of(call: Call[AnswerT], came: Outcome) -> AnswerT:
    """Return the answer of a call that was answered well.

    Raises:
        UnreadableAnswer: it is not the answer that this client knows.

    """
    if not issubclass(call.answer, BaseModel):
        return cast(AnswerT, None)
    try:
        return cast(AnswerT, call.answer.model_validate_json(came.body))
    except ValidationError as error:
        # Without the values and without the error: an answer may hold tokens and secrets.
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['type']}"
            for each in error.errors(include_url=False, include_input=False, include_context=False)[:3]
        )
    raise unreadable(call.request, came, f"{call.answer.__name__}: {wrong}")


def unreadable(request: Request, came: Outcome, why: str) -> UnreadableAnswer:
    """Return the error of an answer that cannot be read."""
    known = replace(_circumstances(request, came, None), retry="unknown" if request.changes else "pointless")
    return UnreadableAnswer(
        f"{request.method} {request.path}: answered with {came.status} and what is no answer of the API ({why}); "
        "is this the address of escrowd, and a version that fits?",
        known,
    )


# ---------------------------------------------------------------------------------------------------------------------

_KINDS: Final[Mapping[int, type[EscrowClientError]]] = {
    400: Invalid,
    401: Unauthorised,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: TooManyRequests,
}


def _kind(status: int, problem: Problem | None) -> type[EscrowClientError]:
    if status == 409 and problem is not None and problem.allowed_actions is not None:
        return NotAllowed
    if status >= 500:
        return ServerError
    return _KINDS.get(status, Refused if status >= 400 else UnreadableAnswer)


def _circumstances(request: Request, came: Outcome, problem: Problem | None) -> Circumstances:
    return Circumstances(
        status=came.status,
        code=problem.code if problem else None,
        retry=_retry(request, came.status, problem),
        problem=problem,
        request_id=came.headers.get("x-request-id") or (problem.instance if problem else None),
        idempotency_key=request.idempotency_key,
        retry_after=retry_after(came.headers),
    )


def _problem(came: Outcome) -> Problem | None:
    try:
        return Problem.model_validate_json(came.body)
    except ValidationError:
        return None


def _retry(request: Request, status: int, problem: Problem | None) -> Retry | None:
    known: tuple[Retry, ...] = get_args(Retry)
    said = next((each for each in known if problem is not None and each == problem.retry), None)
    if status < 400:
        return "pointless"
    if status >= 500 and not request.changes and said != "pointless":
        return "safe"
    return said
