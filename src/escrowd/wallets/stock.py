"""Finished 2-of-3 wallets made ahead of need, so that an escrow has its address at once.

Each set is made under the id that its escrow will have. Taking one is a matter of the shelf alone: it is done in the
transaction that creates the escrow.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import KeySet, StaleAttempt
from escrowd.domain.parties import WalletRole
from escrowd.wallets.opening import SessionOpener
from escrowd.wallets.sessions import WalletSessionManager

log = structlog.get_logger()

#: The longest wait, in seconds, after sets that failed one after the other.
LONGEST_BACKOFF: Final = 60.0


@dataclass(frozen=True, slots=True)
class StockSettings:
    """How many sets to have, and how fast to make them. Times are seconds.

    Whether finished wallets stay open as sessions is said by the maker (:class:`escrowd.wallets.making.KeepOpen`).
    """

    #: Sets that wait for an escrow; 0 for no stock.
    size: int = 6
    #: Filling begins when fewer than this are left, and goes on to ``size``.
    low_water: int = 6
    #: Sets that are made at the same time, at most.
    at_once: int = 1
    #: From the end of one set to the beginning of the next.
    pause: float = 1.0
    #: How often the shelf is looked at when nobody says that a set was taken, and how often room is looked for.
    check_interval: float = 10.0


class Shelf(Protocol):
    """Where the stock of this node is stored. Each call is one transaction."""

    async def count_ready(self) -> int:
        """Return how many sets wait for an escrow."""
        ...

    async def begin(self, escrow: EscrowId) -> None:
        """Note that a set is being made under this id."""
        ...

    async def ready(self, keys: KeySet) -> None:
        """Store a finished set and the records of its wallets; it may be taken. Doing it again changes nothing."""
        ...

    async def failed(self, escrow: EscrowId, why: str) -> None:
        """Note that a set is never going to be ready. Doing it again changes nothing.

        Raises:
            StaleAttempt: it is ready, or was taken.

        """
        ...

    async def left_making(self) -> tuple[EscrowId, ...]:
        """Return the sets of this node that are being made, or were when an earlier run of the service ended."""
        ...


class SetMaker(Protocol):
    """Who makes whole sets (:class:`escrowd.service.keying.sets.HostedSets`)."""

    async def make(self, escrow: EscrowId) -> KeySet:
        """Make three hosted keys. Raises EscrowdError where that fails."""
        ...

    async def withdraw(self, escrow: EscrowId) -> None:
        """Close what is open of a set that is stored as failed, and put its files aside."""
        ...


@dataclass(frozen=True, slots=True)
class Capacity:
    """What this machine has to spare at a moment."""

    cores: int
    #: Cores that nobody uses or waits for.
    idle_cores: int
    #: Wallet processes that may yet be taken.
    processes: int
    #: Whether somebody waits for a lease.
    is_pressed: bool


@dataclass(frozen=True, slots=True)
class StockStats:
    """What the stock has done since the start of the service."""

    #: Sets that waited for an escrow at the last look, and how many there shall be.
    ready: int
    wanted: int
    making: int
    made: int
    failed: int


def sets_to_start(ready: int, making: int, capacity: Capacity, settings: StockSettings, *, filling: bool) -> int:
    """Return how many sets to begin now: what is missing, as far as nobody else needs the room.

    ``filling`` is whether the stock was once below the low-water mark and has not been full since. A set takes all
    cores that three wallets can use for seconds and cannot be interrupted, so it begins only when they are idle.
    """
    missing = settings.size - ready - making
    if capacity.is_pressed or not filling or missing <= 0:
        return 0
    cores_of_a_set = min(len(WalletRole), capacity.cores)
    return max(
        0,
        min(
            missing,
            settings.at_once - making,
            capacity.idle_cores // cores_of_a_set,
            capacity.processes // len(WalletRole),
        ),
    )


def is_filling(ready: int, making: int, settings: StockSettings, *, was_filling: bool) -> bool:
    """Return whether the stock is being filled: from the low-water mark on, until it is full."""
    there = ready + making
    return there < settings.size and (was_filling or there < settings.low_water)


def capacity_of(opener: SessionOpener, manager: WalletSessionManager) -> Capacity:
    """Look what is to spare now."""
    pool = opener.pool
    return Capacity(
        cores=opener.cores.count,
        idle_cores=opener.cores.idle,
        processes=pool.bounds.maximum - pool.stats().in_use,
        is_pressed=manager.get_stats().waiting > 0,
    )


@dataclass(slots=True)
class _Loose:
    """What has to be stored yet: sets that failed, with the reason, and sets that are finished."""

    failed: dict[EscrowId, str] = field(default_factory=dict)
    finished: dict[EscrowId, KeySet] = field(default_factory=dict)


class Stock:
    """Keeps the shelf filled while it is open. Enter it with ``async with``.

    Mutable state: ``_making`` (a task for each set), ``_loose`` and the counters, changed only between awaits.
    """

    def __init__(
        self,
        shelf: Shelf,
        maker: SetMaker,
        capacity: Callable[[], Capacity],
        new_id: Callable[[], EscrowId],
        settings: StockSettings | None = None,
    ) -> None:
        self.settings = settings or StockSettings()
        self._shelf = shelf
        self._maker = maker
        self._capacity = capacity
        self._new_id = new_id
        self._making: dict[EscrowId, asyncio.Task[None]] = {}
        self._loose = _Loose()
        self._wake = asyncio.Event()
        self._filling = True
        self._ready = 0
        self._made = 0
        self._failures = 0
        self._failures_in_a_row = 0
        self._not_before = 0.0
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep(), name="stock")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up the sets that are being made. The next start cleans up after them."""
        tasks = [task for task in (self._keeper, *self._making.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def taken(self) -> None:
        """Hear that a set was taken from the shelf."""
        self._wake.set()

    def stats(self) -> StockStats:
        """Count."""
        return StockStats(self._ready, self.settings.size, len(self._making), self._made, self._failures)

    # --- the keeper ------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        knows_leftovers = False
        while True:
            self._wake.clear()
            wait = self.settings.check_interval
            try:
                if not knows_leftovers:
                    left = await self._shelf.left_making()
                    self._loose.failed |= dict.fromkeys(left, "the service ended before the set was finished")
                    knows_leftovers = True
                await self._store_what_is_loose()
                wait = min(wait, await self._fill())
            except Exception as error:  # noqa: BLE001 - whatever fails here, the stock is looked after again
                _tell("stock.not_kept", error)
                wait = self._back_off()
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _store_what_is_loose(self) -> None:
        """Store how sets ended. Only then are the files of those that failed touched."""
        for escrow, keys in tuple(self._loose.finished.items()):
            await self._shelf.ready(keys)
            del self._loose.finished[escrow]
        for escrow, why in tuple(self._loose.failed.items()):
            try:
                await self._shelf.failed(escrow, why)
            except StaleAttempt:
                # Stored as finished after all, only the answer was lost: its wallets are somebody's.
                log.warning("stock.set_was_finished", escrow=escrow)
            else:
                await self._maker.withdraw(escrow)
            del self._loose.failed[escrow]

    async def _fill(self) -> float:
        """Begin what can be begun now, and return in how many seconds to look again."""
        ready = self._ready = await self._shelf.count_ready()
        making = len(self._making)
        self._filling = is_filling(ready, making, self.settings, was_filling=self._filling)
        wait = self._not_before - _now()
        if wait > 0:
            return wait
        for _ in range(sets_to_start(ready, making, self._capacity(), self.settings, filling=self._filling)):
            escrow = self._new_id()
            await self._begin(escrow)
            task = self._making[escrow] = asyncio.create_task(self._make(escrow), name=f"stock {escrow}")
            task.add_done_callback(lambda _: self._wake.set())
        return self.settings.check_interval

    async def _begin(self, escrow: EscrowId) -> None:
        try:
            await self._shelf.begin(escrow)
        except EscrowdError:
            # It may be stored in spite of that.
            self._loose.failed[escrow] = "the set was never begun"
            raise

    async def _make(self, escrow: EscrowId) -> None:
        """Make one set; the keeper stores what became of it."""
        try:
            self._loose.finished[escrow] = await self._maker.make(escrow)
        except Exception as error:  # noqa: BLE001 - whatever failed, this set is over
            _tell("stock.set_failed", error)
            self._loose.failed[escrow] = str(error)
            self._failures += 1
            self._back_off()
        else:
            log.info("stock.set_made", escrow=escrow)
            self._made += 1
            self._failures_in_a_row = 0
            self._not_before = _now() + self.settings.pause
        finally:
            del self._making[escrow]

    def _back_off(self) -> float:
        """Begin nothing for a while, twice as long after each failure, and return for how long."""
        self._failures_in_a_row += 1
        wait = min(LONGEST_BACKOFF, 2.0**self._failures_in_a_row)
        self._not_before = _now() + wait
        return wait


# ---------------------------------------------------------------------------------------------------------------------


def _tell(event: str, error: Exception) -> None:
    """Log an expected error by its message, and a bug with its traceback."""
    log.error(event, error=str(error), exc_info=None if isinstance(error, EscrowdError) else error)


def _now() -> float:
    return asyncio.get_running_loop().time()
