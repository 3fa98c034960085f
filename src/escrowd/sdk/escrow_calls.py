"""What can be asked about escrows and done to them, one call each."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal

from escrowd.sdk.calls import Call, checked, part, piconero, posting, reading
from escrowd.wire.escrows import (
    CreatedEscrow,
    Custody,
    Dispute,
    Escrow,
    EscrowPage,
    NewDeadlines,
    NewEscrow,
    NewFee,
    PartyLink,
    PartyLinks,
    Preview,
    PreviewedPayout,
    Role,
    Settlement,
    Share,
    Status,
)

ESCROWS = "/v1/escrows"


def create_escrow(  # noqa: PLR0913 - the terms of an escrow, each with a name and most with a default
    *,
    amount: int,
    refund_address: str,
    payout_address: str,
    reference: str = "",
    description: str = "",
    metadata: Mapping[str, str] | None = None,
    fee: NewFee | None = None,
    confirmations: int | None = None,
    deadlines: NewDeadlines | None = None,
    underpayment_tolerance: int | None = None,
    overpayment: Literal["return", "keep"] | None = None,
    custody: Mapping[Role, Custody] | None = None,
    idempotency_key: str | None = None,
) -> Call[CreatedEscrow]:
    """Make an escrow and return it with the links of its parties. Each is a secret of its party.

    The arbiter's link is left out where the key has neither of the scopes ``arbiter`` and ``admin``.

    Amounts are piconero. What is left out has the default of the service; ``custody`` is ``hosted`` for every role that
    it does not name.

    >>> client.create_escrow(amount=10**12, refund_address="4…", payout_address="8…", reference="order-1234")
    """
    held_by = custody or {}
    body = checked(
        NewEscrow,
        amount=piconero(amount),
        buyer={"refund_address": refund_address, "custody": held_by.get("buyer", "hosted")},
        vendor={"payout_address": payout_address, "custody": held_by.get("vendor", "hosted")},
        arbiter={"custody": held_by.get("arbiter", "hosted")},
        reference=reference,
        description=description,
        metadata=dict(metadata or {}),
        fee=fee,
        confirmations=confirmations,
        deadlines=deadlines,
        underpayment=None if underpayment_tolerance is None else {"tolerance": piconero(underpayment_tolerance)},
        overpayment=overpayment,
    )
    return posting(CreatedEscrow, ESCROWS, body, idempotency_key)


def get(escrow_id: str, *, wait: int | None = None, after_version: int | None = None) -> Call[Escrow]:
    """Return an escrow as the caller may see it.

    With ``after_version`` and ``wait``, the answer comes when the escrow has a later version, or after so many seconds.
    """
    path = f"{ESCROWS}/{part(escrow_id)}"
    return reading(Escrow, path, held_seconds=wait or 0, wait=wait, after_version=after_version)


def escrow_page(
    *,
    status: Status | Iterable[Status] = (),
    reference: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    cursor: str | None = None,
    limit: int | None = None,
) -> Call[EscrowPage]:
    """Return one page of escrows, the newest first. Its ``next`` is the ``cursor`` of the page that follows."""
    return reading(
        EscrowPage,
        ESCROWS,
        status=status,
        reference=reference,
        created_after=created_after,
        created_before=created_before,
        cursor=cursor,
        limit=limit,
    )


def deliver(escrow_id: str, *, idempotency_key: str | None = None) -> Call[Escrow]:
    """Say as the vendor that it was delivered. The inspection period begins."""
    return _move(escrow_id, "deliver", idempotency_key)


def release(escrow_id: str, *, idempotency_key: str | None = None) -> Call[Escrow]:
    """Pay the vendor."""
    return _move(escrow_id, "release", idempotency_key)


def refund(escrow_id: str, *, idempotency_key: str | None = None) -> Call[Escrow]:
    """Pay the buyer back."""
    return _move(escrow_id, "refund", idempotency_key)


def cancel(escrow_id: str, *, idempotency_key: str | None = None) -> Call[Escrow]:
    """End an escrow to which nothing was paid."""
    return _move(escrow_id, "cancel", idempotency_key)


def resume(escrow_id: str, *, idempotency_key: str | None = None) -> Call[Escrow]:
    """Let a held escrow go on, as the operator who looked at it."""
    return _move(escrow_id, "resume", idempotency_key)


def dispute(escrow_id: str, *, reason: str = "", idempotency_key: str | None = None) -> Call[Escrow]:
    """Ask the arbiter to decide."""
    path = f"{ESCROWS}/{part(escrow_id)}/dispute"
    return posting(Escrow, path, checked(Dispute, reason=reason), idempotency_key)


def rule(escrow_id: str, *, vendor_share: int, idempotency_key: str | None = None) -> Call[Escrow]:
    """Decide a dispute: so many piconero, before fees, for the vendor, and the rest for the buyer."""
    return _share(escrow_id, "rule", vendor_share, idempotency_key)


def split(escrow_id: str, *, vendor_share: int, idempotency_key: str | None = None) -> Call[Escrow]:
    """Divide as the operator what is left of a held escrow: so many piconero, before fees, for the vendor."""
    return _share(escrow_id, "split", vendor_share, idempotency_key)


def settle(escrow_id: str, *, reason: str, idempotency_key: str | None = None) -> Call[Escrow]:
    """Close as the operator a held escrow of which nothing is left that is worth its fee."""
    path = f"{ESCROWS}/{part(escrow_id)}/settle"
    return posting(Escrow, path, checked(Settlement, reason=reason), idempotency_key)


def propose_split(escrow_id: str, *, vendor_share: int, idempotency_key: str | None = None) -> Call[Escrow]:
    """Offer the other party a division: so many piconero, before fees, for the vendor, and the rest for the buyer."""
    return _share(escrow_id, "propose-split", vendor_share, idempotency_key)


def accept_split(escrow_id: str, *, vendor_share: int, idempotency_key: str | None = None) -> Call[Escrow]:
    """Accept the division that the other party offers. The share is named again: it is the one that was seen."""
    return _share(escrow_id, "accept-split", vendor_share, idempotency_key)


def preview(
    escrow_id: str,
    *,
    action: Literal["release", "refund", "rule", "split", "propose-split", "accept-split"],
    vendor_share: int | None = None,
    idempotency_key: str | None = None,
) -> Call[PreviewedPayout]:
    """Return what an action would pay to whom if it were taken now, the network's fee included. Nothing is done."""
    body = checked(Preview, action=action, vendor_share=piconero(vendor_share))
    return posting(PreviewedPayout, f"{ESCROWS}/{part(escrow_id)}/preview", body, idempotency_key)


