"""Claims work rows that are due and carries them out: one step for each row at a time, in all processes together.

A claim lasts for a while and is renewed while its step runs. A step whose claim cannot be renewed is cancelled before
the claim runs out: on the monotonic clock, since no other process keeps the time while the database is away. It gives
its claim back, so that another try begins as soon as the database answers. What a step stores is stored under the
fence of its claim, so even one that hangs and wakes up late stores nothing.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar

import structlog

from escrowd.domain.conflicts import LeaseLost
from escrowd.domain.errors import EscrowdError
from escrowd.domain.work import ClaimedRow

log = structlog.get_logger()

ResultT = TypeVar("ResultT")


class WorkQueue(Protocol):
    """Where the work rows are. Each call is one transaction."""

    async def begin(self, seconds: float) -> int:
        """Free what an earlier run of this node had claimed, and return how much that was."""
        ...

    async def heartbeat(self, seconds: float) -> None:
        """Say that this node lives, and will for so long."""
        ...

    async def end(self) -> None:
        """Say that this node is gone: what is preferably done by it may be done by others at once."""
        ...

    async def claim(
        self, exclude: frozenset[str], limit: int, seconds: float, *, kinds: frozenset[str] | None = None
    ) -> tuple[ClaimedRow, ...]:
        """Claim rows of these kinds that are due and that nobody has, but not those that run here."""
        ...

    async def renew(self, claimed: ClaimedRow, seconds: float) -> bool:
        """Make a claim last longer; return whether it is still ours."""
        ...

    async def settle(self, claimed: ClaimedRow, in_seconds: float | None) -> None:
        """Give a claim back; due in a while, when woken (``None``), or at once if it was woken meanwhile."""
        ...

    async def fail(self, claimed: ClaimedRow, error: str, in_seconds: float) -> None:
        """Give a claim back after a failure, to be tried again in a while."""
        ...

    async def seconds_to_next(
        self, exclude: frozenset[str] = frozenset(), *, kinds: frozenset[str] | None = None
    ) -> float | None:
        """Return in how many seconds the next row that we may claim is due; ``None`` where there is none."""
        ...


@dataclass(slots=True)
class WorkClaim:
    """The right to carry out one row, until ``deadline`` on the monotonic clock."""

    row: ClaimedRow
    deadline: float

    @property
    def key(self) -> str:
        """The name of the row."""
        return self.row.key

    @property
    def subject(self) -> str:
        """What the row is about: its key without the kind."""
        return self.row.key.partition(":")[2]

    @property
    def fence(self) -> int:
        """The number of the claim."""
        return self.row.fence

    def check(self) -> None:
        """Make sure that the lease has not run out, before anything leaves this process. Raises LeaseLost."""
        if time.monotonic() >= self.deadline:
            raise LeaseLost(f"the claim on {self.key} has run out")


#: Carries out a row; returns in how many seconds to look again, ``None`` for: when woken.
RowHandler: TypeAlias = Callable[[WorkClaim], Awaitable[float | None]]


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How much a worker does at once, and how long claims last. Times are seconds."""

    #: Steps at the same time, of all kinds that have no places of their own.
    concurrency: int = 16
    #: Places of their own, by kind: steps that wait for strangers must not keep others waiting.
    places: Mapping[str, int] = field(default_factory=dict)
    lease: float = 30.0
    #: How often the table is looked at when nobody says that something is due.
    poll: float = 1.0
    #: The pause before a row that is due, and that was not ours to claim a moment ago, is looked at again.
    shortest_poll: float = 0.02
    #: The first pause after a failure; each further one is twice as long, up to ``longest_pause``.
    first_pause: float = 0.5
    longest_pause: float = 30.0
    #: How long the end of the service waits for steps under way.
    stop_patience: float = 30.0


@dataclass(slots=True)
class WorkerCounters:
    """What a worker did since its start."""

    steps: int = 0
    failures: int = 0
    leases_lost: int = 0


