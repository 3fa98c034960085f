import ssl
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.testing.receiver import LOOPBACK, Receiver

CERTIFICATE = Path(__file__).with_name("receiver.pem")
#: A receiver on loopback may be sent to, and is not waited for long.
ALLOWED = WebhookSettings(allowed_networks=LOOPBACK, timeout=5.0)
PUBLIC_ONLY = WebhookSettings(timeout=5.0)
#: Reading the system's certificates takes a while.
CLIENT_TLS = ssl.create_default_context()


def words(text: str) -> list[str]:
    """Return what stands between blanks."""
    return text.split()


class Names:
    """A name service of the test: answers in turn, the last one for ever; notes who was asked for."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Give a receiver on loopback."""
    async with Receiver.listening() as receiver:
        yield receiver


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Note every address to which a connection is begun."""
    begun: list[Any] = []
    connect = BaseSelectorEventLoop.sock_connect

    async def noted(loop: BaseSelectorEventLoop, sock: Any, address: Any) -> None:
        begun.append(address)
        await connect(loop, sock, address)

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", noted)
    return begun


@pytest.fixture
def tls() -> ssl.SSLContext:
    """Give what a receiver named receiver.test speaks TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context
