"""Who may call what, and when: written down beside the routes, from the state table and a table of scopes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from escrowd.domain.escrow.events import (
    Cancelled,
    Delivered,
    DepositReorged,
    Disputed,
    Divided,
    Event,
    PayoutFailed,
    Refunded,
    Released,
    Resumed,
    Ruled,
    Settled,
    SpentOutside,
    SplitAccepted,
    SplitProposed,
)
from escrowd.domain.escrow.facts import DepositFacts, Escrow, HoldReason
from escrowd.domain.escrow.status import HOLDING, Status, Who
from escrowd.domain.escrow.table import TABLE
from tests.contract.api.visits import NEW
from tests.unit.domain.escrow.world import HALF, PATHS, Move, deadline_of

# --- operations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the OpenAPI document."""

    name: str
    method: str
    path: str

    def at(self, escrow: str) -> str:
        """Return the path for an escrow."""
        return self.path.format(escrow=escrow, role="vendor", webhook=NO_WEBHOOK, delivery="none")

    @property
    def is_about_an_escrow(self) -> bool:
        """Whether its path names one."""
        return "{escrow}" in self.path


def operations_of(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Yield all operations of a document."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield Operation(operation["operationId"], method.upper(), path)


#: No endpoint has this id.
NO_WEBHOOK: Final = "whk_01jd3v9k8z6x5w4t2r1q0p9n8m"
_SHARE: Final = {"vendor_share": str(HALF)}
#: What is said about an escrow, with what is sent for it.
ACTIONS: Final[dict[str, tuple[Event, dict[str, str]]]] = {
    "deliver": (Delivered(), {}),
    "release": (Released(), {}),
    "refund": (Refunded(), {}),
    "dispute": (Disputed(), {}),
    "rule": (Ruled(HALF), _SHARE),
    "propose_split": (SplitProposed(HALF), _SHARE),
    "accept_split": (SplitAccepted(HALF), _SHARE),
    "cancel": (Cancelled(), {}),
    "resume": (Resumed(), {}),
    "split": (Divided(HALF), _SHARE),
    "settle": (Settled("nothing is left"), {"reason": "nothing is left"}),
}
#: Whoever can reach the machine may call these.
OPEN: Final = frozenset({"healthz", "readyz", "metrics"})
#: Whoever may see the escrow may call these.
SEEN: Final = frozenset({"get_escrow", "get_log", "preview_payout"})
#: A party finds its own escrow here, and a key all of them.
LISTED: Final = frozenset({"list_escrows"})
#: What is refused to whoever may see the escrow: it is for keys that are not offered.
NOT_OFFERED: Final = frozenset({"list_messages", "send_message"})
#: What is asked of an endpoint that there is not.
OF_A_WEBHOOK: Final = (
    "get_webhook",
    "update_webhook",
    "delete_webhook",
    "rotate_webhook_secret",
    "list_deliveries",
    "redeliver",
)
_READ, _WRITE, _ARBITER, _ADMIN = "escrows:read", "escrows:write", "arbiter", "admin"
#: One of these scopes is needed, whatever the escrow; no party has any.
SCOPED: Final[dict[str, frozenset[str]]] = {
    "create_escrow": frozenset({_WRITE}),
    "list_links": frozenset({_WRITE, _ADMIN}),
    "rotate_link": frozenset({_WRITE, _ADMIN}),
    "list_events": frozenset({_READ, _ADMIN}),
    "stream_events": frozenset({_READ, _ADMIN}),
    **dict.fromkeys(("create_webhook", "list_webhooks"), frozenset({_WRITE, _ADMIN})),
    **dict.fromkeys(OF_A_WEBHOOK, frozenset({_WRITE, _ADMIN})),
    "list_sessions": frozenset({_ADMIN}),
    "session_stats": frozenset({_ADMIN}),
    "close_session": frozenset({_ADMIN}),
}
CLASSIFIED: Final = frozenset({*ACTIONS, *OPEN, *SEEN, *LISTED, *SCOPED, *NOT_OFFERED})
BODIES: Final[dict[str, dict[str, Any]]] = {
    "create_escrow": NEW,
    "preview_payout": {"action": "refund"},
    "create_webhook": {"url": "https://shop.example/hooks"},
    "update_webhook": {"enabled": False},
    **{name: body for name, (_, body) in ACTIONS.items()},
}
_GOOD: Final = {
    "create_escrow": 201,
    "create_webhook": 201,
    "close_session": 204,
    **dict.fromkeys(OF_A_WEBHOOK, 404),
}

# --- who calls -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who calls: with a key, with the token of a party, or with nothing that is good."""

    name: str
    scopes: frozenset[str] = frozenset()
    #: The role of a party.
    role: str | None = None
    #: Whether it is a party of the escrow that the call is about.
    is_of_this: bool = True
    is_known: bool = True

    def voices(self) -> frozenset[Who]:
        """Return as whom the visitor speaks about an escrow."""
        if self.role is not None:
            return frozenset({Who(self.role)})
        return frozenset(_VOICE_OF_SCOPE[each] for each in self.scopes if each in _VOICE_OF_SCOPE)


_VOICE_OF_SCOPE: Final = {_WRITE: Who.INTEGRATOR, _ARBITER: Who.ARBITER, _ADMIN: Who.OPERATOR}
_ROLES: Final = ("buyer", "vendor", "arbiter")
_KEYS: Final = (
    (_READ,),
    (_WRITE,),
    (_ARBITER,),
    (_ADMIN,),
    (_READ, _WRITE),
    (_WRITE, _ARBITER),
    (_READ, _WRITE, _ARBITER, _ADMIN),
)
VISITORS: Final = (
    *(Visitor(name, is_known=False) for name in ("nobody", "wrong token", "wrong scheme", "revoked key")),
    *(Visitor(f"key of {' '.join(scopes)}", frozenset(scopes)) for scopes in _KEYS),
    Visitor("operator", frozenset(_KEYS[-1])),
    *(Visitor(f"{role} of this", role=role) for role in _ROLES),
    *(Visitor(f"{role} of another", role=role, is_of_this=False) for role in _ROLES),
    *(Visitor(f"{role} with a replaced token", role=role, is_known=False) for role in _ROLES),
)

# --- where the escrow stands -----------------------------------------------------------------------------------------

_FUNDED: Final = PATHS[Status.FUNDED]
#: Every status in the most usual way, and what else opens a way that the usual one does not.
SITUATIONS: Final[dict[str, tuple[Move, ...]]] = {
    **{str(status): moves for status, moves in PATHS.items()},
    "funded, the buyer made an offer": (*_FUNDED, (SplitProposed(HALF), Who.BUYER)),
    "funded, the vendor made an offer": (*_FUNDED, (SplitProposed(HALF), Who.VENDOR)),
    "disputed, the arbiter let the time pass": (
        *PATHS[Status.DISPUTED],
        (deadline_of, Who.CLOCK),
        (deadline_of, Who.CLOCK),
    ),
    "held with the deposit": (*_FUNDED, (SpentOutside("somebody's"), Who.CHAIN)),
    "held while paying": (
        *PATHS[Status.PAYING],
        (PayoutFailed(HoldReason.PAYOUT_FAILED, "the fee is too high"), Who.SERVICE),
    ),
    "held with nothing left": (*PATHS[Status.DELIVERED], (DepositReorged(DepositFacts()), Who.CHAIN)),
}


def expected(visitor: Visitor, operation: Operation, escrow: Escrow) -> int:
    """Say what a call has to be answered, by what is written down here and by the state table."""
    good = _GOOD.get(operation.name, 200)
    if operation.name in OPEN:
        return good
    if not visitor.is_known:
        return 401
    if operation.name in SCOPED:
        return good if visitor.scopes & SCOPED[operation.name] else 403
    if operation.name in LISTED:
        return good
    return _expected_of_escrow(visitor, operation.name, escrow) if visitor.is_of_this else 404


def _expected_of_escrow(visitor: Visitor, operation: str, escrow: Escrow) -> int:
    if operation == "preview_payout":
        return 200 if escrow.status in {*HOLDING, Status.HELD} and escrow.divisible else 409
    if operation in NOT_OFFERED:
        return 409
    return 200 if operation in SEEN else _expected_of_table(ACTIONS[operation][0], visitor.voices(), escrow)


def _expected_of_table(event: Event, voices: frozenset[Who], escrow: Escrow) -> int:
    rows = [row for row in TABLE if row.sends is type(event) and row.who & voices]
    if not rows:
        return 403
    now = (row for row in rows if row.status is escrow.status)
    return 200 if any(row.provided(escrow, event, who) for row in now for who in row.who & voices) else 409
