"""Errors as problem documents (RFC 9457): one table says which error has which code and status. Codes are stable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from escrowd.api.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    MethodNotAllowed,
    NoSuchPath,
    TooManyRequests,
    WrongMediaType,
)
from escrowd.domain.address import InvalidAddress
from escrowd.domain.cause import present_cause
from escrowd.domain.conflicts import (
    NoSuchDelivery,
    NoSuchEscrow,
    NoSuchWebhook,
    PayoutAlreadyOpen,
    TooManyWebhooks,
    VersionConflict,
)
from escrowd.domain.errors import EscrowdError, Fault, InvalidInput, Retry
from escrowd.domain.escrow.machine import IllegalMove, InvalidShare
from escrowd.domain.escrow.terms import InvalidTerms
from escrowd.domain.payouts.floor import AmountTooSmall
from escrowd.domain.payouts.plan import NotAllThere, Uneconomic
from escrowd.service.admission import Draining, EndsAfterFork
from escrowd.service.errors import CustodyNotOffered, MessagesNotOffered
from escrowd.service.front.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    NoSuchKey,
    NotAuthenticated,
    NothingToPayOut,
    NotPermitted,
    Overloaded,
)
from escrowd.service.webhooks.errors import UnknownEventType, UnusableUrl, WebhookIsOff
from escrowd.wire.problems import Problem


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem: its status, its code, and what is wrong in general."""

    status: int
    code: str
    title: str


_OVERLOADED: Final = Kind(503, "overloaded", "There is too much to do at the moment")
#: The first class in the ancestry of an error that stands here says what kind of problem it is.
KINDS: Final[dict[type[EscrowdError], Kind]] = {
    MalformedBody: Kind(400, "malformed_json", "The body is not JSON"),
    IdempotencyKeyInvalid: Kind(400, "idempotency_key_invalid", "The Idempotency-Key has not the form of one"),
    NotAuthenticated: Kind(401, "not_authenticated", "No key, or one that opens nothing"),
    NotPermitted: Kind(403, "not_permitted", "The key does not allow this"),
    NoSuchEscrow: Kind(404, "no_such_escrow", "There is no such escrow"),
    NoSuchKey: Kind(404, "no_such_key", "There is no such key"),
    NoSuchWebhook: Kind(404, "no_such_webhook", "There is no such webhook"),
    NoSuchDelivery: Kind(404, "no_such_delivery", "There is no such delivery"),
    NoSuchPath: Kind(404, "no_such_path", "There is nothing at this path"),
    MethodNotAllowed: Kind(405, "method_not_allowed", "The path does not take this method"),
    IllegalMove: Kind(409, "not_allowed_now", "The status of the escrow does not allow this"),
    NothingToPayOut: Kind(409, "nothing_to_pay_out", "There is no final deposit to pay out"),
    Uneconomic: Kind(409, "uneconomic", "There is less to pay out than it costs"),
    NotAllThere: Kind(409, "not_all_there", "There is less that can be spent than was decided upon"),
    MessagesNotOffered: Kind(409, "messages_not_offered", "Messages are for a kind of custody that is not offered"),
    VersionConflict: Kind(409, "changed_meanwhile", "Somebody else changed the escrow in between"),
    PayoutAlreadyOpen: Kind(409, "payout_under_way", "A payout is under way"),
    TooManyWebhooks: Kind(409, "too_many_webhooks", "There are as many webhooks as there may be"),
    WebhookIsOff: Kind(409, "webhook_is_off", "The webhook is switched off"),
    Draining: Kind(409, "draining", "New escrows are not taken at the moment"),
    EndsAfterFork: Kind(409, "ends_after_fork", "The escrow may last beyond an announced hard fork"),
    BodyTooLarge: Kind(413, "body_too_large", "The body is too large"),
    WrongMediaType: Kind(415, "wrong_media_type", "The body must be JSON"),
    InvalidRequest: Kind(422, "invalid_request", "Parts of the request are wrong"),
    IdempotencyKeyReused: Kind(422, "idempotency_key_reused", "The Idempotency-Key was used for another request"),
    InvalidAddress: Kind(422, "invalid_address", "An address is not one of this network"),
    UnusableUrl: Kind(422, "unusable_url", "Events are not sent to this URL"),
    UnknownEventType: Kind(422, "unknown_event_type", "There are no events of this type"),
    InvalidShare: Kind(422, "invalid_share", "The share cannot be paid"),
    AmountTooSmall: Kind(422, "amount_too_small", "The amount is too small for the network fee of its payout"),
    InvalidTerms: Kind(422, "invalid_terms", "The terms cannot be kept"),
    InvalidInput: Kind(422, "invalid_input", "A value is wrong"),
    CustodyNotOffered: Kind(422, "custody_not_offered", "This kind of custody is not offered"),
    TooManyRequests: Kind(429, "too_many_requests", "Too many requests"),
    Overloaded: _OVERLOADED,
}
_INTERNAL: Final = Kind(500, "internal_error", "Something went wrong in escrowd")
#: What an error is that does not stand above, by whose fault it is.
_OTHERS: Final = {
    # Who called wrongly was escrowd itself, on the way to something else: what callers of the API can do stands above.
    Fault.CALLER: _INTERNAL,
    Fault.OPERATOR: Kind(503, "not_available", "The service needs its operator"),
    Fault.MONERO: Kind(503, "monero_not_available", "The Monero daemon or a wallet did not answer"),
    Fault.LOAD: _OVERLOADED,
    Fault.ESCROWD: _INTERNAL,
}
_SEE_LOG: Final = "the log of the service tells more under the id of this request"
#: Seconds after which a service that was not available may be asked again.
RETRY_AFTER: Final = 5
MEDIA_TYPE: Final = "application/problem+json"
#: What the type of a problem begins with; its code follows.
TYPE_PREFIX: Final = "urn:escrowd:problem:"


