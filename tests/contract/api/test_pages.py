"""Lists by cursor: while new things come, nothing is passed over and nothing shown twice."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from escrowd.domain.escrow.events import Delivered
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.parties import WalletRole
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import NEW, TERMS, made, token_of, visit
from tests.unit.domain.escrow.world import PATHS

WRITERS, EACH = 8, 4


async def ids(client: httpx.AsyncClient, **params: Any) -> list[str]:
    """Return the ids of one page."""
    answer = await client.get("/v1/escrows", params=params)
    assert answer.status_code == 200, answer.text
    return [each["id"] for each in answer.json()["items"]]


async def test_page_moves_under_the_reader(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """Who turns pages while new escrows come sees each of the first ones once, the newest first."""
    there = [(await made(house)).id for _ in range(10)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await client.get("/v1/escrows", params={"limit": 3, **({"cursor": cursor} if cursor else {})})).json()
        seen += [each["id"] for each in page["items"]]
        cursor = page["next"]
        await made(house)
    # By creation; those of one millisecond by their ids.
    assert seen == sorted(there, reverse=True)


async def test_last_page_has_a_next(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """A page that holds the last escrow says that there is no other."""
    for _ in range(3):
        await made(house)
    assert (await client.get("/v1/escrows", params={"limit": 3})).json()["next"] is None
    assert (await client.get("/v1/escrows", params={"limit": 2})).json()["next"] is not None


async def test_filter_means_nothing_to_a_party(sqlite_house: ApiHouse) -> None:
    """A party is shown its own escrow only where that is one of those that it asks for."""
    escrow = await made(sqlite_house, PATHS[Status.FUNDED], replace(TERMS, reference="order 7"))
    async with visit(sqlite_house, await token_of(sqlite_house, escrow.id, WalletRole.BUYER)) as buyer:
        moment = datetime.fromtimestamp(escrow.created_at / 1000, UTC)
        for wanted in ({}, {"status": ["funded", "held"]}, {"reference": "order 7"}, {"created_after": moment}):
            assert await ids(buyer, **wanted) == [escrow.id]
        for other in ({"status": "held"}, {"reference": "order 8"}, {"created_before": moment}):
            assert await ids(buyer, **other) == []
        assert await ids(buyer, created_after=moment + timedelta(days=1)) == []


async def test_filter_lets_others_through(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """Filters by status, reference and time show what they name, alone and together."""
    by_status = {status: (await made(house, moves)).id for status, moves in PATHS.items()}
    assert await ids(client, status="funded") == [by_status[Status.FUNDED]]
    assert set(await ids(client, status=["funded", "held"])) == {by_status[Status.FUNDED], by_status[Status.HELD]}
    created = (await client.post("/v1/escrows", json={**NEW, "reference": "order 7"})).json()
    assert await ids(client, reference="order 7") == [created["id"]]
    assert await ids(client, reference="order 7", status="funded") == []
    moment = datetime.fromisoformat(created["created_at"])
    assert created["id"] in await ids(client, created_after=moment.isoformat())
    assert created["id"] not in await ids(client, created_before=moment.isoformat())
    assert await ids(client, created_after=(datetime.now(UTC) + timedelta(days=1)).isoformat()) == []


async def test_party_sees_the_list(house: ApiHouse) -> None:
    """A party's list is its own escrow."""
    mine = (await made(house)).id
    await made(house)
    async with visit(house, await token_of(house, mine, WalletRole.VENDOR)) as vendor:
        assert await ids(vendor) == [mine]


async def test_history_has_a_gap(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """The pages of a history put together are the whole, each entry chained to the one before."""
    escrow = (await made(house, PATHS[Status.COMPLETED])).id
    entries: list[dict[str, Any]] = []
    after, more = 0, True
    while more:
        page = (await client.get(f"/v1/escrows/{escrow}/log", params={"after": after, "limit": 2})).json()
        entries, after, more = entries + page["items"], page["next"], page["more"]
    assert [each["sequence"] for each in entries] == list(range(1, len(entries) + 1))
    for earlier, later in itertools.pairwise(entries):
        assert later["previous_hash"] == earlier["hash"]


async def test_event_is_passed_over(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """Who follows events by cursor while many write at once gets all of them, each once, in order."""
    followed: list[str] = []
    is_over = asyncio.Event()

    async def follow() -> None:
        after = "0"
        while True:
            was_over = is_over.is_set()
            page = (await client.get("/v1/events", params={"after": after, "limit": 7})).json()
            followed.extend(each["id"] for each in page["items"])
            after = page["next"]
            if was_over and not page["more"]:
                return

    async def write() -> None:
        for _ in range(EACH):
            escrow = await made(house, PATHS[Status.FUNDED])
            await house.orchestrator.command(escrow.id, Delivered(), Who.VENDOR)

    async with asyncio.TaskGroup() as group:
        reader = group.create_task(follow())
        await asyncio.gather(*(write() for _ in range(WRITERS)))
        is_over.set()
        await reader
    every = (await client.get("/v1/events", params={"limit": 1000})).json()["items"]
    assert followed == [each["id"] for each in every]
    assert len({each["escrow"] for each in every}) == WRITERS * EACH


@pytest.mark.parametrize("cursor", ["", "x", "MTIzOmVzY18x", "é", "////", "9" * 200])
async def test_cursor_of_ones_own_is_taken(sqlite_client: httpx.AsyncClient, cursor: str) -> None:
    """A cursor that nobody gave out is refused by name."""
    answer = await sqlite_client.get("/v1/escrows", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.cursor")
