"""Small translations between rooms that do not know each other."""

import secrets
import time
from dataclasses import dataclass

from escrowd.chain.monitor import BlockchainMonitor
from escrowd.domain.identifiers import RANDOM_BYTES, EscrowId, Prefix, make_identifier
from escrowd.domain.keying import view_key_purpose
from escrowd.domain.secret import Secret
from escrowd.domain.wallet_set import WalletSet
from escrowd.store.store import SqlStore
from escrowd.wallets.errors import UnknownEscrow
from escrowd.wallets.records import WalletRecord
from escrowd.wallets.vault import Vault


class StoredWalletRecords:
    """Finds wallet records in the store. As :class:`escrowd.wallets.records.WalletRecords`."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def wallets_of(self, escrow: EscrowId) -> tuple[WalletRecord, ...]:
        """Return the hosted wallets of an escrow. Raises UnknownEscrow where there are none."""
        found = await self._store.hosted_wallets(escrow)
        if not found:
            raise UnknownEscrow(f"no wallets are recorded for {escrow}")
        return tuple(
            WalletRecord(each.escrow, each.role, each.filename, each.address, each.sealed_password) for each in found
        )


@dataclass(frozen=True, slots=True)
class UnsealedWallets:
    """What the monitor needs to watch an address."""

    escrow: EscrowId
    address: str
    view_key: Secret


class VaultedWatching:
    """Gives addresses to the monitor, their view keys unsealed. As :class:`escrowd.service.housekeeping.Watching`."""

    def __init__(self, monitor: BlockchainMonitor, vault: Vault) -> None:
        self._monitor = monitor
        self._vault = vault

    async def watch(self, wallets: WalletSet, from_height: int) -> None:
        """Look for payments to the address at every block, from this height on."""
        view_key = self._vault.unseal(wallets.sealed_view_key, view_key_purpose(wallets.escrow))
        await self._monitor.watch(UnsealedWallets(wallets.escrow, wallets.address, view_key), from_height)

    async def rest(self, escrow: EscrowId) -> None:
        """Go on looking for payments to the address, but at leisure."""
        await self._monitor.rest(escrow)


def new_escrow_id() -> EscrowId:
    """Make an id for an escrow that is still to come."""
    return EscrowId(make_identifier(Prefix.ESCROW, time.time_ns() // 1_000_000, secrets.token_bytes(RANDOM_BYTES)))
