"""A watch log in memory, for tests of the watcher: it does what the one in the database must do."""

from collections.abc import Sequence
from dataclasses import replace

from escrowd.chain.ports import (
    ChainDecisions,
    Cursor,
    FoundOutput,
    FoundSpend,
    Lane,
    NotedKeyImages,
    PoolFindings,
    Progress,
    WatchedAddress,
    WatchState,
)
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput, Spend


class MemoryWatchLog:
    """Keeps what the watcher finds, and every progress as it came."""

    def __init__(self) -> None:
        self.cursor: Cursor | None = None
        #: What the operator decided, as the test has it.
        self.decided = ChainDecisions()
        self.addresses: dict[EscrowId, WatchedAddress] = {}
        self.progress: list[Progress] = []
        #: Escrows that were woken, each time.
        self.woken: list[EscrowId] = []
        self._outputs: dict[tuple[EscrowId, str, int], ReceivedOutput] = {}
        self._lost: dict[tuple[EscrowId, str, int], ReceivedOutput] = {}
        #: Outputs that a reorganisation took out of blocks, as they were in the last one.
        self._last_mined: dict[tuple[EscrowId, str, int], ReceivedOutput] = {}
        self._from_wallets: dict[EscrowId, tuple[ReceivedOutput, ...]] = {}
        self._spends: dict[tuple[EscrowId, str, str], Spend] = {}
        self._key_images: list[tuple[EscrowId, str]] = []

    # --- what the watcher calls ---------------------------------------------------------------------------------------

    async def load(self) -> WatchState:
        """Return what is kept."""
        return WatchState(self.cursor, tuple(self.addresses.values()))

    async def record(self, progress: Progress) -> None:
        """Store what was found."""
        self.progress.append(progress)
        before = dict(self._outputs), dict(self._spends)
        if progress.rollback is not None:
            self._roll_back(progress.rollback)
        for found in progress.outputs:
            self._keep_output(found)
        for spend in progress.spends:
            self._keep_spend(spend)
        if progress.pool is not None:
            self._replace_pool(progress.pool)
        self.cursor = progress.cursor or self.cursor
        for escrow, scanned in progress.scanned.items():
            if escrow in self.addresses:
                self.addresses[escrow] = replace(self.addresses[escrow], scanned=scanned)
        self._note_lost(before[0], is_pool_known=progress.pool is not None)
        changed = {key[0] for key, _ in self._outputs.items() ^ before[0].items()}
        self.woken += sorted(changed | {key[0] for key, _ in self._spends.items() ^ before[1].items()})

    async def keep(self, address: WatchedAddress) -> None:
        """Keep an address."""
        self.addresses[address.escrow] = address

    async def forget(self, escrow: EscrowId) -> None:
        """Watch the address of an escrow no more."""
        self.addresses.pop(escrow, None)

    async def key_images(self, after: int = 0) -> NotedKeyImages:
        """Return the key images that were noted later than ``after``."""
        spent = frozenset(each.key_image for each in self._spends.values() if each.height is not None)
        return NotedKeyImages(len(self._key_images), tuple(self._key_images[after:]), spent)

    async def decisions(self) -> ChainDecisions:
        """Return what the operator decided about the chain."""
        return self.decided

    async def outputs(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Return everything that was found for an escrow."""
        watched = tuple(output for (owner, *_), output in self._outputs.items() if owner == escrow)
        keys = {output.key for output in watched}
        return (*watched, *(each for each in self._from_wallets.get(escrow, ()) if each.key not in keys))

    async def note_wallet_outputs(self, escrow: EscrowId, outputs: Sequence[ReceivedOutput]) -> None:
        """Add outputs that a wallet found, in place of those that one found before."""
        before = await self.outputs(escrow)
        self._from_wallets[escrow] = tuple(outputs)
        self.woken += [escrow] if set(await self.outputs(escrow)) - set(before) else []

    # --- what tests call ----------------------------------------------------------------------------------------------

    def note_key_image(self, escrow: EscrowId, key_image: str) -> None:
        """Note a key image as wallets learn them."""
        self._key_images.append((escrow, key_image))

    def lost(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Return the outputs of an escrow that left blocks and pool, as they were last."""
        return tuple(output for (owner, *_), output in self._lost.items() if owner == escrow)

    def spends(self, escrow: EscrowId) -> tuple[Spend, ...]:
        """Return the spends that were found for an escrow."""
        return tuple(spend for (owner, *_), spend in self._spends.items() if owner == escrow)

    # ------------------------------------------------------------------------------------------------------------------

    def _roll_back(self, height: int) -> None:
        self._outputs = {
            key: output for key, output in self._outputs.items() if output.height is None or output.height < height
        }
        self._spends = {
            key: spend for key, spend in self._spends.items() if spend.height is None or spend.height < height
        }
        for escrow, address in self.addresses.items():
            if address.scanned is not None and address.scanned > height:
                self.addresses[escrow] = replace(address, scanned=height)

    def _note_lost(self, before: dict[tuple[EscrowId, str, int], ReceivedOutput], *, is_pool_known: bool) -> None:
        """Keep what left blocks and pool, and no longer what was found again."""
        active = {escrow for escrow, address in self.addresses.items() if address.lane is Lane.ACTIVE}
        mined = {key for key, output in self._outputs.items() if output.is_mined}
        for key, output in before.items():
            if output.is_mined and key not in mined:
                self._last_mined[key] = output
            if key not in self._outputs and (output.is_mined or (is_pool_known and key[0] in active)):
                self._lost[key] = self._last_mined.get(key, output)
        self._lost = {key: output for key, output in self._lost.items() if key not in self._outputs}
        self._last_mined = {key: output for key, output in self._last_mined.items() if key not in mined}

    def _replace_pool(self, pool: PoolFindings) -> None:
        self._outputs = {key: output for key, output in self._outputs.items() if output.height is not None}
        self._spends = {key: spend for key, spend in self._spends.items() if spend.height is not None}
        for found in pool.outputs:
            if (found.escrow, found.output.txid, found.output.index) not in self._outputs:
                self._keep_output(found)
        for each in pool.spends:
            if (each.escrow, each.spend.key_image, each.spend.txid) not in self._spends:
                self._keep_spend(each)

    def _keep_output(self, found: FoundOutput) -> None:
        if found.escrow in self.addresses:
            self._outputs[found.escrow, found.output.txid, found.output.index] = found.output

    def _keep_spend(self, found: FoundSpend) -> None:
        if found.escrow in self.addresses:
            self._spends[found.escrow, found.spend.key_image, found.spend.txid] = found.spend
