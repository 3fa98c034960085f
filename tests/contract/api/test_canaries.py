"""Secrets that were put in come out nowhere but where they are handed out."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from escrowd.bootstrap.logs import configure_logging
from escrowd.domain.access import Scope
from escrowd.domain.escrow.status import Status
from escrowd.domain.parties import WalletRole
from escrowd.store.access import AuditTable
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import NEW, made, token_of, visit
from tests.contract.conftest import sqlite_copy
from tests.unit.domain.escrow.world import PATHS

IDEMPOTENCY_KEY: Final = "canary-of-idempotency"
#: What only callers would say, in places that are not meant for it.
STRAY: Final = "canary-in-a-query"


@pytest.fixture(params=["for programs", "for people"])
def logged(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Give what is logged in this test, in full detail."""
    lines = io.StringIO()
    with redirect_stderr(lines):
        configure_logging(level=logging.DEBUG, as_json=request.param == "for programs")
        yield lines


async def _use_all(house: ApiHouse, client: httpx.AsyncClient, secrets: list[str]) -> list[str]:
    """Call with each secret in each place where a caller could put it; return what was answered to that."""
    escrow = (await made(house, PATHS[Status.FUNDED])).id
    told: list[str] = []
    for secret in secrets:
        for headers in ({"Authorization": f"Bearer {secret}"}, {"Authorization": f"Bearer x{secret}"}):
            for path in (f"/v1/escrows/{escrow}", "/v1/escrows", "/v1/events?limit=0", "/v1/nothing"):
                answer = await client.get(path, headers=headers)
                told += [str(answer.headers), answer.text]
            asked = {**headers, "Idempotency-Key": IDEMPOTENCY_KEY}
            for path in (f"/v1/escrows/{escrow}/deliver", f"/v1/escrows/{escrow}/rule", "/v1/escrows"):
                answer = await client.post(path, json={**NEW, "amount": "-1"}, headers=asked)
                told += [str(answer.headers), answer.text]
    return told


async def test_secret_is_told(
    sqlite_template: Path, tmp_path: Path, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key, token or Idempotency-Key is in a log line, an answer, a metric, the document or a repr of the parts."""

    async def breaks(*_arguments: Any) -> None:
        raise RuntimeError("the power went out")

    async with ApiHouse.open(sqlite_copy(sqlite_template, tmp_path)) as house:
        key = await house.key(tuple(Scope))
        escrow = (await made(house)).id
        tokens = [await token_of(house, escrow, role) for role in WalletRole]
        vault = house.vault.derived_key("API keys")
        secrets = [each.reveal() for each in (key, *tokens, house.parts.callers.operator_token)]
        async with visit(house) as client:
            told = await _use_all(house, client, secrets)
            told += [(await client.get(path)).text for path in ("/metrics", "/openapi.json", "/docs", "/readyz")]
        async with visit(house, key) as client:
            headers = {"Idempotency-Key": IDEMPOTENCY_KEY}
            await client.get("/v1/escrows", params={"reference": STRAY})
            links = (await client.post("/v1/escrows", json=NEW, headers=headers)).json()["links"]
            with monkeypatch.context() as broken:
                broken.setattr(AuditTable, "note", breaks)
                told.append((await client.post("/v1/escrows", json=NEW)).text)
        told += [repr(each) for each in (house, house.parts, house.parts.callers, key, tokens)]
    canaries = [
        *(each.partition(".")[2] or each for each in secrets),
        *(each["token"] for each in links),
        *(vault.hex(), repr(vault)[2:-1]),
        *(IDEMPOTENCY_KEY, STRAY),
    ]
    lines = logged.getvalue()
    assert "request.broke" in lines
    assert "RuntimeError: the power went out" in lines
    everything = lines + "".join(told)
    assert [each for each in canaries if each in everything] == []


async def test_line_is_no_json(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """Each line of the log for programs is one JSON object, with the id of its request; a bug has a traceback."""
    lines = io.StringIO()
    with redirect_stderr(lines):
        configure_logging(level=logging.DEBUG, as_json=True)
        object.__setattr__(sqlite_house.parts, "readiness", None)
        answer = await sqlite_client.get("/readyz", headers={"X-Request-Id": "ready-1"})
    assert answer.status_code == 500
    (line,) = [json.loads(each) for each in lines.getvalue().splitlines()]
    assert (line["event"], line["cause"], line["level"]) == ("request.broke", "ready-1", "error")
    assert "TypeError" in line["exception"]
