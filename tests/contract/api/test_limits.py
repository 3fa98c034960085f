"""How much callers may ask for. A connection that trickles is uvicorn's business, and that of a proxy before it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from escrowd.api.changes import MOST_OF_A_PARTY, Changes
from escrowd.api.rates import MOST_CALLERS, Rates
from escrowd.domain.access import Scope
from escrowd.domain.parties import WalletRole
from escrowd.service.front.errors import Overloaded
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import fingerprint, made, token_of, visit
from tests.contract.conftest import sqlite_copy

MOST = 65_536


async def in_pieces(size: int) -> AsyncIterator[bytes]:
    """Yield a body without saying before how long it is."""
    for _ in range(size // 1024):
        yield b" " * 1024


@pytest.mark.parametrize("is_told", [True, False])
async def test_large_body_is_read(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient, *, is_told: bool) -> None:
    """A body beyond the limit is refused, whether it says how long it is or comes in pieces, and nothing is done."""
    before = await fingerprint(sqlite_house)
    content = b" " * (2 * MOST) if is_told else in_pieces(2 * MOST)
    answer = await sqlite_client.post("/v1/escrows", content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert await fingerprint(sqlite_house) == before


@pytest.mark.parametrize("is_told", [True, False])
async def test_body_within_the_limit_is_refused(sqlite_client: httpx.AsyncClient, *, is_told: bool) -> None:
    """A body of just the limit is looked at."""
    content = b" " * MOST if is_told else in_pieces(MOST)
    answer = await sqlite_client.post("/v1/escrows", content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


async def test_length_that_lies_is_believed(sqlite_client: httpx.AsyncClient) -> None:
    """A body that is longer than it said is refused all the same."""
    answer = await sqlite_client.post("/v1/escrows", content=b" " * (2 * MOST), headers={"Content-Length": "10"})
    assert answer.status_code == 413


async def test_busy_caller_slows_down_others(sqlite_template: Path, tmp_path: Path) -> None:
    """Who asks too often is told when to go on; other keys, strangers and the operator's machines notice nothing."""
    url = sqlite_copy(sqlite_template, tmp_path)
    async with ApiHouse.open(url, per_minute=5) as house:
        busy, quiet = [await house.key([Scope.ESCROWS_READ]) for _ in range(2)]
        async with visit(house, busy) as one, visit(house, quiet) as other, visit(house) as nobody:
            answers = [await one.get("/v1/escrows") for _ in range(7)]
            assert [each.status_code for each in answers] == [200] * 5 + [429] * 2
            assert answers[-1].json()["code"] == "too_many_requests"
            assert answers[-1].json()["retry"] == "safe"
            assert 1 <= int(answers[-1].headers["Retry-After"]) <= 13
            assert (await other.get("/v1/escrows")).status_code == 200
            assert (await nobody.get("/v1/escrows")).status_code == 401
            assert {(await one.get("/healthz")).status_code for _ in range(10)} == {200}


async def test_key_in_another_dress_has_a_bucket_of_its_own(sqlite_template: Path, tmp_path: Path) -> None:
    """A key is one caller, however its header is written."""
    url = sqlite_copy(sqlite_template, tmp_path)
    async with ApiHouse.open(url, per_minute=5) as house, visit(house) as one:
        key = (await house.key([Scope.ESCROWS_READ])).reveal()
        dresses = ["Bearer ", "bearer ", "BEARER ", "Bearer  ", "Bearer   ", "Bearer \xa0", "beaRer    "]
        headers = [[(b"Authorization", f"{each}{key}".encode("latin-1"))] for each in dresses]
        answers = [await one.get("/v1/escrows", headers=each) for each in headers]
        assert [each.status_code for each in answers] == [200] * 5 + [429] * 2


