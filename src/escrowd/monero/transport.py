"""One RPC call over HTTP: keep-alive, digest login, a time-out by method, and every foreign error mapped once.

Connections are kept alive, because ``Connection: close`` was seen to truncate long replies, and because the digest
nonces of Monero's server belong to one TCP connection. A server that closed an idle connection answers the next call
with a new challenge, which the login middleware follows; the refused first try never reached the method.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

import aiohttp
import msgspec
import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.domain.secret import Secret
from escrowd.monero.errors import (
    LoginRefused,
    MoneroError,
    OutcomeUnknown,
    Refused,
    ReplyLost,
    RubbishOutcome,
    RubbishReply,
    Unreachable,
)
from escrowd.monero.methods import Method

log = structlog.get_logger()

ResultT = TypeVar("ResultT")

#: Seconds for the TCP handshake. A server on the same machine answers at once or not at all.
CONNECT_TIMEOUT: Final = 5.0
#: Seconds an idle connection is kept. Monero's server closes it after five minutes or more
#: (``DEFAULT_TIMEOUT_MS_REMOTE`` in ``abstract_tcp_server2.inl``), so it is always we who close.
KEEP_ALIVE: Final = 240.0


@dataclass(frozen=True, slots=True)
class Login:
    """User name and password of a server's digest login."""

    username: str
    password: Secret


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens, and its login where it has one."""

    host: str
    port: int
    login: Login | None = None

    @property
    def url(self) -> str:
        """The address without the login, fit for a log."""
        return f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One finished call, for metrics and for tests that count calls. ``outcome`` is ``ok`` or the error's class."""

    endpoint: Endpoint
    method: str
    seconds: float
    outcome: str


CallObserver = Callable[[CallRecord], None]


class Transport(Protocol):
    """What a client needs of its connection."""

    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        """Call the method and return its result, decoded and checked as ``result``.

        Parameters and results may hold :class:`Secret` values; they are readable on the wire only.
        """
        ...


class BinaryTransport(Protocol):
    """What a client of binary methods needs of its connection."""

    async def call_binary(self, method: Method, request: bytes) -> bytes:
        """Call the method and return its reply, both portable storage."""
        ...


class Connections:
    """The open connections to all Monero servers of this process. Enter it with ``async with``."""

    def __init__(self, observer: CallObserver | None = None) -> None:
        self._observer = observer
        self._sessions: set[aiohttp.ClientSession] = set()
        self._is_open = False

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        for session in tuple(self._sessions):
            await self.close(session)

    def open(self, *, one_only: bool) -> aiohttp.ClientSession:
        """Make an HTTP session for one server, with a single connection if ``one_only``. Closed with the rest."""
        if not self._is_open:
            raise RuntimeError("Connections are used inside 'async with' only")
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1 if one_only else 0, keepalive_timeout=KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._sessions.add(session)
        return session

    async def close(self, session: aiohttp.ClientSession) -> None:
        """Close the HTTP session of one server."""
        self._sessions.discard(session)
        await session.close()

    def observe(self, record: CallRecord) -> None:
        """Tell of one finished call."""
        log.debug(
            "rpc.call", url=record.endpoint.url, method=record.method, seconds=record.seconds, outcome=record.outcome
        )
        if self._observer is not None:
            self._observer(record)


