"""The doctor beside real programs: a monerod, a wallet program, and the service itself."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import delete, insert
from typing_extensions import override

from escrowd.bootstrap.from_settings import house_of
from escrowd.bootstrap.service import open_service
from escrowd.doctor.machine import service_in
from escrowd.domain.watching import BlockId, Cursor
from escrowd.monero.programs import programs_directory
from escrowd.store import schema
from escrowd.store.coding import encoded
from escrowd.store.database import Database
from escrowd.store.ledgers import COMMON
from escrowd.store.migrating import migrate
from escrowd.testing.daemon_process import RegtestDaemon
from escrowd.testing.lab import RegtestLab
from tests.doctor_place import Place, make_place, store_api_key, told


class RestrictedDaemon(RegtestDaemon):
    @override
    def _command(self, program: Path) -> list[str]:
        return [*super()._command(program), "--restricted-rpc"]


@pytest_asyncio.fixture
async def place(lab: RegtestLab, tmp_path: Path) -> Place:
    """Give a place over the chain of the lab and the real wallet program, in which nothing is wrong."""
    place = make_place(
        tmp_path / "place",
        lab.daemon_endpoint.port,
        network="regtest",
        monero__directory=str(programs_directory()),
        sessions__most=4,
        stock__size=0,
    )
    async with Database(place.loaded().database_url) as database:
        await migrate(database)
        await store_api_key(database)
    return place


async def store_cursor(place: Place, cursor: Cursor) -> None:
    values = {"lane": COMMON, "height": cursor.height, "time": cursor.time, "body": encoded(cursor)}
    async with Database(place.loaded().database_url) as database, database.transaction() as session:
        await session.connection.execute(delete(schema.cursors))
        await session.connection.execute(insert(schema.cursors).values(values))


async def test_real_programs_have_faults(place: Place) -> None:
    """A real daemon and a real wallet program of one release have nothing wrong with them."""
    report = await place.report()
    assert report.findings == ()
    assert report.left_out == ()


async def test_running_service_has_faults(place: Place) -> None:
    """Beside a running service nothing is wrong either, and the service is not disturbed."""
    async with open_service(house_of(place.loaded())) as running:
        assert service_in(place.data / "run") == os.getpid()
        assert (await place.report()).findings == ()
        async with running.store.transaction() as tx:
            assert (await tx.clock.now()).utc > 0
    assert (await place.report()).findings == ()


async def test_real_daemon_is_of_another_network(place: Place) -> None:
    """A real daemon of a private chain is not one of stagenet."""
    place.write(network="stagenet")
    told((await place.report()).findings, "daemon.wrong_network", mend='network = "regtest"')


async def test_real_daemon_is_restricted(lab: RegtestLab, place: Place, tmp_path: Path) -> None:
    """A real daemon that was started as a restricted one is told of."""
    async with RestrictedDaemon(tmp_path / "restricted", lab.connections) as daemon:
        place.write(daemon__port=daemon.endpoint.port)
        told((await place.report()).findings, "daemon.restricted", mend="unrestricted port")


@pytest.mark.parametrize("replaced", [1, 3])
async def test_real_chain_is_another_one(lab: RegtestLab, place: Place, replaced: int) -> None:
    """A chain whose last block was replaced is still ours; one that differs in all that is kept is not."""
    headers = [await lab.daemon.get_block_header_by_height(height) for height in (5, 6, 7)]
    genesis = (await lab.daemon.get_block_header_by_height(0)).hash
    ids = tuple(BlockId(each.height, each.hash) for each in headers)
    await store_cursor(place, Cursor(8, 0, genesis, ids))
    assert (await place.report()).findings == ()
    ours = ids[: len(ids) - replaced]
    theirs = tuple(replace(each, hash="ff" * 32) for each in ids[len(ids) - replaced :])
    await store_cursor(place, Cursor(8, 0, genesis, (*ours, *theirs)))
    report = await place.report()
    if replaced == 1:
        assert report.findings == ()
    else:
        told(report.findings, "chain.other_blocks", mend="catch up with its peers")