class Worker:
    """Carries out work rows while it is entered with ``async with``.

    Mutable: ``_running``, the steps under way by key, changed between awaits only.
    """

    def __init__(
        self, queue: WorkQueue, handlers: Mapping[str, RowHandler], settings: WorkerSettings | None = None
    ) -> None:
        self.counters = WorkerCounters()
        self._queue = queue
        self._handlers = handlers
        self._settings = settings or WorkerSettings()
        self._groups = _groups(handlers, self._settings)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stops = False

    async def __aenter__(self) -> Self:
        freed = await self._queue.begin(self._settings.lease)
        log.info("worker.started", freed=freed)
        self._tasks = [
            asyncio.create_task(self._look_regularly(), name="worker"),
            asyncio.create_task(self._beat_regularly(), name="worker heartbeat"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Claim nothing more, and let the steps under way come to their end as long as patience lasts."""
        self._stops = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        steps = tuple(self._running.values())
        if steps:
            await asyncio.wait(steps, timeout=self._settings.stop_patience)
        for step in steps:
            step.cancel()
        await asyncio.gather(*steps, return_exceptions=True)
        try:
            await self._queue.end()
        except EscrowdError as trouble:
            # Others find out by the heartbeat.
            log.warning("worker.not_signed_off", error=str(trouble))

    def wake(self, _key: str = "") -> None:
        """Look at once: something is due."""
        self._woken.set()

    @property
    def running(self) -> frozenset[str]:
        """Keys of the rows that are being carried out here."""
        return frozenset(self._running)

    @property
    def is_working(self) -> bool:
        """Whether due rows are looked for."""
        return not self._stops and bool(self._tasks) and not any(each.done() for each in self._tasks)

    # --- claiming ----------------------------------------------------------------------------------------------------

    async def _look_regularly(self) -> None:
        while True:
            # Cleared first: what is woken during the look is looked for again.
            self._woken.clear()
            try:
                pause = await self._look()
            except Exception as error:  # noqa: BLE001 - whatever fails here, the work is looked for again
                _tell("worker.cannot_claim", error)
                pause = self._settings.poll
            if pause:
                await self._sleep(pause)

    async def _look(self) -> float:
        """Claim what is due, and return in how many seconds to look again at the latest."""
        with_room = {kinds: room for kinds, most in self._groups.items() if (room := self._room(kinds, most)) > 0}
        claimed = [await self._claim(kinds, room) for kinds, room in with_room.items()]
        if any(claimed):
            return 0.0
        kinds = frozenset().union(*with_room)
        if not kinds:
            return self._settings.poll  # the end of a step wakes us
        due = await self._queue.seconds_to_next(frozenset(self._running), kinds=kinds)
        return self._settings.poll if due is None else min(self._settings.poll, max(due, self._settings.shortest_poll))

    def _room(self, kinds: frozenset[str], most: int) -> int:
        return most - sum(key.partition(":")[0] in kinds for key in self._running)

    async def _claim(self, kinds: frozenset[str], room: int) -> int:
        """Claim rows of these kinds, begin their steps, and return how many those are."""
        asked_at = time.monotonic()
        rows = await self._queue.claim(frozenset(self._running), room, self._settings.lease, kinds=kinds)
        for row in rows:
            claim = WorkClaim(row, asked_at + self._settings.lease)
            task = asyncio.create_task(self._carry_out(claim), name=f"step {row.key}")
            self._running[row.key] = task
            task.add_done_callback(partial(self._ended, row.key))
        return len(rows)

    def _ended(self, key: str, _task: asyncio.Task[None]) -> None:
        self._running.pop(key, None)
        self._woken.set()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _beat_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease / 3)
            try:
                await self._queue.heartbeat(self._settings.lease)
            except Exception as error:  # noqa: BLE001 - the next one may succeed
                _tell("worker.no_heartbeat", error)

    # --- one step ----------------------------------------------------------------------------------------------------

    async def _carry_out(self, claim: WorkClaim) -> None:
        step = asyncio.ensure_future(self._handlers[claim.row.kind](claim))
        keeper = asyncio.create_task(self._keep(claim, step))
        try:
            in_seconds = await step
        except LeaseLost as error:
            self.counters.leases_lost += 1
            log.warning("work.lost", key=claim.key, error=str(error))
        except asyncio.CancelledError:
            if self._stops:
                await self._hand_back(claim, claim.deadline)
                raise
            self.counters.leases_lost += 1
            log.warning("work.cancelled", key=claim.key, reason="its claim could not be renewed")
            # Where only the reply to its last renewal was lost, the claim lasts for one more lease.
            await self._hand_back(claim, time.monotonic() + self._settings.lease)
        except Exception as error:  # noqa: BLE001 - whatever it is, the row must be tried again, and later than at once
            self.counters.failures += 1
            await self._fail(claim, error)
        else:
            self.counters.steps += 1
            await self._give_back(claim, in_seconds)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep(self, claim: WorkClaim, step: "asyncio.Future[float | None]") -> None:
        """Renew the claim while its step runs; cancel the step before a claim that is not renewed runs out."""
        lease = self._settings.lease
        pause = lease / 3
        while True:
            await asyncio.sleep(pause)
            asked_at = time.monotonic()
            renewed = await self._renewed_within(claim, claim.deadline - asked_at - lease / 6)
            if renewed:
                claim.deadline = asked_at + lease
                pause = lease / 3
            elif renewed is None and claim.deadline - time.monotonic() > lease / 4:
                pause = lease / 12
            else:
                step.cancel()
                return

    async def _renewed_within(self, claim: WorkClaim, seconds: float) -> bool | None:
        return await _within(seconds, self._renew(claim))

    async def _renew(self, claim: WorkClaim) -> bool | None:
        """Return whether the claim is still ours; ``None`` where that cannot be found out now."""
        try:
            return await self._queue.renew(claim.row, self._settings.lease)
        except EscrowdError as error:
            log.warning("work.not_renewed", key=claim.key, error=str(error))
            return None

    async def _give_back(self, claim: WorkClaim, in_seconds: float | None) -> None:
        await self._tell_queue(claim, lambda: self._queue.settle(claim.row, in_seconds))

    async def _hand_back(self, claim: WorkClaim, until: float) -> None:
        """Give the claim of a cancelled step back, due at once; a database that hangs is not waited for any longer."""
        seconds = max(self._settings.lease / 6, until - time.monotonic())
        await _within(seconds, self._tell_queue(claim, lambda: self._queue.settle(claim.row, 0.0), until))

    async def _fail(self, claim: WorkClaim, error: Exception) -> None:
        if isinstance(error, EscrowdError):
            log.warning("work.failed", key=claim.key, attempt=claim.row.attempt, error=_described(error))
        else:
            log.error("work.broke", key=claim.key, attempt=claim.row.attempt, exc_info=error)
        pause = self._pause_after(claim.row.attempt) * (0.5 + 0.5 * random.random())  # noqa: S311 - it only spreads load
        await self._tell_queue(claim, lambda: self._queue.fail(claim.row, _described(error), pause))

    def _pause_after(self, failures: int) -> float:
        doublings = min(failures, _MOST_DOUBLINGS)
        return min(self._settings.longest_pause, self._settings.first_pause * 2.0**doublings)

    async def _tell_queue(
        self, claim: WorkClaim, tell: Callable[[], Awaitable[None]], until: float | None = None
    ) -> None:
        """Store what became of a row, again and again until the claim ends: else the step would be done once more."""
        while True:
            try:
                await tell()
            except LeaseLost as error:
                # Or it was told, and only the answer was lost.
                log.warning("work.not_settled", key=claim.key, error=str(error))
            except EscrowdError as error:
                if time.monotonic() + self._settings.first_pause < (claim.deadline if until is None else until):
                    await asyncio.sleep(self._settings.first_pause)
                    continue
                log.warning("work.not_settled", key=claim.key, error=str(error))
            return


# ---------------------------------------------------------------------------------------------------------------------

_LONGEST_ERROR: Final = 500
#: More would be too large a number, some day.
_MOST_DOUBLINGS: Final = 16


def _groups(kinds: Iterable[str], settings: WorkerSettings) -> dict[frozenset[str], int]:
    """Return the kinds that share places, and how many they have."""
    others = frozenset(kinds) - frozenset(settings.places)
    own = {frozenset({kind}): places for kind, places in settings.places.items() if kind in frozenset(kinds)}
    return {others: settings.concurrency} | own if others else own


async def _within(seconds: float, act: Coroutine[Any, Any, ResultT]) -> ResultT | None:
    """Return the result of a call of the database, or ``None`` where it does not end in time.

    Not a time-out, which would wait for the end of what it cancels: a database that hangs does not let go.
    """
    task = asyncio.create_task(act)
    try:
        await asyncio.wait([task], timeout=max(0.0, seconds))
        return task.result() if task.done() else None
    finally:
        task.cancel()


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]


def _tell(event: str, error: Exception) -> None:
    """Log an expected error by its message, and a bug with its traceback."""
    if isinstance(error, EscrowdError):
        log.error(event, error=str(error))
    else:
        log.error(event, exc_info=error)
