"""Which Monero the service runs on, and which hard fork comes: asked at the start and every ten minutes.

The daemon knows the heights of the forks that were compiled into its release, so it announces one as soon as it is of a
release that brings it. A fork that only a newer release knows is named by the operator, as ``monero.fork_height``.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.events import ForkApproaching
from escrowd.domain.escrow.status import OPEN
from escrowd.domain.forks import AnnouncedFork, notice_of
from escrowd.domain.networks import Network
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.errors import UnknownVersion
from escrowd.monero.programs import release_of
from escrowd.monero.results_daemon import DaemonInfo
from escrowd.monero.versions import NEWEST_FORK, Engine, Override, Release, Verdict, judge_engine
from escrowd.service.ports import Store

log = structlog.get_logger()

#: Seconds between two polls: four or five blocks.
POLL_INTERVAL: Final = 600.0
#: Seconds between two polls while they fail.
RETRY_INTERVAL: Final = 30.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the operator says of the Monero that the service runs on."""

    network: Network
    allowed: frozenset[Override] = frozenset()
    #: Height of an announced hard fork that the daemon may not know of.
    fork_height: int | None = None


@dataclass(frozen=True, slots=True)
class EngineState:
    """What is known of the Monero underneath, as of the last poll that succeeded."""

    engine: Engine = field(default_factory=Engine)
    verdict: Verdict = field(default_factory=Verdict)
    #: Number of blocks of the daemon's chain; ``None`` before the daemon answered.
    height: int | None = None
    fork: AnnouncedFork | None = None

    @property
    def is_supported(self) -> bool:
        """Whether new escrows may be begun on it."""
        return not self.verdict.refusals

    @property
    def blocks_left(self) -> int | None:
        """Blocks until the announced fork; ``None`` where none is announced."""
        return None if self.fork is None or self.height is None else self.fork.blocks_left(self.height)

    @property
    def notice(self) -> ForkApproaching | None:
        """The event about the announced fork that is due for each open escrow."""
        return None if self.fork is None or self.height is None else notice_of(self.fork, self.height)


async def engine_state(daemon: MoneroDaemon, program: Path, settings: EngineSettings) -> EngineState:
    """Ask daemon and wallet program what they are, and judge both.

    Raises:
        MoneroError: the daemon does not answer.
        UnknownVersion: the wallet program prints no version of Monero.

    """
    wallet = await asyncio.to_thread(release_of, program)
    info = await daemon.get_info()
    newer = await daemon.hard_fork_info(NEWEST_FORK + 1)
    fork = _next_fork(newer.planned_height, settings.fork_height)
    is_passed = fork is not None and fork.blocks_left(info.height) == 0
    # A chain past the announced height under the old rules would be that of a minority.
    version = NEWEST_FORK + 1 if is_passed else newer.version
    engine = Engine(wallet, _release(info), version)
    return EngineState(engine, judge_engine(engine, settings.network, settings.allowed), info.height, fork)


class EngineWatch:
    """Polls while it is entered with ``async with``, and wakes all open escrows when another event about a fork is due.

    It wakes them after each start, too: which events an escrow has had is stored with the escrow.
    """

    def __init__(
        self,
        daemon: MoneroDaemon,
        program: Path,
        settings: EngineSettings,
        store: Store,
        interval: float = POLL_INTERVAL,
    ) -> None:
        self._daemon = daemon
        self._program = program
        self._settings = settings
        self._store = store
        self._interval = interval
        self._state = EngineState()
        #: Height and threshold of the last notice that was passed on.
        self._passed_on: tuple[int, int] | None = None
        self._polling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        pause = await self.poll()
        self._polling = asyncio.create_task(self._keep_polling(pause), name="engine watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)

    @property
    def state(self) -> EngineState:
        """What was found out at the last poll that succeeded."""
        return self._state

    @property
    def notice(self) -> ForkApproaching | None:
        """The event that is due for each open escrow."""
        return self._state.notice

    async def poll(self) -> float:
        """Poll once, and return in how many seconds to do so again."""
        try:
            before, self._state = self._state, await engine_state(self._daemon, self._program, self._settings)
            _log_changes(before, self._state)
            await self._pass_on()
        except (EscrowdError, OSError) as error:
            log.warning("monero.not_asked", error=str(error))
            return RETRY_INTERVAL
        return self._interval

    async def _pass_on(self) -> None:
        notice = self.notice
        due = None if notice is None else (notice.height, notice.within_days)
        if due is not None and due != self._passed_on:
            async with self._store.transaction() as tx:
                for escrow in await tx.escrows.with_status(*OPEN, limit=_ALL):
                    await tx.wake(escrow)
        self._passed_on = due

    async def _keep_polling(self, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            try:
                pause = await self.poll()
            except Exception as error:
                log.error("monero.poll_broke", exc_info=error)
                pause = self._interval


# ---------------------------------------------------------------------------------------------------------------------

#: More escrows than a database will ever hold open.
_ALL: Final = 10_000_000


def _release(info: DaemonInfo) -> Release | None:
    try:
        return info.running_release
    except UnknownVersion:
        return None  # a restricted daemon: the doctor names that


def _next_fork(daemons: int | None, operators: int | None) -> AnnouncedFork | None:
    heights = [each for each in (daemons, operators) if each is not None]
    return AnnouncedFork(NEWEST_FORK + 1, min(heights)) if heights else None


def _log_changes(before: EngineState, now: EngineState) -> None:
    for warning in set(now.verdict.warnings) - set(before.verdict.warnings):
        log.warning("monero.risk", risk=warning)
    for refusal in set(now.verdict.refusals) - set(before.verdict.refusals):
        log.error("monero.refused", reason=refusal)
    if now.fork is not None and now.fork != before.fork:
        log.warning("fork.announced", version=now.fork.version, height=now.fork.height, blocks_left=now.blocks_left)