class HttpTransport:
    """Calls one server.

    With ``one_at_a_time``, as monero-wallet-rpc works, a call waits its turn here and not in the server's socket, so
    that its time-out counts from the moment it is sent.
    """

    def __init__(
        self,
        connections: Connections,
        endpoint: Endpoint,
        refusals: Mapping[int, type[Refused]],
        *,
        one_at_a_time: bool,
    ) -> None:
        self.endpoint = endpoint
        self._connections = connections
        # A session of its own, because a login belongs to one connection: with several in a common pool, a challenge
        # that came over one would be answered over another, and a good login refused.
        self._session = connections.open(one_only=one_at_a_time)
        self._refusals = refusals
        self._turn = asyncio.Semaphore(1) if one_at_a_time else None
        self._middlewares: tuple[aiohttp.ClientMiddlewareType, ...] = ()
        if endpoint.login is not None:
            login = endpoint.login
            self._middlewares = (aiohttp.DigestAuthMiddleware(login.username, login.password.reveal()), _read_challenge)

    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        """Call the method and return its result, decoded and checked as ``result``.

        Raises:
            Unreachable: nothing was sent.
            LoginRefused: the server does not accept our login.
            ReplyLost: a reading call got no whole reply in time.
            OutcomeUnknown: a changing call got no whole reply in time.
            RubbishReply: the reply is not one (``RubbishOutcome`` for a changing call).
            Refused: the server said no; the subclass tells why.

        """
        content: Mapping[str, object] = params
        if method.path == "/json_rpc":
            content = {"jsonrpc": "2.0", "id": "0", "method": method.name, "params": params}
        async with _turn(self._turn), self._traced(method):
            body = await self._exchange(method, msgspec.json.encode(content, enc_hook=_revealed), "application/json")
            return self._decoded(method, body, result)

    async def call_binary(self, method: Method, request: bytes) -> bytes:
        """Call a method whose request and reply are portable storage, and return the reply as it came.

        Raises:
            MoneroError: as with :meth:`call`, but for what only a reader of the reply can tell.

        """
        async with _turn(self._turn), self._traced(method):
            return await self._exchange(method, request, "application/octet-stream")

    async def close(self) -> None:
        """Close the connection."""
        await self._connections.close(self._session)

    async def _exchange(self, method: Method, request: bytes, content_type: str) -> bytes:
        try:
            async with self._session.post(
                self.endpoint.url + method.path,
                data=request,
                headers={"Content-Type": content_type},
                timeout=aiohttp.ClientTimeout(total=method.timeout, sock_connect=CONNECT_TIMEOUT),
                middlewares=self._middlewares,
                # A 307 would send the call once more, and to whoever the reply names.
                allow_redirects=False,
            ) as response:
                self._check_status(method, response.status)
                return await response.read()
        except aiohttp.ConnectionTimeoutError as error:
            raise Unreachable(f"{self.endpoint.url} did not accept a connection in {CONNECT_TIMEOUT:.0f} s") from error
        except aiohttp.ClientConnectorError as error:
            raise Unreachable(f"{self.endpoint.url} accepts no connection: {error.os_error}") from error
        except TimeoutError as error:
            raise _lost(method, self.endpoint, f"no reply in {method.timeout:g} s") from error
        except aiohttp.ClientError as error:
            raise _lost(method, self.endpoint, f"the connection broke ({type(error).__name__})") from error

    def _check_status(self, method: Method, status: int) -> None:
        if status == 401:
            raise LoginRefused(f"{self.endpoint.url} refused our login for {method.name}")
        if status != 200:
            raise _rubbish(method, self.endpoint, f"HTTP status {status}")

    def _decoded(self, method: Method, body: bytes, result: type[ResultT]) -> ResultT:
        try:
            if method.path != "/json_rpc":
                return msgspec.json.decode(body, type=result, dec_hook=_concealed)
            reply = msgspec.json.decode(body, type=_Reply)
            if reply.error is not None:
                raise self._refusal(method, reply.error)
            return msgspec.json.decode(reply.result, type=result, dec_hook=_concealed)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _rubbish(method, self.endpoint, str(error)) from error

    def _refusal(self, method: Method, error: "_Error") -> Refused:
        kind = method.refused_as if error.code == -1 else Refused
        return self._refusals.get(error.code, kind)(method.name, error.code, error.message)

    @asynccontextmanager
    async def _traced(self, method: Method) -> AsyncIterator[None]:
        started = time.monotonic()
        outcome = "cancelled"
        try:
            yield
            outcome = "ok"
        except EscrowdError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._connections.observe(CallRecord(self.endpoint, method.name, time.monotonic() - started, outcome))


# ---------------------------------------------------------------------------------------------------------------------


class _Error(msgspec.Struct, frozen=True):
    code: int
    message: str = ""


class _Reply(msgspec.Struct, frozen=True):
    result: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None


def _revealed(value: object) -> str:
    """Write a secret into a request: the one place where the parameters of a call become readable."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(f"{type(value).__name__} is no parameter of a call")


def _concealed(kind: type, value: object) -> object:
    """Read a text into a secret, where the result has one."""
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError(f"no {kind.__name__}")


async def _read_challenge(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Read a challenge to its end, so that the answer to it goes over the same connection.

    Over another one, Monero's server would not know its nonce and would refuse a good login.
    """
    response = await handler(request)
    if response.status == 401:
        await response.read()
    return response


@asynccontextmanager
async def _turn(semaphore: asyncio.Semaphore | None) -> AsyncIterator[None]:
    if semaphore is None:
        yield
        return
    async with semaphore:
        yield


def _lost(method: Method, endpoint: Endpoint, why: str) -> MoneroError:
    if method.changes_state:
        return OutcomeUnknown(f"{method.name} on {endpoint.url}: {why}; it may have taken effect")
    return ReplyLost(f"{method.name} on {endpoint.url}: {why}")


def _rubbish(method: Method, endpoint: Endpoint, why: str) -> MoneroError:
    kind = RubbishOutcome if method.changes_state else RubbishReply
    return kind(f"{method.name} on {endpoint.url} was answered with something that is no reply: {why}")