def kind_of(error: EscrowdError) -> Kind:
    """Return what kind of problem an error is."""
    known = next((KINDS[each] for each in type(error).__mro__ if each in KINDS), None)
    return known or _OTHERS[error.fault]


def problem_response(error: EscrowdError) -> Response:
    """Answer an error. Of what goes wrong behind the API nothing is told but its kind: the log has the rest."""
    kind = kind_of(error)
    problem = Problem(
        type=TYPE_PREFIX + kind.code,
        title=kind.title,
        status=kind.status,
        code=kind.code,
        detail=str(error) if kind.status < _INTERNAL.status or kind is _OVERLOADED else f"{kind.title}; {_SEE_LOG}",
        instance=present_cause() or None,
        retry=str(error.retry),
        allowed_actions=error.allowed if isinstance(error, IllegalMove) else None,
        errors=error.errors if isinstance(error, InvalidRequest) else (),
    )
    body = problem.model_dump_json(exclude_none=True, exclude_defaults=False)
    return Response(body, kind.status, _headers(error, kind), MEDIA_TYPE)


def all_kinds() -> Sequence[Kind]:
    """Return every kind once, by status and code."""
    kinds = {each.code: each for each in (*_OTHERS.values(), *KINDS.values())}
    return sorted(kinds.values(), key=lambda each: (each.status, each.code))


# ---------------------------------------------------------------------------------------------------------------------


def _headers(error: EscrowdError, kind: Kind) -> dict[str, str]:
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(max(1, round(error.seconds)))}
    if isinstance(error, NotAuthenticated):
        return {"WWW-Authenticate": "Bearer"}
    is_worth_it = kind.status == _UNAVAILABLE and error.retry is not Retry.POINTLESS
    return {"Retry-After": str(RETRY_AFTER)} if is_worth_it else {}


_UNAVAILABLE: Final = 503
