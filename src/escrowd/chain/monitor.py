"""The blockchain monitor: it keeps the watcher looking, says how well it sees, and asks wallets where it does not."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from escrowd.chain.errors import DaemonBehind, UnreadableBlock, WrongChain
from escrowd.chain.health import ADVICE, MonitorCounters, MonitorHealth, Trouble
from escrowd.chain.ports import AwaitingMoney, Cursor, Lane, WalletReader, WatchedAddress, WatchLog
from escrowd.chain.watcher import Watcher
from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput, credited_once
from escrowd.domain.secret import Secret
from escrowd.monero.notifications import subscribed

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """How often the monitor does what. Seconds, but for ``most_lag``."""

    #: Between two looks at chain and pool when nothing wakes it.
    poll_interval: float = 0.5
    #: The longest pause between two looks while they fail.
    longest_backoff: float = 30.0
    #: Without a finished look for so long, it does not count as seeing.
    longest_look: float = 30.0
    #: So many blocks behind still count as in sync.
    most_lag: int = 2
    #: So old may the last block be by its own time; ``None`` on a private chain, which grows on demand.
    oldest_tip: float | None = 3600.0
    #: How long it may see badly before wallets are asked.
    fallback_after: float = 120.0
    #: Between two rounds of asking the wallets of all escrows that wait for money.
    fallback_interval: float = 30.0
    #: Where monerod publishes what is new (``--zmq-pub``), such as ``tcp://127.0.0.1:18083``; or nowhere.
    notification_address: str | None = None


@dataclass(frozen=True, slots=True)
class Fallback:
    """Whom to ask when the watcher sees badly."""

    reader: WalletReader
    awaiting: AwaitingMoney


@dataclass(frozen=True, slots=True)
class Funding:
    """What is known of the money that came for an escrow."""

    escrow: EscrowId
    #: Each one-time key once.
    outputs: tuple[ReceivedOutput, ...]
    #: Number of blocks that were looked through.
    chain_height: int
    #: Whether that is all there is to see.
    is_in_sync: bool

    def received(self, confirmations: int = 0) -> int:
        """Sum up, in piconero, what counts towards the deposit and has at least so many confirmations."""
        return sum(
            each.amount
            for each in self.outputs
            if each.why_it_does_not_count() is None and each.confirmations(self.chain_height) >= confirmations
        )


class WatchableWallets(Protocol):
    """What must be known of the wallets of an escrow to watch their address."""

    @property
    def escrow(self) -> EscrowId:
        """Whose they are."""
        ...

    @property
    def address(self) -> str:
        """The address that is given out."""
        ...

    @property
    def view_key(self) -> Secret:
        """The secret view key, hex."""
        ...


class BlockchainMonitor:
    """Watches the chain for all escrows. Use it with ``async with``: inside, it looks; after that, it does not.

    Whatever fails is tried again, for as long as it takes, and shows in :attr:`health`.
    """

    def __init__(
        self,
        watcher: Watcher,
        watch_log: WatchLog,
        settings: MonitorSettings,
        fallback: Fallback | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.counters = MonitorCounters()
        self._watcher = watcher
        self._log = watch_log
        self._settings = settings
        self._fallback = fallback
        self._clock = clock
        self._wall_clock = wall_clock
        self._news = asyncio.Event()
        self._has_looked = False
        self._error: Exception | None = None
        self._failures_in_a_row = 0
        self._succeeded_at = self._saw_well_at = clock()
        self._complaints = _Complaints(clock)
        self._closers = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as closers:
            await closers.enter_async_context(_running(self._look_forever(), "chain monitor"))
            await closers.enter_async_context(_running(self._listen_forever(), "chain notifications"))
            await closers.enter_async_context(_running(self._fall_back_forever(), "chain fallback"))
            self._closers = closers.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closers.aclose()

    # --- whom it watches ----------------------------------------------------------------------------------------------

    async def watch(self, wallets: WatchableWallets, from_height: int) -> None:
        """Look for payments to the address at every block, from this height on.

        Raises:
            WrongViewKey: the view key is not that of the address.

        """
        await self._watcher.add(WatchedAddress(wallets.escrow, wallets.address, wallets.view_key, from_height))
        self._news.set()

    async def rest(self, escrow: EscrowId) -> None:
        """Go on looking for payments to the address, but at leisure."""
        await self._watcher.rest(escrow)

    # --- what it knows ------------------------------------------------------------------------------------------------

    async def check_escrow_funding(self, escrow: EscrowId, *, afresh: bool = False) -> Funding:
        """Say what came for an escrow: what is known, at once, or with ``afresh`` what its wallet sees besides.

        Raises:
            EscrowdError: the wallet was to be asked, and did not answer.

        """
        if afresh and self._fallback is not None:
            await self._ask_wallet(self._fallback.reader, escrow)
        outputs = credited_once(await self._log.outputs(escrow))
        return Funding(escrow, outputs, 0 if self.tip is None else self.tip.height, self.is_in_sync)

    async def check_transaction_confirmations(self, escrow: EscrowId, *, afresh: bool = False) -> Mapping[str, int]:
        """Return how many confirmations each transaction has that paid an escrow; 0 in the pool.

        Raises:
            EscrowdError: the wallet was to be asked, and did not answer.

        """
        funding = await self.check_escrow_funding(escrow, afresh=afresh)
        return {each.txid: each.confirmations(funding.chain_height) for each in funding.outputs}

    # --- how well it sees ---------------------------------------------------------------------------------------------

    @property
    def tip(self) -> Cursor | None:
        """How far the chain was looked through."""
        return self._watcher.cursor

    @property
    def is_in_sync(self) -> bool:
        """Whether it sees everything that the daemon sees, and the daemon all there is."""
        return self._trouble() is None

    @property
    def why_not_in_sync(self) -> str:
        """What is wrong and what to do about it, in words; empty while it is in sync."""
        trouble = self._trouble()
        if trouble is None:
            return ""
        error = f" ({self._error})" if isinstance(self._error, _OF_THE_CHAIN) else ""
        return f"{trouble}{error}: {ADVICE[trouble]}"

    @property
    def health(self) -> MonitorHealth:
        """How well it sees at the moment."""
        return MonitorHealth(
            trouble=self._trouble(),
            lag=self._lag(),
            age=self._clock() - self._succeeded_at,
            error=None if self._error is None else str(self._error) or type(self._error).__name__,
            is_falling_back=self._is_falling_back(),
            height=0 if self.tip is None else self.tip.height,
            active=self._watcher.count(Lane.ACTIVE),
            resting=self._watcher.count(Lane.RESTING),
            unreadable_in_pool=self._watcher.unreadable_in_pool,
        )

    def _trouble(self) -> Trouble | None:
        if self._error is not None:
            return next((each for kind, each in _TROUBLES.items() if isinstance(self._error, kind)), Trouble.FAILING)
        tip, lag = self._watcher.tip, self._lag()
        if tip is None or lag is None or not self._has_looked:
            return Trouble.STARTING
        if not tip.is_synchronized:
            return Trouble.DAEMON_NOT_SYNCHRONIZED
        is_late = self._clock() - self._succeeded_at > self._settings.longest_look
        if is_late or lag > self._settings.most_lag or self._watcher.is_rescanning:
            return Trouble.LAGGING
        return Trouble.STALE_TIP if self._is_stale() else None

    def _is_stale(self) -> bool:
        oldest, tip = self._settings.oldest_tip, self.tip
        return oldest is not None and tip is not None and self._wall_clock() - tip.time > oldest

    def _lag(self) -> int | None:
        if self._watcher.tip is None or self.tip is None:
            return None
        return max(0, self._watcher.tip.height - self.tip.height)

    def _is_falling_back(self) -> bool:
        # Where the daemon is the trouble, wallets that ask the same daemon see no more than the watcher.
        if self._fallback is None or self._trouble() not in _WALLETS_SEE_MORE:
            return False
        return self._clock() - self._saw_well_at >= self._settings.fallback_after

    # --- looking ------------------------------------------------------------------------------------------------------

    async def _look_forever(self) -> None:
        while True:
            self._news.clear()
            pause = await self._look_once()
            if self._error is not None:
                await asyncio.sleep(pause)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def _look_once(self) -> float:
        """Look once, and return how many seconds to wait before the next time."""
        started = self._clock()
        self.counters.looks += 1
        try:
            await self._watcher.advance()
        except Exception as error:  # noqa: BLE001 - the supervisor: watching goes on whatever happens
            self._note_failure(error)
            return min(self._settings.longest_backoff, self._settings.poll_interval * (1 << self._failures_in_a_row))
        finally:
            self.counters.seconds += self._clock() - started
        if self._error is not None:
            log.info("chain.sees_again", failures=self._failures_in_a_row)
        self._error, self._failures_in_a_row, self._has_looked = None, 0, True
        self._succeeded_at = self._clock()
        if self._trouble() is None:
            self._saw_well_at = self._succeeded_at
        return _BREATH if self._watcher.has_more else self._settings.poll_interval

    def _note_failure(self, error: Exception) -> None:
        self._error = error
        self._failures_in_a_row = min(_MOST_DOUBLINGS, self._failures_in_a_row + 1)
        self.counters.failures += 1
        self._complaints.tell("chain.look_failed", error)

    async def _listen_forever(self) -> None:
        """Look at once when the daemon announces something."""
        address = self._settings.notification_address
        if address is None:
            return
        try:
            async with subscribed(address) as notifications:
                while True:
                    await notifications.wait()
                    self.counters.wake_ups += 1
                    self._news.set()
        except Exception as error:  # noqa: BLE001 - the supervisor: it looks without them as well, a little later
            self._complaints.tell("chain.notifications_failed", error)

    # --- asking wallets -----------------------------------------------------------------------------------------------

    async def _fall_back_forever(self) -> None:
        if self._fallback is None:
            return
        while True:
            await asyncio.sleep(self._settings.fallback_interval)
            if self._is_falling_back():
                await self._ask_wallets(self._fallback)

    async def _ask_wallets(self, fallback: Fallback) -> None:
        """Ask the wallet of each escrow that waits for money."""
        try:
            for escrow in await fallback.awaiting.awaiting():
                await self._try_to_ask(fallback.reader, escrow)
        except Exception as error:  # noqa: BLE001 - the supervisor: the next round may find its way
            self.counters.fallback_failures += 1
            self._complaints.tell("chain.fallback_failed", error)

    async def _try_to_ask(self, reader: WalletReader, escrow: EscrowId) -> None:
        try:
            await self._ask_wallet(reader, escrow)
        except EscrowdError as error:
            self.counters.fallback_failures += 1
            self._complaints.tell("chain.fallback_failed", error)

    async def _ask_wallet(self, reader: WalletReader, escrow: EscrowId) -> None:
        outputs = await reader.read(escrow)
        self.counters.fallback_reads += 1
        await self._log.note_wallet_outputs(escrow, outputs)


# ---------------------------------------------------------------------------------------------------------------------

#: Seconds between two looks when there is more to do than one look does: others want the daemon, too.
_BREATH: Final = 0.01
#: After so many failures in a row the pause is as long as it gets.
_MOST_DOUBLINGS: Final = 16
#: Seconds between two log entries about failures.
_COMPLAIN_EVERY: Final = 60.0

_WALLETS_SEE_MORE: Final = frozenset({Trouble.STARTING, Trouble.LAGGING, Trouble.FAILING, Trouble.UNREADABLE})
_TROUBLES: Final[Mapping[type[Exception], Trouble]] = {
    WrongChain: Trouble.WRONG_CHAIN,
    DaemonBehind: Trouble.DAEMON_BEHIND,
    UnreadableBlock: Trouble.UNREADABLE,
}
#: Errors whose words name blocks and transactions only.
_OF_THE_CHAIN: Final = tuple(_TROUBLES)


class _Complaints:
    """Writes failures to the log, not more often than once a minute for each kind."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[tuple[str, type[Exception]], float] = {}

    def tell(self, event: str, error: Exception) -> None:
        kind = (event, type(error))
        now = self._clock()
        if now - self._told.get(kind, -_COMPLAIN_EVERY) < _COMPLAIN_EVERY:
            return
        self._told[kind] = now
        # An expected error is told by its message; anything else is a bug, and wants its traceback.
        log.warning(event, error=str(error), kind=type(error).__name__, exc_info=not isinstance(error, EscrowdError))


@asynccontextmanager
async def _running(work: Coroutine[None, None, None], name: str) -> AsyncIterator[None]:
    """Run in the background until the end of the block."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
