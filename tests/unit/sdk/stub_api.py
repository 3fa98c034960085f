"""A service of one escrow on loopback, as far as the guide to the client needs it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

from escrowd.sdk.history import hash_of
from escrowd.wire.events import Event
from tests.unit.sdk.samples import ESCROW, KEY, TOKEN, URL, escrow, event, problem

SECRETS: Final = ("whsec_" + "A" * 43 + "=", "whsec_" + "B" * 43 + "=")
PAYOUT: Final = {
    "id": "pay_1",
    "kind": "release",
    "status": "confirmed",
    "transactions": [{"txid": "ab" * 32, "network_fee": "30000000", "confirmations": 10, "outputs": []}],
}

#: What each move is allowed in, and where it leads.
MOVES: Final = {
    "mine": ("awaiting_funding", "funded"),
    "deliver": ("funded", "delivered"),
    "release": ("delivered", "completed"),
}


def history(length: int) -> list[dict[str, Any]]:
    """Return a log whose hashes fit."""
    entries: list[dict[str, Any]] = []
    for number in range(1, length + 1):
        blank = {**event(number), "hash": ""}
        if entries:
            blank["previous_hash"] = entries[-1]["hash"]
        entries.append({**blank, "hash": hash_of(Event.model_validate(blank))})
    return entries


class StubApi(ThreadingHTTPServer):
    """The service. ``asked`` is every request: method, path and token."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.version = "awaiting_funding", 1
        self.asked: list[tuple[str, str, str]] = []
        self.events = history(5)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def escrow(self) -> dict[str, Any]:
        """Return the escrow as it is now."""
        payout = PAYOUT if self.status == "completed" else None
        return escrow(self.status, self.version, payout=payout)

    def move(self, name: str) -> tuple[int, object]:
        """Do what moves the escrow, or refuse it."""
        before, after = MOVES[name]
        if self.status != before:
            return 409, problem(409, "not_allowed", allowed_actions=[])
        self.status, self.version = after, self.version + 1
        return 200, self.escrow()

    def answer(self, method: str, path: str, query: dict[str, list[str]]) -> tuple[int, object]:
        """Return the status and body of an answer."""
        own = f"/v1/escrows/{ESCROW}"
        after = int(query.get("after", ["0"])[0])
        rest = [each for each in self.events if each["sequence"] > after]
        if path.startswith(own) and path.removeprefix(f"{own}/") in MOVES:
            return self.move(path.removeprefix(f"{own}/"))
        if (method, path) == ("POST", "/sandbox/mine"):
            self.move("mine")
            return 200, {"height": 70}
        if (method, path) == ("POST", "/v1/escrows"):
            return 201, {**self.escrow(), "links": _LINKS}
        fixed = {
            own: self.escrow(),
            "/v1/escrows": {"items": [self.escrow()], "next": None},
            "/v1/events": {"items": rest[:2], "next": str(min(after + 2, 5)), "more": after + 2 < 5},
            f"{own}/log": {"items": rest[:2], "next": after + 2, "more": after + 2 < 5},
            f"{own}/preview": _PREVIEW,
            "/sandbox/fund": {"txid": "cd" * 32},
            "/v1/webhooks": {**_WEBHOOK, "secret": SECRETS[0]},
            "/v1/webhooks/whk_1/rotate-secret": {**_WEBHOOK, "secret": SECRETS[1]},
        }
        return (200, fixed[path]) if path in fixed else (404, problem(404, "not_found"))


@contextmanager
def stub_api() -> Iterator[StubApi]:
    """Serve until the end of the block."""
    with StubApi() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


# ---------------------------------------------------------------------------------------------------------------------

_LINKS: Final = [{"role": role, "token": f"{TOKEN}-{role}", "url": URL} for role in ("buyer", "vendor", "arbiter")]
_PREVIEW: Final = {
    "action": "release",
    "kind": "release",
    "total": "1000000000000",
    "network_fee": "30000000",
    "left_out": "0",
    "outputs": [{"to": "4C", "amount": "999970000000"}],
}
_WEBHOOK: Final = {
    "id": "whk_1",
    "url": "https://shop.example/escrow-events",
    "types": [],
    "description": "",
    "status": "enabled",
    "created_at": "2026-01-02T03:04:05.678Z",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self._answer("POST")

    @override
    def log_message(self, *_: object) -> None:
        pass

    @property
    def _api(self) -> StubApi:
        assert isinstance(self.server, StubApi)
        return self.server

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self._api.asked.append((method, url.path, token))
        if url.path == "/v1/events/stream":
            self._stream(int(parse_qs(url.query).get("after", ["0"])[0]))
            return
        is_known = token == KEY or token.startswith(TOKEN)
        status, body = self._api.answer(method, url.path, parse_qs(url.query)) if is_known else (401, {})
        content = json.dumps(body).encode()
        self._begin(status, "application/json" if status < 400 else "application/problem+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, after: int) -> None:
        self._begin(200, "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for each in self._api.events[after : after + 2]:
            self.wfile.write(f"id: {each['cursor']}\nevent: {each['type']}\ndata: {json.dumps(each)}\n\n".encode())
        self.wfile.write(b"retry: 0\n\n")

    def _begin(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
