from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from escrowd.chain.ports import WatchedAddress
from escrowd.chain.source import ChainSource
from escrowd.chain.watcher import Watcher, WatcherSettings
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput, credited_once
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.block_feed import block_feed
from escrowd.monero.methods import WALLET_METHODS
from escrowd.monero.results_signing import BuiltTransaction
from escrowd.monero.results_wallet import Recipient
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import WalletSet, install, wallet_sets
from escrowd.testing.watch_log import MemoryWatchLog

#: An output as both wallet and watcher tell of it: transaction, key, amount, global index, account, index, height.
Mined = tuple[str, str, int, int | None, int, int, int | None]
#: What a transaction brought to one address: transaction, account, index, amount, lock, payment id, mined, height.
Brought = tuple[str, int, int, int, int, str, bool, int]


@dataclass
class RealWallet:
    """A kept 2-of-3 wallet that is open in a real wallet process: what the watcher is held to."""

    wallet_set: WalletSet
    client: MoneroClient

    async def mined(self) -> set[Mined]:
        """Return the outputs of accounts 0 and 1."""
        await self.client.refresh()
        found = [each for account in (0, 1) for each in await self.client.incoming_transfers(account_index=account)]
        return {
            (
                each.tx_hash,
                each.pubkey,
                each.amount,
                each.global_index,
                each.subaddr_index.major,
                each.subaddr_index.minor,
                each.block_height,
            )
            for each in found
        }

    async def brought(self) -> tuple[set[Brought], set[Brought]]:
        """Return what came by each transaction, to each address: in blocks, and in the pool."""
        await self.client.refresh()
        transfers = await self.client.get_transfers(all_accounts=True)
        mined, pool = (
            {
                (
                    each.txid,
                    each.subaddr_index.major,
                    each.subaddr_index.minor,
                    each.amount,
                    each.unlock_time,
                    each.payment_id,
                    each.type == "block",
                    each.height,
                )
                for each in kind
            }
            for kind in (transfers.incoming, transfers.pool)
        )
        return mined, pool


@dataclass
class Watching:
    """A watcher over the chain of a lab, with its log in memory."""

    lab: RegtestLab
    wallets: Sequence[RealWallet]
    log: MemoryWatchLog = field(default_factory=MemoryWatchLog)
    settings: WatcherSettings = field(default_factory=lambda: WatcherSettings(Network.REGTEST))

    def __post_init__(self) -> None:
        self.watcher = self.restarted()

    def restarted(self) -> Watcher:
        """Return a watcher that goes on from the log, as after a restart of the service."""
        source = ChainSource(self.lab.daemon, block_feed(self.lab.connections, self.lab.daemon_endpoint))
        self.watcher = Watcher(source, self.log, self.settings)
        return self.watcher

    async def add_all(self) -> None:
        """Watch the addresses of all wallets from the beginning of the chain."""
        for wallet in self.wallets:
            await self.watcher.add(address_of(wallet.wallet_set))

    async def look(self) -> None:
        """Let the watcher look until it knows everything."""
        await self.watcher.advance()
        while self.watcher.has_more:
            await self.watcher.advance()

    async def outputs(self, wallet: RealWallet) -> tuple[ReceivedOutput, ...]:
        """Return what was found for a wallet, each key once."""
        return credited_once(await self.log.outputs(wallet.wallet_set.escrow))

    async def mined(self, wallet: RealWallet) -> set[Mined]:
        """Return the mined outputs that were found for a wallet."""
        return {
            (each.txid, each.key, each.amount, each.global_index, each.account, each.address_index, each.height)
            for each in await self.outputs(wallet)
            if each.is_mined
        }

    async def brought(self, wallet: RealWallet) -> tuple[set[Brought], set[Brought]]:
        """Return what came to each address by each transaction: in blocks, and in the pool."""
        outputs = await self.outputs(wallet)
        return _brought(each for each in outputs if each.is_mined), _brought(e for e in outputs if not e.is_mined)

    async def assert_as_wallets(self) -> None:
        """Look, and compare everything that was found with what each real wallet tells."""
        await self.look()
        for wallet in self.wallets:
            assert await self.mined(wallet) == await wallet.mined()
            ours, theirs = await self.brought(wallet), await wallet.brought()
            assert ours[0] == theirs[0]
            assert ours[1] == theirs[1]