async def test_tokens_are_tried_out(sqlite_template: Path, tmp_path: Path) -> None:
    """Whoever tries out tokens is slowed down by address; a key that was good before passes from there all the same."""
    url = sqlite_copy(sqlite_template, tmp_path)
    async with ApiHouse.open(url, per_minute=5) as house:
        known = await house.key([Scope.ESCROWS_READ])
        async with visit(house, known) as good, visit(house) as thief:
            assert (await good.get("/v1/escrows")).status_code == 200
            tries = [
                await thief.get("/v1/escrows", headers={"Authorization": f"Bearer key_{number}.x"})
                for number in range(8)
            ]
            assert [each.status_code for each in tries] == [401] * 5 + [429] * 3
            assert int(tries[-1].headers["Retry-After"]) >= 1
            assert (await good.get("/v1/escrows")).status_code == 200


def test_bucket_does_not_fill() -> None:
    """A caller may make one request more after its share of a minute, and a whole minute's after a minute."""
    now = 0.0
    rates = Rates(60, lambda: now)
    assert [rates.seconds_to_wait("one") for _ in range(60)] == [0.0] * 60
    assert rates.seconds_to_wait("one") == 1.0
    now = 1.0
    assert rates.seconds_to_wait("one") == 0.0
    assert rates.seconds_to_wait("one") == 1.0
    now = 1000.0
    assert [rates.seconds_to_wait("one") for _ in range(61)] == [0.0] * 60 + [1.0]


def test_callers_are_remembered_for_ever() -> None:
    """Of more callers than can be kept apart the last ones are."""
    rates = Rates(1, lambda: 0.0)
    for number in range(MOST_CALLERS + 1):
        rates.seconds_to_wait(str(number))
    assert len(rates._buckets) == MOST_CALLERS
    assert rates.seconds_to_wait(str(MOST_CALLERS)) > 0
    assert rates.seconds_to_wait("0") == 0.0


async def test_too_many_wait(sqlite_template: Path, tmp_path: Path) -> None:
    """Who would be one waiter too many is sent away at once, and may look without waiting."""
    url = sqlite_copy(sqlite_template, tmp_path)
    async with ApiHouse.open(url, most_waiting=2) as house, visit(house, await house.key(tuple(Scope))) as client:
        waiting = [asyncio.create_task(client.get("/v1/events?wait=60")) for _ in range(2)]
        async with asyncio.timeout(10):
            while house.parts.changes.waiting < 2:
                await asyncio.sleep(0.01)
        for path in ("/v1/events?wait=1", "/v1/events/stream"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"], answer.json()["retry"]) == (503, "overloaded", "safe")
            assert int(answer.headers["Retry-After"]) > 0
        assert (await client.get("/v1/events")).status_code == 200
        house.parts.changes.end()
        assert {each.status_code for each in await asyncio.gather(*waiting)} == {200}


async def test_party_takes_the_places_of_others(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """A party that waits as often as it may is sent away, and the holder of a key waits as before."""
    escrow = await made(sqlite_house)
    path = f"/v1/escrows/{escrow.id}?wait=60&after_version=99"
    async with visit(sqlite_house, await token_of(sqlite_house, escrow.id, WalletRole.BUYER)) as buyer:
        waiting = [asyncio.create_task(buyer.get(path)) for _ in range(MOST_OF_A_PARTY)]
        async with asyncio.timeout(10):
            while sqlite_house.parts.changes.waiting < MOST_OF_A_PARTY:
                await asyncio.sleep(0.01)
        answer = await buyer.get(path)
        assert (answer.status_code, answer.json()["code"], answer.json()["retry"]) == (503, "overloaded", "safe")
        waiting.append(asyncio.create_task(sqlite_client.get(path)))
        async with asyncio.timeout(10):
            while sqlite_house.parts.changes.waiting == MOST_OF_A_PARTY:
                await asyncio.sleep(0.01)
        sqlite_house.parts.changes.end()
        assert {each.status_code for each in await asyncio.gather(*waiting)} == {200}


def test_parties_take_all_places() -> None:
    """Many parties together leave half of the places to the holders of keys."""
    changes = Changes(6)
    with ExitStack() as open_:
        for number in range(3):
            open_.enter_context(changes.watching("esc_1", f"party {number}"))
        with pytest.raises(Overloaded), changes.watching("esc_1", "another party"):
            pass
        for _ in range(3):
            open_.enter_context(changes.watching())
        with pytest.raises(Overloaded), changes.watching():
            pass
    assert changes.waiting == 0
