"""Whose links a key is given: whoever makes escrows without being the arbiter never holds the arbiter's."""

from collections.abc import Iterator
from itertools import chain, combinations
from typing import Final

import pytest

from escrowd.domain.access import Scope
from escrowd.domain.escrow.status import Status
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import NEW, fingerprint, made, token_of, visit
from tests.unit.domain.escrow.world import HALF, PATHS

_WRITE, _ARBITER, _ADMIN = Scope.ESCROWS_WRITE, Scope.ARBITER, Scope.ADMIN
#: Every key that can be made.
KEYS: Final = tuple(chain.from_iterable(combinations(Scope, size) for size in range(1, len(Scope) + 1)))


def whose(scopes: tuple[Scope, ...]) -> list[str]:
    """Say whose links a key with these scopes is given, where it is given any."""
    return ["buyer", "vendor", "arbiter"] if {_ARBITER, _ADMIN} & {*scopes} else ["buyer", "vendor"]


def named(scopes: tuple[Scope, ...]) -> str:
    return " ".join(scopes)


@pytest.mark.parametrize("scopes", KEYS, ids=named)
async def test_link_of_the_arbiter_comes_with_a_new_escrow(sqlite_house: ApiHouse, scopes: tuple[Scope, ...]) -> None:
    """Who makes an escrow gets the links of buyer and vendor, and the arbiter's only with `arbiter` or `admin`."""
    async with visit(sqlite_house, await sqlite_house.key(scopes)) as client:
        answer = await client.post("/v1/escrows", json=NEW)
    assert answer.status_code == (201 if _WRITE in scopes else 403)
    assert [each["role"] for each in answer.json().get("links", ())] == (whose(scopes) if _WRITE in scopes else [])
    for link in answer.json().get("links", ()):
        assert link["token"] == (await token_of(sqlite_house, answer.json()["id"], link["role"])).reveal()


@pytest.mark.parametrize("scopes", KEYS, ids=named)
async def test_link_of_the_arbiter_is_listed(sqlite_house: ApiHouse, scopes: tuple[Scope, ...]) -> None:
    """A list of links has the arbiter's only for `arbiter` or `admin`, and there is none without a scope for links."""
    escrow = await made(sqlite_house)
    async with visit(sqlite_house, await sqlite_house.key(scopes)) as client:
        answer = await client.get(f"/v1/escrows/{escrow.id}/links")
    may_list = bool({_WRITE, _ADMIN} & {*scopes})
    assert answer.status_code == (200 if may_list else 403)
    assert [each["role"] for each in answer.json().get("items", ())] == (whose(scopes) if may_list else [])
    arbiter = (await token_of(sqlite_house, escrow.id, WalletRole.ARBITER)).reveal()
    assert (arbiter in answer.text) is (may_list and "arbiter" in whose(scopes))


@pytest.mark.parametrize("scopes", KEYS, ids=named)
async def test_link_of_the_arbiter_is_rotated(sqlite_house: ApiHouse, scopes: tuple[Scope, ...]) -> None:
    """A link is replaced only for a key that is given it; else the answer says which scope would do, and it stays."""
    escrow = await made(sqlite_house)
    async with visit(sqlite_house, await sqlite_house.key(scopes)) as client:
        for role in WalletRole:
            before, old = await fingerprint(sqlite_house), await token_of(sqlite_house, escrow.id, role)
            answer = await client.post(f"/v1/escrows/{escrow.id}/links/{role}/rotate")
            now = await token_of(sqlite_house, escrow.id, role)
            if {_WRITE, _ADMIN} & {*scopes} and role in whose(scopes):
                assert (answer.status_code, answer.json()["token"]) == (200, now.reveal())
                assert now != old
                continue
            assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
            lacks = "'arbiter' or 'admin'" if _WRITE in scopes else "'escrows:write' or 'admin'"
            assert lacks in answer.json()["detail"]
            assert (await fingerprint(sqlite_house), now) == (before, old)


async def test_operator_misses_a_link(sqlite_house: ApiHouse) -> None:
    """The commands of the machine make, list and replace the links of all three."""
    async with visit(sqlite_house, sqlite_house.parts.callers.operator_token) as operator:
        new = (await operator.post("/v1/escrows", json=NEW)).json()
        path = f"/v1/escrows/{new['id']}/links"
        assert (await operator.get(path)).json()["items"] == new["links"]
        rotated = [(await operator.post(f"{path}/{role}/rotate")).json() for role in WalletRole]
        assert (await operator.get(path)).json()["items"] == rotated
    assert [each["role"] for each in rotated] == list(WalletRole)


async def test_maker_of_an_escrow_rules_over_it(sqlite_house: ApiHouse) -> None:
    """With all that a key of `escrows:write` is given of an escrow nobody can rule over it."""
    escrow = await made(sqlite_house, PATHS[Status.DISPUTED])
    path, key = f"/v1/escrows/{escrow.id}", await sqlite_house.key([_WRITE])
    async with visit(sqlite_house, key) as client:
        items = (await client.get(f"{path}/links")).json()["items"]
    before = await fingerprint(sqlite_house)
    assert len(items) == 2
    for token in (key, *(Secret(each["token"]) for each in items)):
        async with visit(sqlite_house, token) as caller:
            answer = await caller.post(f"{path}/rule", json={"vendor_share": str(HALF)})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_permitted")
    assert await fingerprint(sqlite_house) == before


@pytest.mark.parametrize("what", ["create", "rotate"])
async def test_replay_gives_the_link_of_the_arbiter_away(sqlite_house: ApiHouse, what: str) -> None:
    """Who repeats the request of a key that is given the arbiter's link, word for word, is not given it."""
    escrow = await made(sqlite_house)
    path, body = {"create": ("/v1/escrows", NEW), "rotate": (f"/v1/escrows/{escrow.id}/links/arbiter/rotate", {})}[what]
    answers = [await _asked(sqlite_house, scopes, path, body) for scopes in ((_WRITE, _ARBITER), (_WRITE,))]
    tokens = [set(_tokens(each)) for each in answers]
    assert any(each.startswith("pty_arbiter_") for each in tokens[0])
    assert not any(each.startswith("pty_arbiter_") for each in tokens[1])
    assert tokens[0].isdisjoint(tokens[1])


# ---------------------------------------------------------------------------------------------------------------------


async def _asked(house: ApiHouse, scopes: tuple[Scope, ...], path: str, body: dict[str, object]) -> dict[str, object]:
    async with visit(house, await house.key(scopes)) as client:
        answer = await client.post(path, json=body, headers={"Idempotency-Key": "the-same"})
    said: dict[str, object] = answer.json()
    return said


def _tokens(said: object) -> Iterator[str]:
    """Yield all tokens of parties in an answer."""
    if isinstance(said, dict):
        yield from chain.from_iterable(map(_tokens, said.values()))
    elif isinstance(said, list):
        yield from chain.from_iterable(map(_tokens, said))
    elif isinstance(said, str) and said.startswith("pty_"):
        yield said