def _brought(outputs: Iterable[ReceivedOutput]) -> set[Brought]:
    sums: dict[tuple[str, int, int], tuple[int, ReceivedOutput]] = {}
    for each in outputs:
        place = (each.txid, each.account, each.address_index)
        before = sums.get(place, (0, each))[0]
        sums[place] = (before + each.amount, each)
    return {
        (*place, amount, last.unlock_time, last.payment_id or "0" * 16, last.is_coinbase, last.height or 0)
        for place, (amount, last) in sums.items()
    }


def address_of(wallet_set: WalletSet, from_height: int = 0) -> WatchedAddress:
    """Return what a watcher is told of a kept set of wallets."""
    return WatchedAddress(wallet_set.escrow, wallet_set.address, Secret(wallet_set.secret_view_key), from_height)


async def send(
    client: MoneroClient, recipients: Sequence[tuple[str, int]], unlock_time: int = 0, *, do_not_relay: bool = False
) -> BuiltTransaction:
    """Let a wallet pay, with a lock if wanted: escrowd itself never locks money, so its client cannot."""
    params = {
        "destinations": [Recipient(address, amount) for address, amount in recipients],
        "unlock_time": unlock_time,
        "get_tx_hex": True,
        "get_tx_key": True,
        "do_not_relay": do_not_relay,
    }
    await client.refresh()
    return await client._transport.call(WALLET_METHODS["transfer"], params, BuiltTransaction)


async def open_wallet(lab: RegtestLab, wallet_set: WalletSet, directory: Path, role: WalletRole) -> MoneroClient:
    """Open the wallet of a role in a process of its own."""
    client = (await lab.start_wallet_process(directory)).client
    kept = wallet_set.wallets[role]
    await client.open_wallet(kept.filename, kept.password)
    await client.refresh()
    return client


@pytest.fixture(scope="session")
async def own_lab(_nothing_left_behind: None) -> AsyncIterator[RegtestLab]:
    """Give a chain that the tests of this directory may take back, and that nobody else mines on."""
    async with RegtestLab.start() as lab:
        yield lab


@pytest.fixture(scope="session")
async def payer(own_lab: RegtestLab) -> MoneroClient:
    """Give a wallet with money in many outputs."""
    await own_lab.mine(30)
    client: MoneroClient = await own_lab._funder._opened()
    return client


@pytest.fixture(scope="session")
async def wallets(own_lab: RegtestLab) -> list[RealWallet]:
    """Give three real wallets, each of another set."""
    return await _real_wallets(own_lab, wallet_sets()[3:6], "real-wallets")


@pytest.fixture(scope="session")
async def victim(own_lab: RegtestLab) -> RealWallet:
    """Give the wallet that hostile transactions pay: of outputs that count as nothing it tells like no other."""
    (victim,) = await _real_wallets(own_lab, wallet_sets()[6:7], "victim")
    return victim


async def _real_wallets(lab: RegtestLab, sets: Sequence[WalletSet], name: str) -> list[RealWallet]:
    directory = lab.directory / name
    directory.mkdir(mode=0o700)
    installed = [install(each, directory) for each in sets]
    return [RealWallet(each, await open_wallet(lab, each, directory, WalletRole.BUYER)) for each in installed]


@pytest.fixture
async def watching(own_lab: RegtestLab, wallets: list[RealWallet]) -> Watching:
    """Give a watcher that knows nothing yet."""
    return Watching(own_lab, wallets)
