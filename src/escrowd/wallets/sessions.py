"""WalletSessionManager: who may use which escrow's wallets, and which sessions stay open.

All state changes happen in short synchronous steps between awaits; :meth:`WalletSessionManager._dispatch` plans them.
Opening, repairing and closing run in tasks of the manager's own. A caller only waits for them, so a caller who is
cancelled at any point leaves nothing half done: at worst a session stays open that nobody needed.
"""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.monero.wallet import MoneroClient
from escrowd.wallets.errors import ManagerClosed, RoleNotHosted, SessionUnavailable, TooManyWaiting
from escrowd.wallets.plan import Phase, SessionView, Waiting, plan, stale, surplus
from escrowd.wallets.session import Faults, Opener, SessionLease, TipSource, WalletSession
from escrowd.wallets.settings import AtExit, SessionSettings
from escrowd.wallets.slots import Slot, Waiter, stats_of
from escrowd.wallets.stats import SessionCounters, SessionInfo, SessionStats

log = structlog.get_logger()

ResultT = TypeVar("ResultT")

#: How often a session is repaired for one lease before its fault is the caller's to know.
REPAIRS_PER_LEASE = 2


class WalletSessionManager:
    """Keeps the wallets of escrows open, and lends each escrow's wallets to one holder at a time.

    Enter it with ``async with``. Mutable state: ``_slots`` (one per session, in whatever phase) and ``_waiting`` (who
    wants a lease, oldest first). Both are touched only by synchronous methods of this class, on the event loop.
    """

    def __init__(
        self,
        opener: Opener,
        tips: TipSource,
        settings: SessionSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or SessionSettings()
        self._opener = opener
        self._tips = tips
        self._clock = clock
        self._slots: dict[EscrowId, Slot] = {}
        self._waiting: dict[int, Waiter] = {}
        self._tickets = itertools.count()
        self._counters = SessionCounters()
        self._work: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self._cleaner: asyncio.Task[None] | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        self._cleaner = asyncio.create_task(self._clean_up_regularly(), name="session cleanup")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give out no more leases, wait for those under way, then leave or close the sessions."""
        self._is_closed = True
        for waiter in self._waiting.values():
            waiter.fail(ManagerClosed())
        if self._cleaner is not None:
            self._cleaner.cancel()
            await asyncio.gather(self._cleaner, return_exceptions=True)
        await self._settle()
        if self.settings.at_exit is AtExit.CLOSE:
            await self._close_all([slot for slot in self._slots.values() if slot.phase is Phase.IDLE])
        sessions = [slot.session for slot in self._slots.values() if slot.session is not None]
        await asyncio.gather(*(self._opener.leave(session) for session in sessions))
        self._slots.clear()

    # --- leases ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(
        self, escrow: EscrowId, roles: Sequence[WalletRole] | None = None, timeout: float | None = None
    ) -> AsyncIterator[SessionLease]:
        """Lend the wallets of an escrow to the caller alone, verified, until the end of the block.

        ``roles`` names the wallets that are wanted (default: all hosted ones). A session that is not open is opened,
        one whose wallet broke is repaired. ``timeout`` is how many seconds to wait for all that.

        Raises:
            TooManyWaiting: the queue is full.
            SessionUnavailable: not in time; the message says what it waited for.
            UnknownEscrow, RoleNotHosted: there is no such wallet.
            EscrowdError: the wallets could not be opened.

        """
        slot, session = await self._acquire(escrow, roles, timeout)
        try:
            yield SessionLease(session, self._tips, roles or tuple(session.records))
        finally:
            self._release(slot)

    @asynccontextmanager
    async def get_wallet(
        self, escrow: EscrowId, role: WalletRole, timeout: float | None = None
    ) -> AsyncIterator[MoneroClient]:
        """Lend one wallet of an escrow, verified, until the end of the block. Raises as :meth:`lease` does."""
        async with self.lease(escrow, (role,), timeout) as lease:
            yield lease.wallet(role)

    async def get_or_create_session(self, escrow: EscrowId, timeout: float | None = None) -> SessionInfo:
        """See to it that the wallets of an escrow are open and well. Raises as :meth:`lease` does."""
        slot, _ = await self._acquire(escrow, None, timeout)
        self._release(slot)
        return slot.info(self._clock())

    # --- closing ---------------------------------------------------------------------------------------------------

    async def close_session(self, escrow: EscrowId, timeout: float | None = None) -> None:
        """Save and close the wallets of an escrow as soon as nobody uses them. Without a session, nothing happens.

        Raises:
            SessionUnavailable: the session was not returned in time; it stays open.
            WalletNotSaved: a wallet could not be written to disk; it stays open.

        """
        slot = self._slots.get(escrow)
        if slot is None:
            return
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        slot.closers.append(closed)
        if slot.phase is Phase.IDLE:
            self._start_closing(slot)
        seconds = self.settings.lease_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(seconds):
                await closed
        except TimeoutError:
            raise SessionUnavailable(
                f"the session of {escrow} is {slot.phase} and was not closed in {seconds:g} s"
            ) from None
        finally:
            if closed in slot.closers:
                slot.closers.remove(closed)

    async def cleanup_stale_sessions(self) -> int:
        """Save and close the sessions that nobody used for their lifetime; return how many were closed."""
        closed = await self._close_all([self._slots[escrow] for escrow in stale(self._views(), self._clock())])
        self._counters.expirations += closed
        return closed

    # --- looking ---------------------------------------------------------------------------------------------------

    def get_stats(self) -> SessionStats:
        """Count the sessions and what has happened to them."""
        return stats_of(
            self._slots.values(), len(self._waiting), self.settings.max_sessions, self._counters, self._clock()
        )

    def list_sessions(self) -> tuple[SessionInfo, ...]:
        """Describe every session, the least recently used first."""
        return tuple(slot.info(self._clock()) for slot in sorted(self._slots.values(), key=lambda slot: slot.last_used))

    @property
    def has_room(self) -> bool:
        """Whether one more session could be open without closing another, and nobody waits for that room."""
        return len(self._slots) < self.settings.max_sessions and not self._waiting

    # --- adoption --------------------------------------------------------------------------------------------------

    def adopt(self, sessions: Iterable[WalletSession]) -> None:
        """Take over sessions that were found open in running processes; close those that are too many."""
        for session in sessions:
            self._take_in(session)
            self._counters.adoptions += 1
        self._close_surplus()

    def admit(self, session: WalletSession, *, evicting: bool) -> bool:
        """Take in wallets that were just made and are open, of an escrow without a session; return whether we did.

        Without room, ``evicting`` closes the least recently used idle session; else the wallets stay their owner's.
        """
        if self._is_closed or not (evicting or self.has_room):
            return False
        self._take_in(session)
        self._close_surplus()
        self._dispatch()
        return True

    # --- acquiring and releasing -----------------------------------------------------------------------------------

    async def _acquire(
        self, escrow: EscrowId, roles: Sequence[WalletRole] | None, timeout: float | None
    ) -> tuple[Slot, WalletSession]:
        seconds = self.settings.lease_timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._acquire_verified(escrow, roles)
        except TimeoutError:
            self._counters.refusals += 1
            raise SessionUnavailable(f"no lease of {escrow} in {seconds:g} s: {self._why_waiting(escrow)}") from None

    async def _acquire_verified(
        self, escrow: EscrowId, roles: Sequence[WalletRole] | None
    ) -> tuple[Slot, WalletSession]:
        faults: Faults = {}
        slot = self._slots.get(escrow)
        self._counters.count_request(found_open=slot is not None and slot.is_open)
        for _ in range(REPAIRS_PER_LEASE + 1):
            slot = await self._granted(escrow)
            try:
                session = slot.open_session
                faults = await self._faults(session, roles)
            except BaseException:
                self._release(slot)
                raise
            if not faults:
                return slot, session
            self._counters.repairs += 1
            self._start_opening(slot, self._opener.repair(session, faults))
        raise next(iter(faults.values()))

    async def _granted(self, escrow: EscrowId) -> Slot:
        """Wait in the queue until the session of this escrow is ours."""
        if self._is_closed:
            raise ManagerClosed
        if len(self._waiting) >= self.settings.max_waiting:
            self._counters.refusals += 1
            raise TooManyWaiting(f"{len(self._waiting)} wait for a session already; try again later")
        waiter = Waiter(escrow, asyncio.get_running_loop().create_future())
        ticket = next(self._tickets)
        self._waiting[ticket] = waiter
        self._dispatch()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            # The lease may have been handed over in the very moment in which its taker was cancelled.
            if waiter.has_lease:
                self._release(waiter.granted.result())
            raise
        finally:
            self._waiting.pop(ticket, None)

    async def _faults(self, session: WalletSession, roles: Sequence[WalletRole] | None) -> Faults:
        wanted = roles or tuple(session.records)
        for role in wanted:
            if role not in session.records:
                hosted = ", ".join(session.records)
                raise RoleNotHosted(f"{session.escrow} has no hosted wallet of the {role}; hosted here: {hosted}")
        return await session.faults(wanted, self.settings.check_timeout)

    def _release(self, slot: Slot) -> None:
        slot.open_session.raise_fences()
        self._become_idle(slot)
        self._dispatch()

    # --- planning --------------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Plan, and apply the plan: nothing else gives out, opens or evicts sessions."""
        self._changed.set()
        waiting = [Waiting(ticket, one.escrow) for ticket, one in self._waiting.items() if one.is_waiting]
        if not waiting:
            return
        planned = plan(self._views(), waiting, self.settings.max_sessions, self._clock())
        for escrow in planned.evictions:
            self._counters.evictions += 1
            self._start_closing(self._slots[escrow])
        for escrow in planned.opens:
            slot = self._new_slot(escrow)
            self._start_opening(slot, self._opener.open(escrow))
        for one in planned.grants:
            slot = self._slots[one.escrow]
            slot.phase = Phase.LEASED
            self._waiting.pop(one.ticket).grant(slot)

    def _views(self) -> list[SessionView]:
        return [slot.view() for slot in self._slots.values()]

    def _new_slot(self, escrow: EscrowId) -> Slot:
        now = self._clock()
        slot = self._slots[escrow] = Slot(escrow, opened_at=now, last_used=now)
        return slot

    def _take_in(self, session: WalletSession) -> None:
        if session.escrow in self._slots:
            raise AssertionError(f"{session.escrow} has a session already")
        slot = self._new_slot(session.escrow)
        slot.session = session
        self._become_idle(slot)

    def _close_surplus(self) -> None:
        for escrow in surplus(self._views(), self.settings.max_sessions, self._clock()):
            self._start_closing(self._slots[escrow])

    def _become_idle(self, slot: Slot) -> None:
        settings = self.settings
        slot.phase = Phase.IDLE
        slot.last_used = self._clock()
        lifetime = settings.ttl * (1 - settings.ttl_jitter * random.random())  # noqa: S311 - no secret hangs on it
        slot.expires_at = slot.last_used + lifetime
        if slot.closers:
            self._start_closing(slot)

    # --- opening, repairing, closing: tasks of our own -------------------------------------------------------------

    def _start_opening(self, slot: Slot, work: Coroutine[None, None, WalletSession]) -> None:
        slot.phase = Phase.OPENING
        self._start(slot, work, partial(self._opened, slot))

    def _opened(self, slot: Slot, task: asyncio.Task[WalletSession]) -> None:
        error = ManagerClosed() if task.cancelled() else task.exception()
        if error is None:
            if slot.session is None:
                self._counters.count_opening(self._clock() - slot.opened_at)
                log.info("session.opened", escrow=slot.escrow, seconds=self._counters.open_seconds_last)
            slot.session = task.result()
            self._become_idle(slot)
        else:
            log.error("session.not_opened", escrow=slot.escrow, error=str(error))
            for waiter in self._waiting.values():
                if waiter.escrow == slot.escrow:
                    waiter.fail(error)
            if slot.session is not None and slot.session.wallets:
                self._become_idle(slot)  # a failed repair: the other wallets are still open
            else:
                self._forget(slot)
        self._dispatch()

    def _start_closing(self, slot: Slot) -> None:
        slot.phase = Phase.CLOSING
        self._start(slot, self._opener.close(slot.open_session), partial(self._closed, slot))

    def _closed(self, slot: Slot, task: asyncio.Task[None]) -> None:
        error = ManagerClosed() if task.cancelled() else task.exception()
        if error is None:
            log.info("session.closed", escrow=slot.escrow)
            self._forget(slot)
        else:
            log.error("session.not_closed", escrow=slot.escrow, error=str(error))
            self._counters.save_failures += 1
            slot.evictable_from = self._clock() + self.settings.save_retry
            slot.tell_closers(error)
            self._become_idle(slot)
        self._dispatch()

    def _forget(self, slot: Slot) -> None:
        del self._slots[slot.escrow]
        slot.tell_closers(None)

    def _start(
        self, slot: Slot, work: Coroutine[None, None, ResultT], then: Callable[[asyncio.Task[ResultT]], None]
    ) -> None:
        task = asyncio.create_task(work)
        slot.work = task
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        task.add_done_callback(then)

    async def _close_all(self, slots: Iterable[Slot]) -> int:
        """Close sessions, not to be stopped by a cancellation of ours, and count those that closed."""
        slots = tuple(slots)
        for slot in slots:
            self._start_closing(slot)
        if not slots:
            return 0
        done, _ = await asyncio.wait([slot.work for slot in slots if slot.work is not None])
        return sum(not task.cancelled() and task.exception() is None for task in done)

    async def _settle(self) -> None:
        """Wait until leases are returned and work is done, as long as patience lasts."""
        try:
            async with asyncio.timeout(self.settings.stop_patience):
                while self._work or any(slot.phase is Phase.LEASED for slot in self._slots.values()):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.warning("sessions.stopped_in_use", sessions=[info.escrow for info in self.list_sessions()])
            work = tuple(self._work)
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _clean_up_regularly(self) -> None:
        while True:
            await asyncio.sleep(self.settings.cleanup_interval)
            await self.cleanup_stale_sessions()

    def _why_waiting(self, escrow: EscrowId) -> str:
        slot = self._slots.get(escrow)
        if slot is None:
            return f"all {self.settings.max_sessions} sessions that may be open are in use"
        return f"its session is {slot.phase}"
