"""One Idempotency-Key, one thing done: whatever comes between request and answer, and however many come at once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from escrowd.domain.access import Scope
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.domain.retention import Prunable
from escrowd.store import schema, schema_access
from escrowd.store.access import AnswerTable
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import NEW, fingerprint, made, token_of, visit
from tests.contract.conftest import sqlite_copy
from tests.unit.domain.escrow.world import PATHS

MANY = 32
REPLAYED = "Idempotent-Replayed"
#: An act on an escrow that is there, and the making of one.
ASKING: dict[str, tuple[str, dict[str, Any]]] = {
    "release": ("/v1/escrows/{escrow}/release", {}),
    "create": ("/v1/escrows", NEW),
}


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


async def at_once(calls: list[Awaitable[httpx.Response]]) -> list[httpx.Response]:
    return await asyncio.gather(*calls)


async def orders(house: ApiHouse) -> int:
    """Count the payouts that were ordered."""
    async with house.database.reading() as session:
        query = select(schema.effects.c.effect).where(schema.effects.c.effect == str(Effect.PAY))
        return len((await session.connection.execute(query)).all())


async def escrows(house: ApiHouse) -> int:
    async with house.database.reading() as session:
        return len((await session.connection.execute(select(schema.escrows.c.id))).all())


async def funded(house: ApiHouse) -> tuple[EscrowId, httpx.AsyncClient]:
    """Make an escrow that its buyer may release, and a client of the buyer."""
    escrow = (await made(house, PATHS[Status.FUNDED])).id
    return escrow, visit(house, await token_of(house, escrow, WalletRole.BUYER))


async def test_one_key_pays_twice(house: ApiHouse) -> None:
    """Of 32 releases with one key at once one acts; all get the same body, and 31 are told that it is a replay."""
    escrow, buyer = await funded(house)
    async with buyer:
        path = f"/v1/escrows/{escrow}/release"
        answers = await at_once([buyer.post(path, headers=keyed("pay-once")) for _ in range(MANY)])
    assert {each.status_code for each in answers} == {200}
    assert len({each.content for each in answers}) == 1
    assert Counter(each.headers.get(REPLAYED) for each in answers) == {None: 1, "true": MANY - 1}
    assert await orders(house) == 1


async def test_many_keys_pay_twice(house: ApiHouse) -> None:
    """Of 32 releases with a key each one acts; 31 are refused by the status, and told what is allowed instead."""
    escrow, buyer = await funded(house)
    async with buyer:
        path = f"/v1/escrows/{escrow}/release"
        answers = await at_once([buyer.post(path, headers=keyed(f"pay-{number}")) for number in range(MANY)])
    assert Counter(each.status_code for each in answers) == {200: 1, 409: MANY - 1}
    refused = [each.json() for each in answers if each.status_code == 409]
    assert {each["code"] for each in refused} == {"not_allowed_now"}
    assert all(each["allowed_actions"] == [] for each in refused)
    assert await orders(house) == 1


async def test_no_key_pays_twice(house: ApiHouse) -> None:
    """Of 32 releases without a key one acts as well: the status is what keeps money, and the key only the answer."""
    escrow, buyer = await funded(house)
    async with buyer:
        answers = await at_once([buyer.post(f"/v1/escrows/{escrow}/release") for _ in range(MANY)])
    assert Counter(each.status_code for each in answers) == {200: 1, 409: MANY - 1}
    assert await orders(house) == 1


async def test_one_key_makes_two_escrows(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """Of 32 creations with one key at once one acts, and all get the same escrow with the same links."""
    await house.fill_stock(2)
    answers = await at_once([client.post("/v1/escrows", json=NEW, headers=keyed("make-once")) for _ in range(MANY)])
    assert {each.status_code for each in answers} == {201}
    assert len({each.content for each in answers}) == 1
    assert len(answers[0].json()["links"]) == len(WalletRole)
    assert Counter(each.headers.get(REPLAYED) for each in answers) == {None: 1, "true": MANY - 1}
    assert await escrows(house) == 1


async def test_many_keys_make_one_escrow(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """32 creations with a key each make 32 escrows with addresses of their own, as far as the stock goes."""
    await house.fill_stock(3)
    answers = await at_once(
        [client.post("/v1/escrows", json=NEW, headers=keyed(f"make-{number}")) for number in range(MANY)]
    )
    assert {each.status_code for each in answers} == {201}
    bodies = [each.json() for each in answers]
    assert len({each["id"] for each in bodies}) == MANY
    addresses = [each["deposit"]["address"] for each in bodies if each["deposit"]["address"]]
    assert len(addresses) == len(set(addresses)) == 3


@pytest.mark.parametrize("what", ["body", "path", "method of the same meaning"])
async def test_key_stands_for_two_things(house: ApiHouse, client: httpx.AsyncClient, what: str) -> None:
    """A key that was used with another body or path is refused, and nothing is done."""
    escrow = (await made(house, PATHS[Status.FUNDED])).id
    assert (await client.post("/v1/escrows", json=NEW, headers=keyed("again"))).status_code == 201
    before = await fingerprint(house)
    other = {
        "body": ("/v1/escrows", {**NEW, "reference": "another"}),
        "path": (f"/v1/escrows/{escrow}/links/buyer/rotate", {}),
        "method of the same meaning": ("/v1/escrows", {**NEW, "description": ""}),
    }
    path, body = other[what]
    answer = await client.post(path, json=body, headers=keyed("again"))
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await fingerprint(house) == before


async def test_key_of_one_caller_is_that_of_another(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """The keys of two callers have nothing to do with each other: nobody gets an answer that was for somebody else."""
    first = await client.post("/v1/escrows", json=NEW, headers=keyed("mine"))
    async with visit(house, await house.key([Scope.ESCROWS_WRITE])) as other:
        second = await other.post("/v1/escrows", json=NEW, headers=keyed("mine"))
    assert (first.status_code, second.status_code) == (201, 201)
    assert REPLAYED not in second.headers
    assert first.json()["id"] != second.json()["id"]


@pytest.mark.parametrize("key", [b"", b"a b", b"k" * 256, "schlüssel".encode("latin-1"), b"tab\there"])
async def test_bad_key_is_taken(house: ApiHouse, client: httpx.AsyncClient, key: bytes) -> None:
    """A key that is empty, too long or not printable ASCII is refused, and nothing is done."""
    before = await fingerprint(house)
    answer = await client.post("/v1/escrows", json=NEW, headers={b"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_invalid")
    assert await fingerprint(house) == before


@pytest.mark.parametrize("what", ASKING)
async def test_crash_leaves_half_of_it(house: ApiHouse, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Where the service breaks between act and commit nothing was done, and the same key does it afterwards, once."""
    escrow = (await made(house, PATHS[Status.DELIVERED])).id
    token = await token_of(house, escrow, WalletRole.BUYER) if what == "release" else await house.key(tuple(Scope))
    path, body = ASKING[what]
    before = await fingerprint(house)

    async def ask() -> httpx.Response:
        async with visit(house, token) as caller:
            return await caller.post(path.format(escrow=escrow), json=body, headers=keyed("crash"))

    with monkeypatch.context() as broken:
        broken.setattr(AnswerTable, "keep", _breaks)
        answer = await ask()
    assert (answer.status_code, answer.json()["retry"]) == (500, "unknown")
    assert await fingerprint(house) == before
    answers = [await ask() for _ in range(3)]
    assert {each.status_code for each in answers} == {201 if what == "create" else 200}
    assert [each.headers.get(REPLAYED) for each in answers] == [None, "true", "true"]


