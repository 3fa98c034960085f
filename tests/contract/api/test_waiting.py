"""Whoever waits for something to happen: long polls and streams. Nobody waits in vain, and nobody for ever."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from escrowd.api.changes import Changes
from escrowd.api.routes import events
from escrowd.bootstrap.serving import served
from escrowd.domain.access import Party, Scope
from escrowd.domain.escrow.events import Cancelled, Delivered
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.service.front.callers import Callers
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import made, token_of, visit
from tests.unit.domain.escrow.world import PATHS

#: Seconds after which something counts as not happening.
PATIENCE: Final = 20.0


async def until_waiting(house: ApiHouse, number: int) -> None:
    """Wait until so many are waiting."""
    async with asyncio.timeout(PATIENCE):
        while house.parts.changes.waiting != number:
            await asyncio.sleep(0.01)


async def poll_of(house: ApiHouse, client: httpx.AsyncClient, path: str, seconds: int) -> asyncio.Task[httpx.Response]:
    """Begin a long poll of what comes after what is there, and return once it waits."""
    present = (await client.get(path)).json()
    known = {"after_version": present["version"]} if "version" in present else {"after": present["next"]}
    poll = asyncio.create_task(client.get(path, params={"wait": seconds, **known}))
    await until_waiting(house, 1)
    return poll


async def answer_of(poll: asyncio.Task[httpx.Response]) -> httpx.Response:
    async with asyncio.timeout(PATIENCE):
        return await poll


async def replace_link(house: ApiHouse, escrow: EscrowId, role: WalletRole, times: int = 1) -> None:
    """Make the link of a party worthless, as another process does."""
    for _ in range(times):
        async with house.store.transaction() as tx:
            await Callers(house.store, house.vault).replace_link(tx, Party(escrow, role))


# --- long polls ------------------------------------------------------------------------------------------------------


async def test_long_poll_sleeps_through_a_step(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """A long poll answers when the escrow takes a step, and not when another one does."""
    escrow, other = [await made(house, PATHS[Status.FUNDED]) for _ in range(2)]
    asked = client.get(f"/v1/escrows/{escrow.id}", params={"wait": 60, "after_version": escrow.version})
    poll = asyncio.create_task(asked)
    await until_waiting(house, 1)
    await house.orchestrator.command(other.id, Delivered(), Who.VENDOR)
    done, _ = await asyncio.wait([poll], timeout=0.2)
    assert not done
    await house.orchestrator.command(escrow.id, Delivered(), Who.VENDOR)
    async with asyncio.timeout(PATIENCE):
        answer = await poll
    assert (answer.json()["status"], answer.json()["version"]) == ("delivered", escrow.version + 1)
    assert house.parts.changes.waiting == 0


@pytest.mark.parametrize("after", [None, 0, 4])
async def test_long_poll_waits_for_what_is_there(house: ApiHouse, client: httpx.AsyncClient, after: int | None) -> None:
    """Where the version is newer than the known one, or none is known, the answer comes at once."""
    escrow = await made(house, PATHS[Status.FUNDED])
    known = {} if after is None else {"after_version": after}
    async with asyncio.timeout(PATIENCE):
        answer = await client.get(f"/v1/escrows/{escrow.id}", params={"wait": 60, **known})
    assert answer.json()["version"] == escrow.version


async def test_long_poll_does_not_end(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """Where nothing happens the escrow as it is comes after the time that was asked for."""
    escrow = await made(sqlite_house, PATHS[Status.FUNDED])
    begun = time.monotonic()
    params = {"wait": 1, "after_version": escrow.version}
    answer = await sqlite_client.get(f"/v1/escrows/{escrow.id}", params=params)
    assert answer.json()["version"] == escrow.version
    assert 0.9 < time.monotonic() - begun < PATIENCE


async def test_long_poll_holds_up_the_end(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """At the end of the service all long polls answer what there is, and later ones do so at once."""
    escrow = await made(sqlite_house)
    params = {"wait": 60, "after_version": 99}
    polls = [
        asyncio.create_task(sqlite_client.get(f"/v1/escrows/{escrow.id}", params=params)),
        asyncio.create_task(sqlite_client.get("/v1/events", params={"wait": 60, "after": 99})),
    ]
    await until_waiting(sqlite_house, 2)
    sqlite_house.parts.changes.end()
    async with asyncio.timeout(PATIENCE):
        answers = [
            *await asyncio.gather(*polls),
            await sqlite_client.get("/v1/events", params={"wait": 60, "after": 99}),
        ]
    assert {each.status_code for each in answers} == {200}


async def test_events_sleep_through_one(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """Who waits for events gets them when they happen, of the types that were asked for only."""
    escrow = await made(house, PATHS[Status.AWAITING_FUNDING])
    known = (await client.get("/v1/events")).json()["next"]
    params = {"wait": 60, "after": known, "type": "escrow.cancelled"}
    poll = asyncio.create_task(client.get("/v1/events", params=params))
    await until_waiting(house, 1)
    await made(house, PATHS[Status.CONFIRMING])
    await house.orchestrator.command(escrow.id, Cancelled(), Who.BUYER)
    async with asyncio.timeout(PATIENCE):
        items = (await poll).json()["items"]
    assert [(each["type"], each["escrow"]) for each in items] == [("escrow.cancelled", escrow.id)]


@pytest.mark.parametrize("is_news", [True, False], ids=["something happens", "nothing happens"])
@pytest.mark.parametrize("path", ["/v1/escrows/{}", "/v1/events"])
async def test_long_poll_outlives_its_key(house: ApiHouse, path: str, *, is_news: bool) -> None:
    """A long poll whose key another process revokes is answered 401, whether something happens or the time is over."""
    escrow = await made(house, PATHS[Status.FUNDED])
    key = await house.key([Scope.ESCROWS_READ])
    async with visit(house, key) as holder:
        poll = await poll_of(house, holder, path.format(escrow.id), 60 if is_news else 1)
        async with house.store.transaction() as tx:
            await Callers(house.store, house.vault).revoke_key(tx, key.reveal().partition(".")[0])
        if is_news:
            await house.orchestrator.command(escrow.id, Delivered(), Who.VENDOR)
        answer = await answer_of(poll)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert "delivered" not in answer.text


@pytest.mark.parametrize("replaced_before", [0, 1])
@pytest.mark.parametrize("is_news", [True, False], ids=["something happens", "nothing happens"])
async def test_long_poll_outlives_its_link(house: ApiHouse, *, is_news: bool, replaced_before: int) -> None:
    """A long poll of a party whose link is replaced meanwhile is answered 401, also where it was not the first link."""
    escrow = await made(house, PATHS[Status.FUNDED])
    await replace_link(house, escrow.id, WalletRole.BUYER, times=replaced_before)
    async with visit(house, await token_of(house, escrow.id, WalletRole.BUYER)) as buyer:
        poll = await poll_of(house, buyer, f"/v1/escrows/{escrow.id}", 60 if is_news else 1)
        await replace_link(house, escrow.id, WalletRole.BUYER)
        if is_news:
            await house.orchestrator.command(escrow.id, Delivered(), Who.VENDOR)
        answer = await answer_of(poll)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
    assert escrow.id not in answer.text


@pytest.mark.parametrize("who", ["buyer", "operator", "key"])
async def test_long_poll_ends_with_the_link_of_another(house: ApiHouse, who: str) -> None:
    """The links of others that are replaced, and the keys of others that are revoked, are nothing to a long poll."""
    escrow = await made(house, PATHS[Status.FUNDED])
    await replace_link(house, escrow.id, WalletRole.BUYER)
    token = {
        "buyer": await token_of(house, escrow.id, WalletRole.BUYER),
        "operator": house.parts.callers.operator_token,
        "key": await house.key([Scope.ESCROWS_READ]),
    }[who]
    other = await house.key([Scope.ESCROWS_READ])
    async with visit(house, token) as caller:
        poll = await poll_of(house, caller, f"/v1/escrows/{escrow.id}", 60)
        await replace_link(house, escrow.id, WalletRole.VENDOR)
        async with house.store.transaction() as tx:
            await house.parts.callers.revoke_key(tx, other.reveal().partition(".")[0])
        await house.orchestrator.command(escrow.id, Delivered(), Who.VENDOR)
        answer = await answer_of(poll)
    assert (answer.status_code, answer.json()["status"]) == (200, "delivered")


async def test_step_between_look_and_wait_is_lost() -> None:
    """What happens while somebody looks is heard when they begin to wait."""
    changes, looks = Changes(1), 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            changes.heard("escrow:esc_1")
        return looks

    async with asyncio.timeout(PATIENCE):
        assert await changes.look_until(look, lambda found: found > 1, 60.0, "esc_1") == 2


# --- streams ---------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def streaming(house: ApiHouse) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the API over HTTP, and give a client of it."""
    key = await house.key([Scope.ESCROWS_READ])
    async with served(house.app, "127.0.0.1", 0) as port:
        headers = {"Authorization": f"Bearer {key.reveal()}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=PATIENCE) as client:
            yield client
        house.parts.changes.end()


@asynccontextmanager
async def stream(client: httpx.AsyncClient, **asked: Any) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """Open the stream of events, and give what it sends: comments under the name of nothing."""
    async with client.stream("GET", "/v1/events/stream", **asked) as response:
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        yield _messages(response)


async def _messages(response: httpx.Response) -> AsyncIterator[dict[str, str]]:
    message: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            message[name] = value
        elif message:
            yield message
            message = {}


async def take(messages: AsyncIterator[dict[str, str]], number: int) -> list[dict[str, str]]:
    """Return the next events, without comments."""
    taken: list[dict[str, str]] = []
    async with asyncio.timeout(PATIENCE):
        async for message in messages:
            if "id" in message:
                taken.append(message)
            if len(taken) == number:
                break
    return taken


async def test_stream_is_out_of_order(house: ApiHouse, streaming: httpx.AsyncClient) -> None:
    """A stream tells what happened and then what happens, in order and as the pages tell it."""
    for _ in range(3):
        await made(house, PATHS[Status.FUNDED])
    before = (await streaming.get("/v1/events")).json()["items"]
    async with stream(streaming) as messages:
        told = await take(messages, len(before))
        await made(house, PATHS[Status.AWAITING_FUNDING])
        told += await take(messages, 2)
    after = (await streaming.get("/v1/events")).json()["items"]
    assert [each["id"] for each in told] == [each["cursor"] for each in after]
    assert [each["event"] for each in told] == [each["type"] for each in after]
    assert [int(each["id"]) for each in told] == sorted(int(each["id"]) for each in told)
    raw = (await streaming.get("/v1/events")).text
    assert all(each["data"] in raw for each in told)


@pytest.mark.parametrize("is_header", [True, False])
async def test_stream_begins_anew(house: ApiHouse, streaming: httpx.AsyncClient, *, is_header: bool) -> None:
    """Who comes back with the id of the last event goes on behind it, by header or by parameter."""
    await made(house, PATHS[Status.FUNDED])
    every = (await streaming.get("/v1/events")).json()["items"]
    last = every[1]["cursor"]
    asked = {"headers": {"Last-Event-ID": last}, "params": {"after": 0}} if is_header else {"params": {"after": last}}
    async with stream(streaming, **asked) as messages:
        told = await take(messages, len(every) - 2)
    assert [each["id"] for each in told] == [each["cursor"] for each in every[2:]]


async def test_stream_falls_silent(
    house: ApiHouse, streaming: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream on which nothing happens says that it is still there, and tells of types only that were asked for."""
    monkeypatch.setattr(events, "KEEP_ALIVE", 0.05)
    await made(house, PATHS[Status.FUNDED])
    async with stream(streaming, params={"type": "escrow.held"}) as messages, asyncio.timeout(PATIENCE):
        assert [await anext(messages) for _ in range(3)] == [
            {"": "here is what happens"},
            {"": "still here"},
            {"": "still here"},
        ]


async def test_stream_outlives_its_key(house: ApiHouse, streaming: httpx.AsyncClient) -> None:
    """The stream of a key that is revoked tells nothing of what happens afterwards, and ends."""
    key = streaming.headers["Authorization"].removeprefix("Bearer ").partition(".")[0]
    await made(house)
    async with stream(streaming) as messages:
        assert len(await take(messages, 1)) == 1
        async with house.store.transaction() as tx:
            await house.parts.callers.revoke_key(tx, key)
        await made(house)
        async with asyncio.timeout(PATIENCE):
            assert [each async for each in messages] == []


async def test_stream_outlives_the_service(house: ApiHouse, streaming: httpx.AsyncClient) -> None:
    """At the end of the service a stream ends, in good order."""
    await made(house)
    async with stream(streaming) as messages:
        await take(messages, 1)
        house.parts.changes.end()
        async with asyncio.timeout(PATIENCE):
            assert [each async for each in messages] == []


async def test_listener_who_left_is_waited_for(
    house: ApiHouse, streaming: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listeners who go away leave nothing behind, whether they had a stream or a long poll."""
    monkeypatch.setattr(events, "KEEP_ALIVE", 0.1)
    await made(house)
    for _ in range(5):
        async with stream(streaming) as messages:
            await take(messages, 1)
    await until_waiting(house, 0)
