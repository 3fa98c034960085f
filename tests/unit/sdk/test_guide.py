import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from escrowd.sdk import AsyncEscrowClient, EscrowClient
from escrowd.wire.events import Event
from tests.unit.sdk.samples import ESCROW, KEY, TOKEN, event
from tests.unit.sdk.stub_api import SECRETS, stub_api

GUIDE = Path(__file__).parents[3] / "docs" / "sdk.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Enough(Exception):
    """The shop of the guide has seen all events, and closes."""


class Shop:
    """Stands for the integrator's own code. It closes with the fifth event."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.booked: list[str] = []

    def knows(self, event_id: str) -> bool:
        """Return whether this event was dealt with."""
        return event_id in self.booked

    def book(self, happened: Event) -> None:
        """Deal with an event."""
        self.booked.append(happened.id)
        self.cursor = happened.cursor
        if happened.cursor == "5":
            self.cursor = None
            raise Enough


def test_example_of_the_guide_does_not_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All examples of the guide run, one after the other, against a service, and do what the guide says."""
    shop = Shop()
    room: dict[str, object] = {"shop": shop}
    with stub_api() as api:
        settings = {"API_URL": api.url, "API_KEY": KEY, "WEBHOOK_SECRET": SECRETS[0]}
        for name, value in settings.items():
            monkeypatch.setenv(f"ESCROWD_{name}", value)
        monkeypatch.setenv("BUYER_ADDRESS", "4B")
        monkeypatch.setenv("VENDOR_ADDRESS", "4C")
        text = GUIDE.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            # Empty lines in front, so that a failure names the line of the guide.
            code = "\n" * (text.count("\n", 0, block.start()) + 1) + block[1]
            with suppress(Enough):
                exec(compile(code, str(GUIDE), "exec"), room)  # noqa: S102 - the text is our own guide
        movers = {
            path.rsplit("/", 1)[1]: token for _, path, token in api.asked if path.startswith(f"/v1/escrows/{ESCROW}/")
        }
    assert (movers["deliver"], movers["preview"]) == (f"{TOKEN}-vendor", f"{TOKEN}-buyer")
    assert shop.booked == [f"evt_{n}" for n in (1, 2, 3, 4, 5)] * 2
    said = capsys.readouterr().out
    assert ("it may only: nothing" in said, f"['{ESCROW}']" in said, "ab" * 32 in said) == (True, True, True)
    assert room["secrets"] == [SECRETS[1], SECRETS[0]]


def test_receiver_of_the_guide_takes_what_it_should_not() -> None:
    """The receiver of the guide takes a signed event once, and answers 400 to anything else."""
    shop, (secret, _) = Shop(), SECRETS
    blocks = [block[1] for block in BLOCK.finditer(GUIDE.read_text(encoding="utf-8")) if "def receive" in block[1]]
    room: dict[str, object] = {"shop": shop, "os": type("os", (), {"environ": {"ESCROWD_WEBHOOK_SECRET": secret}})}
    exec(blocks[0], room)  # noqa: S102 - the text is our own guide
    receive = room["receive"]
    assert callable(receive)
    body, now = json.dumps(event(1)).encode(), datetime.now(UTC)
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = Webhook(secret).sign("evt_1", now, body.decode())
    assert [receive(body, headers), receive(body, headers), receive(body + b" ", headers), receive(body, {})] == [
        204,
        204,
        400,
        400,
    ]
    assert shop.booked == ["evt_1"]


def test_guide_leaves_out_what_the_client_can() -> None:
    """The guide names every method of the clients and of their groups."""
    text = GUIDE.read_text(encoding="utf-8")
    with EscrowClient("http://localhost", KEY) as client:
        parts: list[object] = [client, client.webhooks, client.sessions, client.sandbox]
        names = {name for part in parts for name in dir(part) if not name.startswith("_")}
    assert AsyncEscrowClient.__name__ in text
    assert sorted(name for name in names - {"close"} if f"`{name}`" not in text) == []
