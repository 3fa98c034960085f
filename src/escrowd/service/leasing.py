"""Leases the first wallets of several choices that can be had. Of three keys any two move the money."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import structlog

from escrowd.domain.conflicts import LeaseLost
from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.service.ports import Lease, Sessions

log = structlog.get_logger()

RolesT = TypeVar("RolesT", bound=tuple[WalletRole, ...])


@asynccontextmanager
async def lease_first(
    sessions: Sessions, escrow: EscrowId, choices: Sequence[RolesT]
) -> AsyncIterator[tuple[Lease, RolesT]]:
    """Lend the wallets of the first of these choices that can be had, and say which, until the end of the block.

    Raises:
        EscrowdError: none can be had. It is what the last one failed for.

    """
    *preferred, last = choices
    async with AsyncExitStack() as leases:
        for roles in preferred:
            try:
                lease = await leases.enter_async_context(sessions.lease(escrow, roles))
            except LeaseLost:
                raise
            except EscrowdError as error:
                log.warning("wallets.missing", escrow=escrow, roles=roles, error=str(error))
            else:
                yield lease, roles
                return
        yield await leases.enter_async_context(sessions.lease(escrow, last)), last
