"""The life of an endpoint over HTTP: who may do what, what is shown of it, and what is written down of it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import select

from escrowd.domain.access import AuditEntry, Scope
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.domain.retention import Prunable
from escrowd.domain.webhooks import Delivery, DeliveryStatus
from escrowd.service.webhooks.endpoints import SWITCHED_OFF
from escrowd.service.webhooks.signing import secret_purpose
from escrowd.store import schema_access
from escrowd.store.schema_webhooks import webhooks
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.matrix import NO_WEBHOOK, OF_A_WEBHOOK
from tests.contract.api.visits import fingerprint, made, token_of, visit
from tests.unit.domain.escrow.world import PATHS

PATH: Final = "/v1/webhooks"
URL: Final = "https://shop.example/hooks?of=ours"
REPLAYED: Final = "Idempotent-Replayed"
MOST: Final = 32


@dataclass(frozen=True)
class Call:
    """One thing that is done with an endpoint, with what is sent for it."""

    method: str
    path: str
    body: dict[str, Any] | None = None

    async def by(self, client: httpx.AsyncClient, webhook: str, delivery: str, **headers: str) -> httpx.Response:
        path = PATH + self.path.format(webhook=webhook, delivery=delivery)
        return await client.request(self.method, path, json=self.body, headers=headers)


#: Each operation on webhooks, with a body that is good.
CALLS: Final = {
    "create_webhook": Call("POST", "", {"url": URL}),
    "list_webhooks": Call("GET", ""),
    "get_webhook": Call("GET", "/{webhook}"),
    "update_webhook": Call("PATCH", "/{webhook}", {"description": "another"}),
    "rotate_webhook_secret": Call("POST", "/{webhook}/rotate-secret", {}),
    "list_deliveries": Call("GET", "/{webhook}/deliveries"),
    "redeliver": Call("POST", "/{webhook}/deliveries/{delivery}/redeliver", {}),
    "delete_webhook": Call("DELETE", "/{webhook}"),
}
#: What a change is called in the audit.
NOTED: Final = {
    "create_webhook": "create webhook",
    "update_webhook": "update webhook",
    "rotate_webhook_secret": "rotate secret of webhook",
    "redeliver": "redeliver",
    "delete_webhook": "delete webhook",
}


async def added(client: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:
    """Add an endpoint, and return what was answered."""
    answer = await client.post(PATH, json={"url": URL, **wanted})
    assert answer.status_code == 201
    return dict(answer.json())


async def read(client: httpx.AsyncClient, path: str = "") -> dict[str, Any]:
    answer = await client.get(PATH + path)
    assert answer.status_code == 200
    return dict(answer.json())


async def tell(house: ApiHouse) -> EscrowId:
    """Let an escrow become funded, of which every endpoint is told several events."""
    return (await made(house, PATHS[Status.FUNDED])).id


async def signing_secret(house: ApiHouse, webhook: str) -> str:
    """Return the secret with which deliveries to an endpoint are signed."""
    async with house.store.reading() as tx:
        found = await house.parts.webhooks.get(tx, webhook)
    return house.vault.unseal(found.sealed_secret, secret_purpose(webhook)).reveal()


async def take(house: ApiHouse, webhook: str, delivery: str) -> None:
    """Note that an endpoint has taken something."""
    async with house.store.transaction() as tx:
        found = await tx.webhooks.delivery(webhook, delivery)
        assert found is not None
        taken: Delivery = replace(
            found, status=DeliveryStatus.DELIVERED, next_attempt_at=None, delivered_at=found.created_at, attempts=1
        )
        await tx.webhooks.save_delivery(taken)


async def noted(house: ApiHouse) -> list[AuditEntry]:
    """Return what the audit has of webhooks."""
    async with house.store.reading() as tx:
        return [each for each in await tx.audit.entries() if each.action in NOTED.values()]


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["create_webhook", "rotate_webhook_secret"])
async def test_retried_request_gets_another_secret(house: ApiHouse, client: httpx.AsyncClient, name: str) -> None:
    """One Idempotency-Key makes one secret, which every retry gets, byte for byte, and with which is signed."""
    first = await added(client)
    before = await fingerprint(house)
    headers = {"Idempotency-Key": "retried"}
    answers = [await CALLS[name].by(client, first["id"], "", **headers) for _ in range(3)]
    assert len({(each.status_code, each.content) for each in answers}) == 1
    assert [each.headers.get(REPLAYED) for each in answers] == [None, "true", "true"]
    shown = answers[0].json()
    assert shown["secret"].startswith("whsec_")
    assert shown["secret"] != first["secret"]
    assert await signing_secret(house, shown["id"]) == shown["secret"]
    # An answer and a note of one change, and at most one more endpoint: the retries left nothing.
    changed = sum(await fingerprint(house)) - sum(before)
    assert changed == {"create_webhook": 3, "rotate_webhook_secret": 2}[name]


async def test_secret_is_shown_twice(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """A secret is in the answer that made it, and in no other one; neither is it in any row but under seal."""
    first = await added(client)
    id_ = first["id"]
    secrets = [first["secret"]]
    keyed = await CALLS["rotate_webhook_secret"].by(client, id_, "", **{"Idempotency-Key": "sealed"})
    secrets.append(keyed.json()["secret"])
    others = [
        await client.get(PATH),
        await client.get(f"{PATH}/{id_}"),
        await CALLS["update_webhook"].by(client, id_, ""),
    ]
    for answer in others:
        assert answer.status_code == 200
        assert "secret" not in answer.text
        assert "sealed" not in answer.text
    async with house.database.reading() as session:
        for table in (webhooks, schema_access.answers, schema_access.audit):
            rows = (await session.connection.execute(select(table))).all()
            assert rows
            assert not any(each.removeprefix("whsec_") in str(rows) for each in secrets)


# --- the life of an endpoint -----------------------------------------------------------------------------------------


async def test_endpoint_comes_back_changed(client: httpx.AsyncClient) -> None:
    """An endpoint is shown as it was made; what is changed is changed alone."""
    first = await added(client, types=["escrow.split", "escrow.funded"], description="the shop")
    second = await added(client)
    assert (first["status"], first["types"]) == ("enabled", ["escrow.funded", "escrow.split"])
    del first["secret"], second["secret"]
    assert await read(client) == {"items": [first, second]}
    assert await read(client, f"/{first['id']}") == first
    answer = await client.patch(f"{PATH}/{first['id']}", json={"url": "https://shop.example/new", "types": []})
    assert answer.json() == {**first, "url": "https://shop.example/new", "types": []}
    assert await read(client) == {"items": [answer.json(), second]}


async def test_switched_off_endpoint_loses_events(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """An endpoint that was switched off says why and since when, and what it misses waits until it is switched on."""
    id_ = (await added(client))["id"]
    off = (await client.patch(f"{PATH}/{id_}", json={"enabled": False})).json()
    assert (off["status"], off["pending"], off["disabled_reason"]) == ("disabled", 0, SWITCHED_OFF)
    assert off["disabled_at"]
    await tell(house)
    missed = (await read(client, f"/{id_}/deliveries"))["items"]
    assert (await read(client, f"/{id_}"))["pending"] == len(missed) > 1
    on = (await client.patch(f"{PATH}/{id_}", json={"enabled": True})).json()
    assert (on["status"], on["pending"]) == ("enabled", len(missed))
    assert "disabled_reason" not in on or on["disabled_reason"] is None
    due = [each["next_attempt_at"] for each in (await read(client, f"/{id_}/deliveries"))["items"]]
    # Each was due when it happened; now all of them are at once.
    assert len(set(due)) == 1
    assert datetime.fromisoformat(due[0]) >= max(datetime.fromisoformat(each["next_attempt_at"]) for each in missed)


async def test_delivery_is_seen_twice_or_never(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """Page by page each delivery is seen once, the newest first, all of them or those of one status."""
    id_ = (await added(client))["id"]
    escrow = await tell(house)
    everything = (await read(client, f"/{id_}/deliveries"))["items"]
    assert everything[-1]["type"] == "escrow.created"
    assert {each["escrow"] for each in everything} == {escrow}
    await take(house, id_, everything[-1]["id"])

    async def seen(**query: Any) -> list[str]:
        ids: list[str] = []
        while True:
            page = (await client.get(f"{PATH}/{id_}/deliveries", params=query)).json()
            assert 0 < len(page["items"]) <= query["limit"]
            ids += [each["id"] for each in page["items"]]
            if page.get("next") is None:
                return ids
            query["cursor"] = page["next"]

    ids = [each["id"] for each in everything]
    assert len(ids) > 2
    for limit in (1, 2, len(ids), 100):
        assert await seen(limit=limit) == ids
    assert await seen(limit=1, status="pending") == ids[:-1]
    assert await seen(limit=1, status="delivered") == ids[-1:]


async def test_redelivery_is_another_delivery(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """What was taken is sent again under its own id, and waits once however often that is asked with one key."""
    id_ = (await added(client))["id"]
    await tell(house)
    first = (await read(client, f"/{id_}/deliveries"))["items"][-1]
    await take(house, id_, first["id"])
    before = (await read(client, f"/{id_}"))["pending"]
    answers = [await CALLS["redeliver"].by(client, id_, first["id"], **{"Idempotency-Key": "again"}) for _ in range(2)]
    assert {(each.status_code, each.content) for each in answers} == {(200, answers[0].content)}
    again = answers[0].json()
    assert {name: again[name] for name in ("id", "event", "type", "status")} == {
        **{name: first[name] for name in ("id", "event", "type")},
        "status": "pending",
    }
    assert (await read(client, f"/{id_}"))["pending"] == before + 1


async def test_removed_endpoint_is_there(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """A removed endpoint is gone with all that was for it, and another one keeps its own."""
    gone, stays = (await added(client))["id"], (await added(client))["id"]
    await tell(house)
    delivery = (await read(client, f"/{gone}/deliveries"))["items"][0]["id"]
    answer = await client.delete(f"{PATH}/{gone}")
    assert (answer.status_code, answer.content) == (204, b"")
    for name in OF_A_WEBHOOK:
        assert code_of(await CALLS[name].by(client, gone, delivery)) == (404, "no_such_webhook"), name
    (left,) = (await read(client))["items"]
    assert (left["id"], left["pending"]) == (stays, len((await read(client, f"/{stays}/deliveries"))["items"]))


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"url": "https://10.0.0.1/"}, 422, "unusable_url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, 422, "unusable_url"),
        ({"url": "http://1.1.1.1/"}, 422, "unusable_url"),
        ({"url": "ftp://shop.example/"}, 422, "unusable_url"),
        ({"url": "https://user:hunter2@shop.example/"}, 422, "unusable_url"),
        ({"url": f"https://shop.example/{'x' * 2048}"}, 422, "invalid_request"),
        ({"url": ""}, 422, "invalid_request"),
        ({"url": URL, "types": ["escrow.funded", "escrow.payed"]}, 422, "unknown_event_type"),
        ({"url": URL, "types": "escrow.funded"}, 422, "invalid_request"),
        ({"url": URL, "secret": "whsec_mine"}, 422, "invalid_request"),
    ],
)
@pytest.mark.parametrize("name", ["create_webhook", "update_webhook"])
async def test_wrong_endpoint_is_taken(
    house: ApiHouse, client: httpx.AsyncClient, name: str, body: dict[str, Any], status: int, code: str
) -> None:
    """A URL to which nothing is sent and a type that there is not are refused with the reason; nothing is changed."""
    id_ = (await added(client))["id"]
    before = await fingerprint(house), await read(client)
    answer = await replace(CALLS[name], body=body).by(client, id_, "")
    assert code_of(answer) == (status, code)
    assert "hunter2" not in answer.text
    assert (await fingerprint(house), await read(client)) == before


@pytest.mark.parametrize("overlap", [-1, 30 * 86400 + 1, "soon"])
async def test_overlap_without_an_end_is_taken(house: ApiHouse, client: httpx.AsyncClient, overlap: object) -> None:
    """An old secret cannot sign along for less than no time or for more than thirty days; it stays the only one."""
    first = await added(client)
    answer = await client.post(f"{PATH}/{first['id']}/rotate-secret", json={"overlap_seconds": overlap})
    assert code_of(answer) == (422, "invalid_request")
    assert await signing_secret(house, first["id"]) == first["secret"]


@pytest.mark.parametrize("query", ["status=lost", "cursor=-1", "cursor=x", "limit=0", "limit=101"])
async def test_page_that_there_is_not_is_shown(client: httpx.AsyncClient, query: str) -> None:
    """A status, a cursor or a limit that there is not is refused."""
    id_ = (await added(client))["id"]
    assert code_of(await client.get(f"{PATH}/{id_}/deliveries?{query}")) == (422, "invalid_request")


async def test_nobody_is_somebody(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """Whatever is asked of an endpoint or a delivery that is not there is answered by that, and nothing is changed."""
    one, two = (await added(client))["id"], (await added(client))["id"]
    await tell(house)
    delivery = (await read(client, f"/{one}/deliveries"))["items"][0]["id"]
    before = await fingerprint(house), await read(client)
    for webhook in (NO_WEBHOOK, "none", two.upper()):
        for name in OF_A_WEBHOOK:
            assert code_of(await CALLS[name].by(client, webhook, delivery)) == (404, "no_such_webhook"), name
    for webhook, which in ((two, delivery), (one, "none")):
        assert code_of(await CALLS["redeliver"].by(client, webhook, which)) == (404, "no_such_delivery")
    assert (await fingerprint(house), await read(client)) == before


async def test_switched_off_endpoint_is_sent_something(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """Nothing is sent again to an endpoint that is switched off; the same key sends it once it is switched on."""
    id_ = (await added(client))["id"]
    await tell(house)
    delivery = (await read(client, f"/{id_}/deliveries"))["items"][-1]["id"]
    await take(house, id_, delivery)
    await client.patch(f"{PATH}/{id_}", json={"enabled": False})
    before = await fingerprint(house), await read(client)
    refused = await CALLS["redeliver"].by(client, id_, delivery, **{"Idempotency-Key": "again"})
    assert code_of(refused) == (409, "webhook_is_off")
    assert refused.json()["detail"] == f"nothing is sent to {id_} (switched off by request): switch it on first"
    assert (await fingerprint(house), await read(client)) == before
    await client.patch(f"{PATH}/{id_}", json={"enabled": True})
    answer = await CALLS["redeliver"].by(client, id_, delivery, **{"Idempotency-Key": "again"})
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")


async def test_delivery_that_was_removed_is_a_riddle(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """A delivery that was removed is not there, and who asks for it is told why and where its event is."""
    id_ = (await added(client))["id"]
    await tell(house)
    listed = [each["id"] for each in (await read(client, f"/{id_}/deliveries"))["items"]]
    await take(house, id_, listed[-1])
    async with house.store.transaction() as tx:
        assert await tx.pruning.remove(Prunable.DELIVERIES, older_than=-1, most=10) == 1
    assert [each["id"] for each in (await read(client, f"/{id_}/deliveries"))["items"]] == listed[:-1]
    answer = await CALLS["redeliver"].by(client, id_, listed[-1])
    assert code_of(answer) == (404, "no_such_delivery")
    assert "GET /v1/events" in answer.json()["detail"]


async def test_endpoints_have_no_end(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """Of endpoints there are 32 at most; one more is refused, and removing one makes room."""
    ids = [(await added(client))["id"] for _ in range(MOST)]
    before = await fingerprint(house)
    assert code_of(await client.post(PATH, json={"url": URL})) == (409, "too_many_webhooks")
    assert await fingerprint(house) == before
    assert (await client.delete(f"{PATH}/{ids[0]}")).status_code == 204
    await added(client)


# --- who may, and what is written down -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
async def test_party_does_something_with_webhooks(house: ApiHouse, client: httpx.AsyncClient, name: str) -> None:
    """Parties of an escrow, and keys that may read or rule, may do nothing here, and learn nothing."""
    id_ = (await added(client))["id"]
    escrow = await tell(house)
    delivery = (await read(client, f"/{id_}/deliveries"))["items"][0]["id"]
    tokens = [await token_of(house, escrow, role) for role in WalletRole]
    tokens += [await house.key([scope]) for scope in (Scope.ESCROWS_READ, Scope.ARBITER)]
    before = await fingerprint(house), await read(client)
    for token in tokens:
        async with visit(house, token) as other:
            for webhook in (id_, NO_WEBHOOK):
                answer = await CALLS[name].by(other, webhook, delivery)
                assert code_of(answer) == (403, "not_permitted")
                assert URL not in answer.text
    assert (await fingerprint(house), await read(client)) == before


@pytest.mark.parametrize("scope", [Scope.ESCROWS_WRITE, Scope.ADMIN])
async def test_change_is_made_by_nobody(house: ApiHouse, client: httpx.AsyncClient, scope: Scope) -> None:
    """The audit has each change with the caller and the id of the request; what is only read it has not."""
    id_ = (await added(client))["id"]
    await tell(house)
    delivery = (await read(client, f"/{id_}/deliveries"))["items"][0]["id"]
    key = await house.key([scope])
    before = len(await noted(house))
    async with visit(house, key) as caller:
        answers = {
            name: await call.by(caller, id_, delivery, **{"X-Request-Id": f"asked-{name}"})
            for name, call in CALLS.items()
        }
    assert {name: each.status_code for name, each in answers.items() if not each.is_success} == {}
    subjects = {"create_webhook": answers["create_webhook"].json()["id"], "redeliver": delivery}
    assert [(each.caller, each.action, each.subject, each.cause) for each in (await noted(house))[before:]] == [
        (key.reveal().partition(".")[0], action, subjects.get(name, id_), f"asked-{name}")
        for name, action in ((name, NOTED[name]) for name in CALLS if name in NOTED)
    ]
