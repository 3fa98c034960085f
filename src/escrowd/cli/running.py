"""Asks the service that runs on this machine what only its process knows: by its API, and as its operator."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx

from escrowd.domain.errors import EscrowdError, Fault, Retry
from escrowd.sdk import (
    ConnectionFailed,
    EscrowClient,
    EscrowClientError,
    Refused,
    Retries,
    Unauthorised,
    UnreadableAnswer,
)
from escrowd.service.front.callers import operator_token
from escrowd.settings.errors import InvalidSettings
from escrowd.settings.loading import Settings, load_settings

#: Seconds that the service may take for an answer: a session is closed when its lease has ended and it is saved.
PATIENCE: Final = 120.0


class ServiceNotRunning(EscrowdError):
    """No service answers where the settings say."""

    fault = Fault.OPERATOR


class ServiceRefused(EscrowdError):
    """The service refused what it was asked."""

    fault = Fault.CALLER


class OtherVaultKey(EscrowdError):
    """The service does not take us for its operator."""

    fault = Fault.OPERATOR


class ServiceFailed(EscrowdError):
    """The service did not answer as it should."""

    fault = Fault.OPERATOR
    retry = Retry.UNKNOWN


@contextmanager
def running_service(config: Path | None) -> Iterator[EscrowClient]:
    """Speak to the running service as its operator, which the vault key proves.

    Raises:
        InvalidSettings: the settings cannot be read, or do not say at which port it listens.
        VaultKeyRefused: the vault key is not there.
        ServiceNotRunning, OtherVaultKey, ServiceRefused, ServiceFailed: it did not do what it was asked in the block.

    """
    settings = load_settings(config)
    url, token = base_url(settings), operator_token(settings.vault())
    # With a transport of its own it never goes by a proxy that the environment names, which would hear the token.
    transport, once = httpx.HTTPTransport(), Retries(tries=1, try_seconds=PATIENCE)
    with EscrowClient(url, token.reveal(), retries=once, transport=transport) as client:
        try:
            yield client
        except EscrowClientError as error:
            raise _ours(error, url) from error


def base_url(settings: Settings) -> str:
    """Return where the API is reached from this machine. Raises InvalidSettings where that is not known."""
    api = settings.model.api
    if api.port == 0:
        raise InvalidSettings("api.port is 0, any free port: set the port at which the service listens")
    host = _LOOPBACK_OF.get(api.host, api.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{api.port}"


# ---------------------------------------------------------------------------------------------------------------------

#: Who listens at all addresses of the machine is reached at this one.
_LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, and not bound


def _ours(error: EscrowClientError, url: str) -> EscrowdError:
    if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout) or isinstance(error, ConnectionFailed):
        return ServiceNotRunning(
            f"no service answers at {url}: the sessions are those of a running 'escrowd serve', so start it, "
            "or see whether it was started with the same api.host and api.port"
        )
    if isinstance(error, Unauthorised):
        return OtherVaultKey(f"the service at {url} has another vault key: use the settings that it runs with")
    if isinstance(error, UnreadableAnswer):
        return ServiceFailed(f"what answers at {url} is not escrowd: see whether api.host and api.port are right")
    return ServiceRefused(str(error)) if isinstance(error, Refused) else ServiceFailed(str(error))
