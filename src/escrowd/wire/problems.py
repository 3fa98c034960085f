"""What went wrong, as RFC 9457 says it."""

from pydantic import Field

from escrowd.wire.values import Answer


class FieldProblem(Answer):
    """What is wrong with one part of a request."""

    #: Where: ``body.buyer.refund_address``, ``query.limit``.
    field: str
    message: str


class Problem(Answer):
    """A problem document, ``application/problem+json``."""

    #: The code as a URI. The reference of problems explains each.
    type: str = "about:blank"
    title: str
    status: int
    #: Stable: programs may rely on it.
    code: str
    detail: str
    #: What went wrong in this very case: the id of the request, to be found in the log.
    instance: str | None = None
    #: ``safe``: nothing happened, the same call may be made again. ``pointless``: it will fail again. ``unknown``: it
    #: may have happened; look before trying again, or try again with the same Idempotency-Key.
    retry: str = "pointless"
    #: What the caller may do to the escrow instead.
    allowed_actions: tuple[str, ...] | None = None
    errors: tuple[FieldProblem, ...] = Field(default=())
