"""What a sandbox can do beside the API, one call each."""

from typing import TypeVar

from pydantic import BaseModel

from escrowd.sdk.calls import Call, checked, piconero, posting
from escrowd.wire.values import Answer, PiconeroText, Request


class Mined(Answer):
    """How many blocks the private chain has now."""

    height: int


class Funded(Answer):
    """The transaction that pays."""

    txid: str


class SandboxClock(Answer):
    """What the clock of deadlines shows."""

    running_seconds: float


def mine(blocks: int = 1, *, idempotency_key: str | None = None) -> Call[Mined]:
    """Mine blocks on the private chain of a sandbox."""
    return _play(Mined, "mine", checked(_Mine, blocks=blocks), idempotency_key)


def fund(address: str, *, amount: int, idempotency_key: str | None = None) -> Call[Funded]:
    """Pay piconero to an address on the private chain of a sandbox. Mine afterwards."""
    return _play(Funded, "fund", checked(_Fund, address=address, amount=piconero(amount)), idempotency_key)


def advance_clock(seconds: int, *, idempotency_key: str | None = None) -> Call[SandboxClock]:
    """Put the clock of a sandbox's deadlines forward."""
    return _play(SandboxClock, "clock", checked(_Advance, advance_seconds=seconds), idempotency_key)


# ---------------------------------------------------------------------------------------------------------------------

_PlayedT = TypeVar("_PlayedT", bound=BaseModel)


class _Mine(Request):
    blocks: int


class _Fund(Request):
    address: str
    amount: PiconeroText


class _Advance(Request):
    advance_seconds: int


def _play(answer: type[_PlayedT], name: str, body: BaseModel, idempotency_key: str | None) -> Call[_PlayedT]:
    return posting(answer, f"/sandbox/{name}", body, idempotency_key)
