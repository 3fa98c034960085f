"""Which two of the three sign a payout. Any two can; who agreed to it comes first."""

from typing import Final, TypeAlias

from escrowd.domain.escrow.facts import PayoutOrder
from escrowd.domain.escrow.status import Who
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import PayoutKind

#: Who builds the transactions, and who checks and completes them.
Pair: TypeAlias = tuple[WalletRole, WalletRole]

_BUYER, _VENDOR, _ARBITER = WalletRole.BUYER, WalletRole.VENDOR, WalletRole.ARBITER


def signer_pairs(order: PayoutOrder | None) -> tuple[Pair, ...]:
    """Return the pairs that may sign an order, the best first; ``None`` is the return of late money."""
    if order is None:
        return _BY_ARBITER[PayoutKind.RETURN]
    agreed = order.by in (Who.BUYER, Who.VENDOR)
    return (_BY_PARTIES if agreed else _BY_ARBITER)[order.kind]


# ---------------------------------------------------------------------------------------------------------------------

#: The parties agree: one has said so, the other one gets the money.
_BY_PARTIES: Final = {
    PayoutKind.RELEASE: ((_BUYER, _VENDOR), (_ARBITER, _VENDOR), (_ARBITER, _BUYER)),
    PayoutKind.REFUND: ((_VENDOR, _BUYER), (_ARBITER, _BUYER), (_ARBITER, _VENDOR)),
    PayoutKind.SPLIT: ((_BUYER, _VENDOR), (_ARBITER, _VENDOR), (_ARBITER, _BUYER)),
}
#: The arbiter, a deadline or the operator decided: the arbiter's key goes together with that of who gets the money.
_BY_ARBITER: Final = {
    PayoutKind.RELEASE: ((_ARBITER, _VENDOR), (_BUYER, _VENDOR), (_ARBITER, _BUYER)),
    PayoutKind.REFUND: ((_ARBITER, _BUYER), (_VENDOR, _BUYER), (_ARBITER, _VENDOR)),
    PayoutKind.SPLIT: ((_ARBITER, _VENDOR), (_ARBITER, _BUYER), (_BUYER, _VENDOR)),
    PayoutKind.RETURN: ((_ARBITER, _BUYER), (_VENDOR, _BUYER), (_ARBITER, _VENDOR)),
}
