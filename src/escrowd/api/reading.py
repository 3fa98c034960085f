"""From the wire to the domain: the terms of an escrow, filters, cursors."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Final

from fastapi import Path
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from escrowd.api.errors import InvalidRequest
from escrowd.api.parts import ApiSettings
from escrowd.domain.conflicts import NoSuchDelivery, NoSuchEscrow, NoSuchWebhook
from escrowd.domain.escrow.facts import EscrowFilter
from escrowd.domain.escrow.status import Status
from escrowd.domain.escrow.terms import TOLERANCE_DIVISOR, Custody, DeadlineTerms, FeeRule, Overpayment, Terms
from escrowd.domain.identifiers import EscrowId, InvalidIdentifier, Prefix, parse_escrow_id, parse_identifier
from escrowd.domain.parties import WalletRole
from escrowd.wire.escrows import NewDeadlines, NewEscrow
from escrowd.wire.escrows import Status as StatusName
from escrowd.wire.problems import FieldProblem
from escrowd.wire.values import ESCROW_ID_PATTERN, Absent, ShortText


def terms_of(new: NewEscrow, settings: ApiSettings) -> Terms:
    """Return the terms that are asked for, with the service's own where nothing is said."""
    return Terms(
        network=settings.network,
        amount=new.amount,
        refund_address=new.buyer.refund_address,
        payout_address=new.vendor.payout_address,
        custody={
            WalletRole.BUYER: Custody(new.buyer.custody),
            WalletRole.VENDOR: Custody(new.vendor.custody),
            WalletRole.ARBITER: Custody(new.arbiter.custody),
        },
        fee=FeeRule(new.fee.basis_points, new.fee.address) if new.fee else None,
        confirmations=new.confirmations or settings.confirmations,
        deadlines=_deadlines(new.deadlines, settings.deadlines),
        tolerance=_tolerance(new, settings.tolerance),
        overpayment=Overpayment(new.overpayment) if new.overpayment else settings.overpayment,
        reference=new.reference,
        description=new.description,
        metadata=dict(new.metadata),
    )


def escrow_id(text: str) -> EscrowId:
    """Read the id of an escrow from a path: what cannot be one is simply not there. Raises NoSuchEscrow."""
    try:
        return parse_escrow_id(text)
    except InvalidIdentifier as error:
        raise NoSuchEscrow(f"there is no escrow {text[:40]!r}: {error}") from None


def webhook_id(text: str) -> str:
    """Read the id of an endpoint from a path: what cannot be one is simply not there. Raises NoSuchWebhook."""
    try:
        return parse_identifier(Prefix.WEBHOOK, text)
    except InvalidIdentifier:
        raise NoSuchWebhook(f"there is no webhook {text[:40]!r}") from None


def delivery_id(text: str) -> str:
    """Read the id of a delivery from a path: what cannot be one is simply not there. Raises NoSuchDelivery."""
    try:
        return parse_identifier(Prefix.DELIVERY, text)
    except InvalidIdentifier:
        raise NoSuchDelivery(f"there is no delivery {text[:40]!r}") from None


#: An escrow in a path. Its form is told and not checked: what has another one is simply not there, and answered so.
EscrowPath = Annotated[
    str,
    Path(
        description="Id of the escrow.",
        json_schema_extra={"pattern": ESCROW_ID_PATTERN, "examples": ["esc_01jd3v9k8z6x5w4t2r1q0p9n8m"]},
    ),
]


def _written_out(value: object) -> object:
    if isinstance(value, str) and not _TIME.match(value):
        raise ValueError("a time is written as RFC 3339 says, such as 2026-01-31T12:00:00Z")
    return value


_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
#: A time in a query. Pydantic alone would take numbers, too, and guess whether they are seconds.
TimeText = Annotated[AwareDatetime, BeforeValidator(_written_out)]


class EscrowQuery(BaseModel):
    """What a list of escrows is asked for with."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100, description="Escrows of a page.")] = 20
    cursor: Annotated[str | Absent, Field(max_length=200, description="'next' of the page before.")] = None
    status: Annotated[list[StatusName], Field(description="Any of these.", default_factory=list, max_length=20)]
    reference: Annotated[ShortText | Absent, Field(description="Just this one.")] = None
    created_after: Annotated[TimeText | Absent, Field(description="Made then or later.")] = None
    created_before: Annotated[TimeText | Absent, Field(description="Made earlier.")] = None


def filter_of(query: EscrowQuery) -> EscrowFilter:
    """Return which escrows are looked for."""
    return EscrowFilter(
        tuple(Status(each) for each in query.status),
        query.reference,
        _milliseconds(query.created_after),
        _milliseconds(query.created_before),
    )


def cursor_text(created_at: int, escrow: str) -> str:
    """Write the place of an escrow in the list as a cursor."""
    return urlsafe_b64encode(f"{created_at}:{escrow}".encode()).rstrip(b"=").decode("ascii")


def place_of(cursor: str | None) -> tuple[int, str] | None:
    """Read a cursor. Raises InvalidRequest."""
    if cursor is None:
        return None
    try:
        created_at, _, escrow = urlsafe_b64decode(cursor + "==").decode().partition(":")
        if _MILLISECONDS.fullmatch(created_at):
            return int(created_at), parse_escrow_id(escrow)
    except (ValueError, InvalidIdentifier):
        pass
    raise InvalidRequest(
        [FieldProblem(field="query.cursor", message="a cursor is the 'next' of the page before, as it is")]
    )


# ---------------------------------------------------------------------------------------------------------------------

#: More digits than any time of an escrow has, and fewer than a database can hold.
_MILLISECONDS: Final = re.compile("[0-9]{1,15}")


def _tolerance(new: NewEscrow, usual: int) -> int:
    """Return what may be missing. The service's own never makes an amount impossible: it ends where terms end."""
    return new.underpayment.tolerance if new.underpayment else min(usual, new.amount // TOLERANCE_DIVISOR)


def _deadlines(said: NewDeadlines, usual: DeadlineTerms) -> DeadlineTerms:
    return DeadlineTerms(
        **{each.name: getattr(said, each.name) or getattr(usual, each.name) for each in fields(DeadlineTerms)}
    )


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1000)
