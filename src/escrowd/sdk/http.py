"""What both clients have in common: where the service is, who calls, and how steps become requests of httpx."""

import random
import re
from collections.abc import Generator, Mapping
from typing import Final, NoReturn

import httpx
from typing_extensions import override

from escrowd import __version__
from escrowd.sdk.steps import Failure, Pause, Request

#: What every request says.
HEADERS: Final[Mapping[str, str]] = {
    "Accept": "application/json, application/problem+json",
    "User-Agent": f"escrowd-python/{__version__}",
}


class Bearer(httpx.Auth):
    """Adds the token to a request, and shows it to nobody else.

    Raises:
        ValueError: it cannot be a token. The message does not name it.

    """

    def __init__(self, token: str) -> None:
        # A key that was read from a file ends with its line.
        token = token.strip()
        # Checked here, because the errors of the HTTP libraries show a header that they do not take.
        if not _TOKEN.fullmatch(token):
            raise ValueError("a key or token is made of visible ASCII characters, without spaces or line breaks")
        self._token = token

    @override
    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request

    @override
    def __repr__(self) -> str:
        return "Bearer(***)"

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a token is not pickled")


def base_of(api_url: str) -> httpx.URL:
    """Return the address of a service, without the ``/v1`` that the paths begin with.

    Raises:
        ValueError: it is no address of a service.

    """
    try:
        url = httpx.URL(api_url)
    except (httpx.InvalidURL, TypeError):
        raise ValueError("the address of the service is no URL; give one such as https://escrow.example") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise ValueError(
            "the address of the service begins with http:// or https:// and has no user name, query or fragment"
        )
    return url.copy_with(path=url.path.rstrip("/").removesuffix("/v1") + "/")


def to_send(http: httpx.Client | httpx.AsyncClient, request: Request, seconds: float) -> httpx.Request:
    """Return a request as httpx sends it, each part of it within so many seconds."""
    return http.build_request(
        request.method,
        request.path,
        params=list(request.query) or None,
        headers=dict(request.headers),
        content=request.content,
        timeout=timeouts(seconds),
    )


def timeouts(seconds: float) -> httpx.Timeout:
    """Return the time-outs of one try."""
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT))


def failure_of(error: httpx.HTTPError) -> Failure:
    """Say why no whole answer came, and whether the request may have arrived."""
    return Failure(f"{type(error).__name__}: {error}".removesuffix(": "), not isinstance(error, _NEVER_ARRIVED))


def drawn(pause: Pause) -> float:
    """Return how long to pause, in seconds."""
    return random.uniform(pause.least, pause.most)  # noqa: S311 - no secret hangs on it


#: Seconds for a connection, its handshake included.
CONNECT_TIMEOUT: Final = 10.0

# ---------------------------------------------------------------------------------------------------------------------

_TOKEN: Final = re.compile("[!-~]{1,1024}")
_NEVER_ARRIVED: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
)
