"""What only a sandbox takes: blocks, money, and time."""

from typing import Annotated

from pydantic import Field

from escrowd.wire.values import AddressText, Answer, PiconeroText, Request


class Mine(Request):
    """Mine so many blocks. The first one takes in what waits in the pool."""

    blocks: Annotated[int, Field(ge=1, le=1000)]


class Mined(Answer):
    """How many blocks the chain has now."""

    height: int


class Fund(Request):
    """Pay so much to an address. Nothing is mined."""

    address: AddressText
    amount: PiconeroText


class Funded(Answer):
    """The transaction that pays, in the pool."""

    txid: str


class AdvanceClock(Request):
    """Let the clock jump ahead by which deadlines are measured."""

    advance_seconds: Annotated[int, Field(ge=1, le=3650 * 86400)]


class Clock(Answer):
    """What that clock shows."""

    running_seconds: int
