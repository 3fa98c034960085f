"""Errors of the HTTP layer: what is wrong with a request before anybody looks at what it asks for."""

from collections.abc import Sequence

from escrowd.domain.errors import EscrowdError, Fault, Retry
from escrowd.wire.problems import FieldProblem


class MalformedBody(EscrowdError):
    """The body is not JSON."""

    fault = Fault.CALLER


class WrongMediaType(EscrowdError):
    """The body must be JSON, with the header 'Content-Type: application/json'."""

    fault = Fault.CALLER


class BodyTooLarge(EscrowdError):
    """The body is larger than this service takes."""

    fault = Fault.CALLER


class InvalidRequest(EscrowdError):
    """Parts of the request are missing, unknown or have values that cannot be."""

    fault = Fault.CALLER

    def __init__(self, errors: Sequence[FieldProblem]) -> None:
        super().__init__("; ".join(f"{each.field}: {each.message}" for each in errors))
        self.errors = tuple(errors)


class NoSuchPath(EscrowdError):
    """There is nothing at this path; /docs shows what there is."""

    fault = Fault.CALLER


class MethodNotAllowed(EscrowdError):
    """The path does not take this method; /docs shows which ones it does."""

    fault = Fault.CALLER


class TooManyRequests(EscrowdError):
    """There were more requests in a minute than this key may make."""

    fault = Fault.LOAD
    retry = Retry.SAFE

    def __init__(self, seconds: float) -> None:
        super().__init__(f"there were more requests than this key may make; go on in {seconds:.0f} s")
        #: Until the next one is taken.
        self.seconds = seconds


class InternalError(EscrowdError):
    """Something went wrong in escrowd; the log tells more under the id of this request."""

    retry = Retry.UNKNOWN
