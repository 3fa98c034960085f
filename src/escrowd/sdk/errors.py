"""What a client raises.

Two questions matter to whoever catches an error: did something happen, and may it be tried again? Every error says so
in ``retry``: ``safe`` (nothing happened, the same call may be made again), ``pointless`` (nothing happened, and it will
fail the same way), ``unknown`` (it may have happened: go on with the same ``idempotency_key``). None holds the token.
"""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from escrowd.wire.escrows import Escrow, Status
from escrowd.wire.problems import FieldProblem, Problem

Retry = Literal["safe", "pointless", "unknown"]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of a call that went wrong."""

    status: int | None = None
    #: Stable: programs may rely on it.
    code: str | None = None
    retry: Retry | None = None
    problem: Problem | None = None
    request_id: str | None = None
    idempotency_key: str | None = None
    #: Seconds that the server asks to wait.
    retry_after: float | None = None


class EscrowClientError(Exception):
    """A call did not do what it should. The root of all errors of the clients."""

    #: What it is called where the server gave no code.
    default_code: ClassVar[str] = "error"
    default_retry: ClassVar[Retry] = "pointless"

    def __init__(self, message: str, circumstances: Circumstances | None = None) -> None:
        super().__init__(message)
        self.circumstances: Final = circumstances or Circumstances()

    @property
    def code(self) -> str:
        """A stable name of what went wrong, as the server gave it."""
        return self.circumstances.code or self.default_code

    @property
    def status(self) -> int | None:
        """The HTTP status; ``None`` where no answer came."""
        return self.circumstances.status

    @property
    def retry(self) -> Retry:
        """What making the same call again would mean: ``safe``, ``pointless`` or ``unknown``."""
        return self.circumstances.retry or self.default_retry

    @property
    def problem(self) -> Problem | None:
        """The problem document of the server, where it sent one."""
        return self.circumstances.problem

    @property
    def request_id(self) -> str | None:
        """What the server calls this request in its log."""
        return self.circumstances.request_id

    @property
    def idempotency_key(self) -> str | None:
        """The key of the call, to go on with where its outcome is unknown."""
        return self.circumstances.idempotency_key

    @property
    def retry_after(self) -> float | None:
        """How many seconds the server asks to wait."""
        return self.circumstances.retry_after


class ConnectionFailed(EscrowClientError):
    """The server was not reached, or a reading call was not answered. Nothing happened."""

    default_code = "connection_failed"
    default_retry: ClassVar[Retry] = "safe"


class OutcomeUnknown(EscrowClientError):
    """A changing call was tried to the end, and may have been carried out.

    Make the same call with the same ``idempotency_key`` later: it is carried out once, or its stored answer comes. What
    the last try met is the error's ``__cause__``.
    """

    default_code = "outcome_unknown"
    default_retry: ClassVar[Retry] = "unknown"


class UnreadableAnswer(EscrowClientError):
    """What answers is not the API that this client knows: another program, a proxy, or another version."""

    default_code = "unreadable_answer"
    default_retry: ClassVar[Retry] = "unknown"


class Refused(EscrowClientError):
    """The server refused the call. Nothing happened."""

    default_code = "refused"


class Invalid(Refused):
    """What was given has the wrong form. Found by the server, or by the client before anything was sent."""

    default_code = "invalid"

    @property
    def errors(self) -> tuple[FieldProblem, ...]:
        """What is wrong with which part of the request."""
        return self.problem.errors if self.problem else ()


class Unauthorised(Refused):
    """The server does not know the key or token."""

    default_code = "unauthorised"


class Forbidden(Refused):
    """The key or token is good, but not for this."""

    default_code = "forbidden"


class NotFound(Refused):
    """There is no such thing, or it is not for the caller to see."""

    default_code = "not_found"


class Conflict(Refused):
    """It does not fit what is there already."""

    default_code = "conflict"


class NotAllowed(Conflict):
    """The status of the escrow does not allow this move, or not to this caller."""

    default_code = "not_allowed"

    @property
    def allowed_actions(self) -> tuple[str, ...]:
        """What the caller may do to the escrow instead."""
        return (self.problem.allowed_actions if self.problem else None) or ()


class TooManyRequests(Refused):
    """The caller asks more often than it may, and did so to the last try."""

    default_code = "too_many_requests"
    default_retry: ClassVar[Retry] = "safe"


class ServerError(EscrowClientError):
    """The server could not do it, for a reason of its own."""

    default_code = "server_error"
    default_retry: ClassVar[Retry] = "unknown"


class StillWaiting(EscrowClientError):
    """The escrow did not come to the status in time. It goes on without us, and may be waited for again."""

    default_code = "still_waiting"
    default_retry: ClassVar[Retry] = "safe"

    def __init__(self, message: str, escrow: Escrow | None = None) -> None:
        super().__init__(message)
        #: The escrow as it was seen last.
        self.escrow: Final = escrow


class EndedOtherwise(EscrowClientError):
    """The escrow came to an end, and not in a status that was waited for."""

    default_code = "ended_otherwise"

    def __init__(self, message: str, escrow: Escrow | None = None) -> None:
        super().__init__(message)
        #: The escrow as it ended.
        self.escrow: Final = escrow


#: Statuses in which an escrow has ended. Money that comes late is returned, but the status stays.
ENDED: Final[frozenset[Status]] = frozenset(("completed", "refunded", "split", "expired", "cancelled"))