async def test_refusal_is_remembered(house: ApiHouse) -> None:
    """What was refused was not done: the same key does it when the time for it has come."""
    escrow = (await made(house, PATHS[Status.CONFIRMING])).id
    path, buyer = f"/v1/escrows/{escrow}/release", await token_of(house, escrow, WalletRole.BUYER)
    async with visit(house, buyer) as caller:
        assert (await caller.post(path, headers=keyed("early"))).status_code == 409
        for event, who in PATHS[Status.FUNDED][len(PATHS[Status.CONFIRMING]) :]:
            assert not callable(event)
            await house.orchestrator.command(escrow, event, who)
        answer = await caller.post(path, headers=keyed("early"))
    assert answer.status_code == 200
    assert REPLAYED not in answer.headers


async def test_replay_shows_what_is_now(house: ApiHouse) -> None:
    """A replay is the answer of that time, byte for byte, whatever became of the escrow since."""
    escrow = (await made(house, PATHS[Status.FUNDED])).id
    path, vendor = f"/v1/escrows/{escrow}/deliver", await token_of(house, escrow, WalletRole.VENDOR)
    async with visit(house, vendor) as caller:
        first = await caller.post(path, headers=keyed("deliver"))
        assert (await caller.post(f"/v1/escrows/{escrow}/refund")).json()["status"] == "paying"
        again = await caller.post(path, headers=keyed("deliver"))
    assert again.content == first.content
    assert again.json()["status"] == "delivered"
    assert again.headers[REPLAYED] == "true"


