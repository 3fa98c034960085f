"""Asks the service that runs on this machine what only its process knows, by its API and as its operator."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from escrowd.domain.errors import EscrowdError, Fault, Retry
from escrowd.service.front.callers import operator_token
from escrowd.settings.errors import InvalidSettings
from escrowd.settings.loading import Settings, load_settings
from escrowd.wire.problems import Problem

AnswerT = TypeVar("AnswerT", bound=BaseModel)

#: Seconds that the service may take for an answer. A session is closed when its lease has ended and it is saved.
PATIENCE: Final = 120.0
CONNECT_PATIENCE: Final = 5.0


class ServiceNotRunning(EscrowdError):
    """No service answers where the settings say."""

    fault = Fault.OPERATOR


class ServiceRefused(EscrowdError):
    """The service refused what it was asked."""

    fault = Fault.CALLER


class ServiceFailed(EscrowdError):
    """The service did not answer as it should."""

    fault = Fault.OPERATOR
    retry = Retry.UNKNOWN


class RunningService:
    """The API of the service that runs on this machine."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, kind: type[AnswerT]) -> AnswerT:
        """Ask for something. Raises ServiceNotRunning, ServiceRefused, ServiceFailed."""
        answer = self._ask("GET", path)
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError:
            raise ServiceFailed(
                f"{self._client.base_url} answers, but not as escrowd does: is it another one?"
            ) from None

    def delete(self, path: str) -> None:
        """Let something end. Raises ServiceNotRunning, ServiceRefused, ServiceFailed."""
        self._ask("DELETE", path)

    def _ask(self, method: str, path: str) -> httpx.Response:
        try:
            answer = self._client.request(method, path)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServiceNotRunning(
                f"no service answers at {self._client.base_url}: sessions are open in the process of 'escrowd serve', "
                "so start it, or see whether api.host and api.port are those it was started with"
            ) from error
        except httpx.HTTPError as error:
            raise ServiceFailed(f"{self._client.base_url} did not answer: {type(error).__name__}") from error
        if answer.is_success:
            return answer
        raise _refusal(answer)


@contextmanager
def running_service(config: Path | None) -> Iterator[RunningService]:
    """Speak to the running service as its operator, which the vault key proves.

    Raises:
        InvalidSettings: the settings cannot be read, or do not say at which port it listens.
        VaultKeyRefused: the vault key is not there.

    """
    settings = load_settings(config)
    headers = {"Authorization": f"Bearer {operator_token(settings.vault()).reveal()}"}
    timeout = httpx.Timeout(PATIENCE, connect=CONNECT_PATIENCE)
    # Never by a proxy that the environment names: the token would be told to it.
    with httpx.Client(base_url=base_url(settings), headers=headers, timeout=timeout, trust_env=False) as client:
        yield RunningService(client)


def base_url(settings: Settings) -> str:
    """Return where the API is reached from this machine. Raises InvalidSettings where that is not known."""
    api = settings.model.api
    if api.port == 0:
        raise InvalidSettings("api.port is 0, any free port: set the port at which the service listens")
    host = _LOOPBACK_OF.get(api.host, api.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{api.port}"


# ---------------------------------------------------------------------------------------------------------------------

#: Who listens at all addresses of the machine is reached at this one.
_LOOPBACK_OF: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - read, not bound
_NOT_AUTHENTICATED: Final = 401


def _refusal(answer: httpx.Response) -> EscrowdError:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        return ServiceFailed(f"{answer.url} answers with status {answer.status_code}: is it another program?")
    if problem.status == _NOT_AUTHENTICATED:
        return ServiceRefused("the service has another vault key than these settings name: use those it runs with")
    if problem.status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return ServiceFailed(f"{problem.detail} (request {problem.instance})")
    return ServiceRefused(problem.detail)