def links(escrow_id: str) -> Call[PartyLinks]:
    """Return the links of the parties, for whoever made the escrow. Each is a secret of its party.

    The arbiter's link is left out where the key has neither of the scopes ``arbiter`` and ``admin``.
    """
    return reading(PartyLinks, f"{ESCROWS}/{part(escrow_id)}/links")


def rotate_link(escrow_id: str, *, role: Role, idempotency_key: str | None = None) -> Call[PartyLink]:
    """Give a party a new link. The old one is worth nothing from now on.

    The arbiter's is refused to keys that have neither of the scopes ``arbiter`` and ``admin``.
    """
    path = f"{ESCROWS}/{part(escrow_id)}/links/{part(role)}/rotate"
    return posting(PartyLink, path, None, idempotency_key)


# ---------------------------------------------------------------------------------------------------------------------


def _move(escrow_id: str, action: str, idempotency_key: str | None) -> Call[Escrow]:
    return posting(Escrow, f"{ESCROWS}/{part(escrow_id)}/{action}", None, idempotency_key)


def _share(escrow_id: str, action: str, vendor_share: int, idempotency_key: str | None) -> Call[Escrow]:
    body = checked(Share, vendor_share=piconero(vendor_share))
    return posting(Escrow, f"{ESCROWS}/{part(escrow_id)}/{action}", body, idempotency_key)