async def test_second_acts_while_first_runs(house: ApiHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes with a key while its first use still runs waits for it, and gets its answer."""
    escrow, buyer = await funded(house)
    is_acting, may_go_on = asyncio.Event(), asyncio.Event()
    keep: Callable[..., Awaitable[None]] = AnswerTable.keep

    async def slow(*arguments: Any) -> None:
        is_acting.set()
        await may_go_on.wait()
        await keep(*arguments)

    monkeypatch.setattr(AnswerTable, "keep", slow)
    path = f"/v1/escrows/{escrow}/release"
    async with buyer, asyncio.TaskGroup() as group:
        first = group.create_task(buyer.post(path, headers=keyed("slow")))
        await is_acting.wait()
        second = group.create_task(buyer.post(path, headers=keyed("slow")))
        done, _ = await asyncio.wait([first, second], timeout=0.2)
        assert not done
        may_go_on.set()
    assert first.result().content == second.result().content
    assert [each.result().headers.get(REPLAYED) for each in (first, second)] == [None, "true"]
    assert await orders(house) == 1


async def test_answer_is_stored_in_the_clear(sqlite_template: Path, tmp_path: Path) -> None:
    """Stored answers are sealed: neither a link's token nor an address of the answer is to be read in the database."""
    url = sqlite_copy(sqlite_template, tmp_path)
    async with ApiHouse.open(url) as house, visit(house, await house.key(tuple(Scope))) as client:
        made_ = (await client.post("/v1/escrows", json=NEW, headers=keyed("sealed"))).json()
        async with house.database.reading() as session:
            (stored,) = (await session.connection.execute(select(schema_access.answers.c.sealed_body))).scalars()
    files = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert made_["id"].encode() in files
    assert made_["id"] not in stored
    for link in made_["links"]:
        assert link["token"].encode() not in files


async def test_forgotten_key_pays_twice(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """When its answer was removed a key does the thing anew: there is a second escrow, and never a second payout."""
    escrow, buyer = await funded(house)
    async with buyer:
        path = f"/v1/escrows/{escrow}/release"
        assert (await buyer.post(path, headers=keyed("pay"))).status_code == 200
        first = await client.post("/v1/escrows", json=NEW, headers=keyed("make"))
        async with house.store.transaction() as tx:
            assert await tx.pruning.remove(Prunable.ANSWERS, older_than=-1, most=10) == 2
        second = await client.post("/v1/escrows", json=NEW, headers=keyed("make"))
        refused = await buyer.post(path, headers=keyed("pay"))
    assert (second.status_code, REPLAYED in second.headers) == (201, False)
    assert second.json()["id"] != first.json()["id"]
    assert (refused.status_code, refused.json()["code"]) == (409, "not_allowed_now")
    assert await orders(house) == 1


# ---------------------------------------------------------------------------------------------------------------------


async def _breaks(*_arguments: Any) -> None:
    raise RuntimeError("the power went out")
