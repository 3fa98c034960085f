"""What is around every request: its id, its limits, its line in the log, and an answer whatever happens.

Plain ASGI, since event streams and long polls pass through it.
"""

import hashlib
import re
import secrets
import time
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from escrowd.api.errors import BodyTooLarge, InternalError, TooManyRequests
from escrowd.api.http_metrics import HttpMetrics
from escrowd.api.problems import kind_of, problem_response
from escrowd.api.rates import Rates
from escrowd.api.tokens import token_in
from escrowd.domain.cause import caused_by, present_cause
from escrowd.domain.errors import EscrowdError
from escrowd.service.observing import Done, Observer

log = structlog.get_logger()

REQUEST_ID: Final = "X-Request-Id"
#: Paths that are asked by machines of the operator, again and again: not counted and not logged.
QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class Frame:
    """Goes around the application. ``most_body_bytes`` is the largest body that is read."""

    def __init__(
        self, app: ASGIApp, rates: Rates, metrics: HttpMetrics, most_body_bytes: int, observe: Observer
    ) -> None:
        self._app = app
        self._rates = rates
        self._metrics = metrics
        self._most = most_body_bytes
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with caused_by(_request_id(scope)):
            await self._answer(scope, receive, _Sender(send), time.perf_counter())

    async def _answer(self, scope: Scope, receive: Receive, sender: "_Sender", begun: float) -> None:
        try:
            self._admit(scope)
            await self._app(scope, _bounded(receive, self._most), sender)
        except EscrowdError as error:
            note_failure(error, scope["path"])
            await sender.answer(error, scope, receive)
        except ClientDisconnect:
            # In the middle of its body. Nothing was done, nobody is there to be answered, and nothing is broken.
            log.info("request.left", method=scope["method"], path=scope["path"])
        except Exception as error:
            log.error("request.broke", method=scope["method"], path=scope["path"], exc_info=error)
            await sender.answer(InternalError(), scope, receive)
        finally:
            self._tell(scope, sender.status, time.perf_counter() - begun)

    def _admit(self, scope: Scope) -> None:
        if scope["path"] in QUIET:
            return
        wait = self._rates.seconds_to_wait(_who(scope))
        if wait:
            raise TooManyRequests(wait)
        length = _header(scope, b"content-length").decode("latin-1")
        if length.isdecimal() and int(length) > self._most:
            raise BodyTooLarge(f"a body has at most {self._most} bytes, and this one has {length}")

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = str(getattr(scope.get("route"), "path", "(none)"))
        self._metrics.count(scope["method"], route, status, seconds)
        if scope["path"] not in QUIET:
            done = Done(f"{scope['method']} {route}", present_cause(), seconds, {"status": status})
            self._observe(done)
            # The path has no secrets in it; a query could have.
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                seconds=round(seconds, 4),
                caller=scope.get("state", {}).get("caller", "-"),
            )


def note_failure(error: EscrowdError, path: str) -> None:
    """Write into the log what callers are not told."""
    if kind_of(error).status >= _SERVER_ERROR:
        log.warning("request.failed", path=path, error=f"{type(error).__name__}: {error}")


# ---------------------------------------------------------------------------------------------------------------------

_SERVER_ERROR: Final = 500
_FORM_OF_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class _Sender:
    """Sends an answer, with the id of its request, and remembers whether one has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        #: 0 where the caller went away before there was one.
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *_HEADERS, (b"x-request-id", present_cause().encode())]
        await self._send(message)

    async def answer(self, error: EscrowdError, scope: Scope, receive: Receive) -> None:
        if self.status:
            # The answer has begun and cannot be made another one: that it breaks off is all that can be told.
            return
        await problem_response(error)(scope, receive, self)


#: Nothing of the API is for a browser to guess at, to keep or to show inside another page.
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)


def _bounded(receive: Receive, most: int) -> Receive:
    """Stop reading a body that is longer than it said, or did not say how long it is."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise BodyTooLarge(f"a body has at most {most} bytes")
        return message

    return bounded


def _request_id(scope: Scope) -> str:
    """Take the id that a proxy before us has given, if it has the form of one, or make one."""
    given = _header(scope, b"x-request-id").decode("latin-1")
    return given if _FORM_OF_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"


def _who(scope: Scope) -> str:
    """Tell callers apart before it is known who they are: by their token, or else by their address."""
    token = token_in(_header(scope, b"authorization").decode("latin-1"))
    if token:
        return hashlib.sha256(token.encode()).hexdigest()
    client = scope.get("client")
    return str(client[0]) if client else "-"


def _header(scope: Scope, name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")
