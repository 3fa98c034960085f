"""The regtest lab: a private chain with money on it, gone without a trace when it closes."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final, Self

from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.results_daemon import PoolTransaction
from escrowd.monero.results_wallet import Recipient
from escrowd.monero.transport import Connections, Endpoint
from escrowd.testing.abandoned import (
    PREFIX,
    daemon_directory,
    end_leftovers,
    remove_abandoned_labs,
    run_directory,
)
from escrowd.testing.chain_cache import BLOCKS_AT_ONCE, Progress, has_chain, prepared_chain
from escrowd.testing.daemon_process import RegtestDaemon
from escrowd.testing.funder import FUNDER_ADDRESS, Funder
from escrowd.testing.wallet_process import PATIENCE, start_wallet_process
from escrowd.wallets.process import WalletProcess
from escrowd.wallets.registry import Registry

#: Seconds until a transaction in the pool must count as relayed. Measured: milliseconds.
RELAY_PATIENCE: Final = 10.0


class RegtestLab:
    """A private chain, its daemon, a funder with money, and wallet processes as wanted.

    >>> async with RegtestLab.start() as lab:
    ...     txid = await lab.pay(address, 10**12)
    ...     await lab.mine(10)

    Everything that was started is ended when the lab closes, the last first.
    """

    def __init__(
        self, directory: Path, connections: Connections, daemon_process: RegtestDaemon, closers: AsyncExitStack
    ) -> None:
        #: Everything of this lab lies in here.
        self.directory = directory
        self.connections = connections
        #: For tests that kill the daemon and bring it back.
        self.daemon_process = daemon_process
        self._closers = closers
        self._numbers = count(1)
        self._funder = Funder(partial(self.start_wallet_process, directory / "funder"))

    @classmethod
    @asynccontextmanager
    async def start(
        cls, progress: Progress | None = None, keep_in: Path | None = None, *, notifies: bool = False
    ) -> AsyncIterator[Self]:
        """Start a lab on a copy of the prepared chain.

        With ``keep_in`` the lab lives in this directory and goes on where it ended the last time; otherwise in a
        temporary one that goes with it. With ``notifies`` the daemon publishes new blocks and transactions over ZMQ.

        Raises:
            ProgramMissing: Monero is not installed.
            DaemonNotStarted: monerod could not be started.
            AlreadyInUse: another lab runs in ``keep_in``.

        """
        await remove_abandoned_labs()
        async with AsyncExitStack() as closers:
            directory = _place(keep_in, closers)
            closers.enter_context(Registry(run_directory(directory)).owned())
            await end_leftovers(directory)
            closers.push_async_callback(end_leftovers, directory)
            connections = await closers.enter_async_context(Connections())
            daemon_dir = daemon_directory(directory)
            if not has_chain(daemon_dir):
                (await prepared_chain(connections, progress)).copy_to(daemon_dir, directory / "funder")
            daemon = RegtestDaemon(daemon_dir, connections, notifies=notifies)
            await closers.enter_async_context(daemon)
            yield cls(directory, connections, daemon, closers)

    @property
    def daemon(self) -> MoneroDaemon:
        """A client of the daemon."""
        return self.daemon_process.rpc

    @property
    def daemon_endpoint(self) -> Endpoint:
        """Where the daemon answers RPC."""
        return self.daemon_process.endpoint

    async def mine(self, blocks: int, address: str = FUNDER_ADDRESS) -> int:
        """Mine blocks, to the funder unless another address is given; return how many the chain has now.

        The first of them takes in what is in the pool, but for transactions that were sent not to be relayed.
        """
        await self._all_relayed()
        for mined in range(0, blocks, BLOCKS_AT_ONCE):
            await self.daemon.generateblocks(min(BLOCKS_AT_ONCE, blocks - mined), address)
        return (await self.daemon.get_info()).height

    async def _all_relayed(self) -> None:
        """Wait until the transactions in the pool count as relayed.

        monerod notes that a moment after it took a transaction, in another thread, and no block takes one in before
        (``tx_memory_pool::fill_block_template``).
        """
        async with asyncio.timeout(RELAY_PATIENCE):
            while True:
                pool = await self.daemon.get_transaction_pool()
                if not any(_waits_for_relay(each) for each in pool.transactions):
                    return
                await asyncio.sleep(0.002)

    async def pop_blocks(self, blocks: int) -> int:
        """Take the last blocks off the chain, their transactions back into the pool; return how many are left."""
        return await self.daemon.pop_blocks(blocks)

    async def pay(self, address: str, amount: int) -> str:
        """Pay an address from the funder, in piconero; return the id of the transaction. Nothing is mined.

        Raises:
            NotEnoughMoney: too much of the funder's money is change that still waits for its ten blocks: mine some.

        """
        (txid,) = await self.pay_many([(address, amount)])
        return txid

    async def pay_many(self, payments: Sequence[tuple[str, int]]) -> tuple[str, ...]:
        """Pay each address its amount, up to 15 of them in one transaction; return for each payment its transaction.

        Raises:
            NotEnoughMoney: as with :meth:`pay`.

        """
        return await self._funder.pay([Recipient(address, amount) for address, amount in payments])

    async def start_wallet_process(
        self, wallet_dir: Path | None = None, daemon: Endpoint | None = None
    ) -> WalletProcess:
        """Start a monero-wallet-rpc that no service owns; it ends with the lab, or before by its ``end``.

        Its wallet files are in ``wallet_dir`` (a new directory if none is given). It talks to the daemon of the lab, or
        to another endpoint, such as a proxy in front of it. It does not refresh on its own.

        Raises:
            ProcessNotStarted: it ended or did not answer in time.

        """
        files = wallet_dir or self.directory / "wallets" / str(next(self._numbers))
        process = await start_wallet_process(
            self.connections, daemon or self.daemon_endpoint, files, run_directory(self.directory)
        )
        self._closers.push_async_callback(process.end, PATIENCE)
        return process


# ---------------------------------------------------------------------------------------------------------------------


def _place(keep_in: Path | None, closers: AsyncExitStack) -> Path:
    # Absolute: the command lines of processes name it, and are searched for it.
    return (keep_in or Path(closers.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX)))).absolute()


# ---------------------------------------------------------------------------------------------------------------------


def _waits_for_relay(transaction: PoolTransaction) -> bool:
    return not (transaction.relayed or transaction.do_not_relay or transaction.kept_by_block)
