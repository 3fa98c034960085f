"""The gate before money: while the chain cannot be trusted, no new signature is made and no deadline runs.

A signature that is made on a branch which is about to vanish, or by what a daemon shows that is behind, cannot be
taken back. So an effect that decides by the chain, or signs, does not begin before the watcher sees all there is. What
is signed already may be sent again at any time.
"""

from typing import Final, Protocol

from escrowd.domain.escrow.effects import Effect
from escrowd.service.errors import ChainNotTrusted

#: Effects that decide by what the chain shows, or sign.
GATED: Final = frozenset({Effect.VERIFY_FUNDING, Effect.VERIFY_UNFUNDED, Effect.PAY, Effect.RETURN_LATE})
#: Seconds until an escrow that met a closed gate is taken up again.
CLOSED_LOOK: Final = 2.0


class ChainSight(Protocol):
    """How much of the chain can be seen, and whether it is the right one."""

    @property
    def is_in_sync(self) -> bool:
        """Whether daemon and watcher have caught up with the chain, and it is the right one."""
        ...

    @property
    def why_not_in_sync(self) -> str:
        """What is wrong and what to do about it, in words; empty while it is in sync."""
        ...


def check_trusted(chain: ChainSight) -> None:
    """Make sure that the chain is in sync, right before something is signed: wallets may have been waited for.

    Raises:
        ChainNotTrusted: it is not.

    """
    if not chain.is_in_sync:
        raise ChainNotTrusted(f"nothing is signed while the chain is not in sync: {chain.why_not_in_sync}")
