"""An announced hard fork becomes one event for each threshold in each open escrow, whatever is interrupted."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from escrowd.domain.conflicts import LeaseLost
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import Event
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.monero.daemon import daemon_client
from escrowd.monero.transport import Connections, Endpoint
from escrowd.service.advance import EscrowAdvance, Task
from escrowd.service.engine import EngineSettings, EngineWatch
from escrowd.service.ports import Claim, Transaction
from escrowd.service.worker import WorkClaim
from escrowd.store.store import SqlWorkQueue
from escrowd.store.work import ESCROW
from escrowd.testing.chain_sight import ScriptedSight
from tests.contract.store.samples import escrow_id, life
from tests.contract.webhooks.house import House, beginning
from tests.doctor_place import StubDaemon, stub_daemon, write_program

HEIGHT = 100_000
TYPE = "fork.approaching"


@pytest_asyncio.fixture
async def daemon() -> AsyncIterator[StubDaemon]:
    """Run a daemon whose chain ends 20 days before a fork that it knows."""
    async with stub_daemon() as daemon:
        daemon.info["height"] = HEIGHT - 20 * 720
        daemon.hard_fork["earliest_height"] = HEIGHT
        yield daemon


class Follower:
    """Follows no payouts, and fails where a test says so: after the step with the event is stored."""

    def __init__(self) -> None:
        self.fails = False

    async def follow(self, _escrow: Escrow, _claim: Claim) -> tuple[Event, ...]:
        if self.fails:
            raise ZeroDivisionError
        return ()

    async def send_signed(self, _escrow: EscrowId, _claim: Claim) -> None:
        raise AssertionError("nothing is signed")

    async def note(self, _tx: Transaction, _escrow: EscrowId, _event: Event) -> None:
        raise AssertionError("nothing is followed")


class Service:
    """What remains of the service for these events: the watch, and the advance of escrows that are due."""

    def __init__(self, house: House, watch: EngineWatch) -> None:
        self.follower = Follower()
        self.watch = watch
        self._queue = SqlWorkQueue(house.database, "node")
        self._advance = EscrowAdvance(
            house.store,
            dict.fromkeys(Effect, _nothing),
            self.follower,
            ScriptedSight(),
            fork_notice=lambda: watch.notice,
        )

    async def advance(self, *, stale_by: int = 0) -> None:
        """Advance each escrow that is due, under the fence of its claim or under an older one."""
        for row in await self._queue.claim(frozenset(), 100, 30.0, kinds=frozenset({ESCROW})):
            claim = WorkClaim(replace(row, fence=row.fence - stale_by), float("inf"))
            is_done = False
            try:
                await self._advance.advance(EscrowId(claim.subject), claim)
                is_done = True
            finally:
                await self._queue.settle(row, None if is_done else 0.0)


async def _nothing(_task: Task) -> tuple[Event, ...]:
    return ()


@asynccontextmanager
async def service(house: House, daemon: StubDaemon, directory: Path) -> AsyncIterator[Service]:
    """Start what polls the daemon and advances escrows; the end of the block is the end of its process."""
    program = directory / "monero-wallet-rpc"
    write_program(program, "Monero 'Fluorine Fermi' (v0.18.5.3-release)")
    async with Connections() as connections:
        client = daemon_client(connections, Endpoint("127.0.0.1", daemon.port))
        async with EngineWatch(client, program, EngineSettings(Network.MAINNET), house.store) as watch:
            yield Service(house, watch)


async def notices(house: House, escrow: EscrowId) -> list[int]:
    """Return the thresholds of which an escrow had the event, in order."""
    found = [each for each in await house.log(escrow) if each.type == TYPE]
    return [int(msgspec.json.decode(each.data)["details"]["within_days"]) for each in found]


async def test_each_open_escrow_has_one_event_for_each_threshold(
    house: House, daemon: StubDaemon, tmp_path: Path
) -> None:
    """At 20, 10 and 2 days the thresholds of 30, 14 and 3 are past: once each, also over polls and restarts."""
    endpoint = await house.add([TYPE])
    await house.tell(*life(Status.EXPIRED))
    await house.tell(*beginning(2))
    for days in (20, 19, 10, 9, 2, 1):
        daemon.info["height"] = HEIGHT - days * 720
        async with service(house, daemon, tmp_path) as running:
            await running.advance()
            await running.watch.poll()
            await running.advance()
    assert await notices(house, escrow_id(2)) == [30, 14, 3]
    assert await notices(house, escrow_id(1)) == []
    deliveries = await house.deliveries(endpoint.webhook.id)
    assert [(each.type, each.escrow) for each in deliveries] == [(TYPE, escrow_id(2))] * 3


async def test_threshold_that_passes_while_it_runs_wakes_the_escrows(
    house: House, daemon: StubDaemon, tmp_path: Path
) -> None:
    """An escrow with nothing else to do has the event at the poll after the threshold."""
    await house.tell(*beginning(1))
    daemon.info["height"] = HEIGHT - 31 * 720
    async with service(house, daemon, tmp_path) as running:
        await running.advance()
        assert await notices(house, escrow_id(1)) == []
        daemon.info["height"] = HEIGHT - 30 * 720
        await running.watch.poll()
        await running.advance()
    assert await notices(house, escrow_id(1)) == [30]


async def test_crash_neither_loses_nor_doubles_the_event(house: House, daemon: StubDaemon, tmp_path: Path) -> None:
    """A step that was rolled back comes again; one that was stored before the crash does not."""
    await house.tell(*beginning(1))
    async with service(house, daemon, tmp_path) as running:
        with pytest.raises(LeaseLost):
            await running.advance(stale_by=1)
        assert await notices(house, escrow_id(1)) == []
        running.follower.fails = True
        with pytest.raises(ZeroDivisionError):
            await running.advance()
        assert await notices(house, escrow_id(1)) == [30]
    async with service(house, daemon, tmp_path) as running:
        await running.advance()
    assert await notices(house, escrow_id(1)) == [30]


async def test_daemon_that_is_away_is_polled_again_and_nothing_is_concluded(
    house: House, daemon: StubDaemon, tmp_path: Path
) -> None:
    """A poll that fails keeps what was known, and the next one succeeds."""
    async with service(house, daemon, tmp_path) as running:
        known = running.watch.state
        daemon.rubbish = (500, b"")
        assert await running.watch.poll() == 30.0
        assert running.watch.state is known
        daemon.rubbish = None
        assert await running.watch.poll() == 600.0


async def test_daemon_that_is_exchanged_for_an_untested_one_is_noticed(
    house: House, daemon: StubDaemon, tmp_path: Path
) -> None:
    """A daemon of 0.19 under a running service, and a chain past the fork, are unsupported at the next poll (E8)."""
    async with service(house, daemon, tmp_path) as running:
        supported = [running.watch.state.is_supported]
        for changed in ({"version": "0.19.0.0-release"}, {"version": "0.18.5.3-release"}, {"height": HEIGHT}):
            daemon.info |= changed
            await running.watch.poll()
            supported.append(running.watch.state.is_supported)
        assert supported == [True, False, True, False]
        assert running.watch.notice is None
