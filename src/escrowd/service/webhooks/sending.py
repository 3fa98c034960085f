"""One try at an endpoint: one POST over a connection of its own, and in plain words what came of it.

Nothing of the environment counts: no proxies, no cookies, no cache of names. Redirects are not followed. A connection
is not kept: each try asks anew where the host is, and no receiver that closes idle ones is taken for a broken one.
"""

import ssl
import time
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from escrowd.service.webhooks.addresses import Network
from escrowd.service.webhooks.resolving import AddressRefused, CheckedResolver, LookUp, SystemLookUp, checked_socket
from escrowd.service.webhooks.settings import WebhookSettings

#: Bytes of an answer that are read. They are dropped: what counts is the status.
MOST_READ: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try. ``error`` is ``None`` where the event was taken."""

    #: Status of the answer; ``None`` where none came.
    status: int | None
    error: str | None
    milliseconds: int

    @property
    def is_ok(self) -> bool:
        """Whether the event was taken."""
        return self.error is None


class WebhookSender:
    """Sends to endpoints. Enter it with ``async with``.

    ``look_up`` and ``tls`` are the system's, unless given.
    """

    def __init__(
        self, settings: WebhookSettings, look_up: LookUp | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._look_up = look_up
        self._tls = tls
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._closers = AsyncExitStack()

    async def __aenter__(self) -> Self:
        system = SystemLookUp(self._settings.at_once)
        self._closers.callback(system.close)
        look_up = self._look_up or system
        tls = self._tls or ssl.create_default_context()
        for scheme in ("http", "https"):
            session = _session(look_up, tls, self._settings, encrypted=scheme == "https")
            self._sessions[scheme] = await self._closers.enter_async_context(session)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sessions.clear()
        await self._closers.aclose()

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        """Post a body, and return what came of it. Whatever the receiver does, this ends in time and raises nothing."""
        begun = time.monotonic()
        status: int | None = None
        error: str | None = None
        try:
            target = URL(url)
            async with self._sessions[target.scheme].post(
                target, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
                await _read_a_little(answer.content)
            error = _verdict(status)
        except Exception as trouble:  # noqa: BLE001 - all that a receiver can do is a result, also what no table foresees
            error = self._described(trouble)
        return Outcome(status, error, round(1000 * (time.monotonic() - begun)))

    def _described(self, trouble: Exception) -> str:
        if isinstance(trouble, TimeoutError):
            return f"no whole answer within {self._settings.timeout:g} s"
        if isinstance(trouble, aiohttp.ClientConnectorError) and isinstance(trouble.os_error, AddressRefused):
            return "the host has an address that is not public, and in no network that this service may send to"
        if isinstance(trouble, aiohttp.ClientConnectorCertificateError):
            return f"the TLS certificate is not valid: {_reason(trouble.certificate_error)}"
        for kind, words in _WORDS:
            if isinstance(trouble, kind):
                return words
        return f"it could not be sent ({type(trouble).__name__})"


# ---------------------------------------------------------------------------------------------------------------------

#: What is said of each kind of trouble; the first that fits. Never the library's own words: they may repeat the URL.
_WORDS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorDNSError, "the name of the host does not resolve"),
    (aiohttp.ClientConnectorSSLError, "no TLS connection could be agreed on"),
    (aiohttp.ClientConnectorError, "the connection was refused, or there is no way to the host"),
    (aiohttp.ServerDisconnectedError, "the connection was closed before an answer came"),
    (aiohttp.ClientPayloadError, "the connection broke in the middle of the answer"),
    (aiohttp.ClientOSError, "the connection broke before an answer came"),
    (aiohttp.InvalidURL, "the URL is not usable"),
    (aiohttp.ClientResponseError, "what came back is no HTTP"),
)


def _session(
    look_up: LookUp, tls: ssl.SSLContext, settings: WebhookSettings, *, encrypted: bool
) -> aiohttp.ClientSession:
    allowed: Collection[Network] = settings.allowed_networks
    connector = aiohttp.TCPConnector(
        ssl=tls,
        resolver=CheckedResolver(look_up, allowed, encrypted=encrypted),
        socket_factory=partial(checked_socket, allowed=allowed, encrypted=encrypted),
        use_dns_cache=False,
        force_close=True,
        limit=0,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=settings.timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"accept-encoding": "identity"},
        trust_env=False,
    )


async def _read_a_little(content: aiohttp.StreamReader) -> None:
    left = MOST_READ
    while left > 0 and (chunk := await content.read(left)):
        left -= len(chunk)


def _verdict(status: int) -> str | None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"the answer was {status}: redirects are not followed, give the URL that they lead to"
    return f"the answer was {status}"


def _reason(error: Exception) -> str:
    words = getattr(error, "verify_message", None)
    return words if isinstance(words, str) and words else "it could not be verified"
