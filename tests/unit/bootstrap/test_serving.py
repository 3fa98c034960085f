"""How the API is served: whom it takes callers for."""

from ipaddress import ip_network

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from escrowd.bootstrap.serving import served


async def _says_who_asks(scope: Scope, receive: Receive, send: Send) -> None:
    client = Request(scope).client
    await PlainTextResponse(client.host if client else "nobody")(scope, receive, send)


@pytest.mark.parametrize(
    ("asked_for", "trusted", "taken_for"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7, 10.1.0.2", "10.1.0.0/16", "203.0.113.7"),
        ("203.0.113.7, 10.1.0.2", "", "10.1.0.2"),
    ],
)
async def test_anybody_chooses_an_address(
    monkeypatch: pytest.MonkeyPatch, asked_for: str, trusted: str, taken_for: str
) -> None:
    """A proxy that the settings name is believed for whom it asks; others are not, whatever the environment says."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    proxies = [ip_network(trusted)] if trusted else []
    async with served(_says_who_asks, "127.0.0.1", 0, trusted_proxies=proxies) as port, httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/", headers={"X-Forwarded-For": asked_for})
    assert answer.text == taken_for
