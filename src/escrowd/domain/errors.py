"""The root of all errors of escrowd.

Two questions matter to whoever catches one: whose fault is it, and is trying again safe? Each class answers both.
"""

from enum import StrEnum
from typing import ClassVar


class Fault(StrEnum):
    """Who has to act for the error to go away."""

    #: The request was wrong; the same request will be wrong again.
    CALLER = "caller"
    #: The set-up is wrong: settings, disk, rights, versions.
    OPERATOR = "operator"
    #: The Monero daemon or a wallet process did not do its work.
    MONERO = "monero"
    #: There is more to do than this machine has room for at the moment.
    LOAD = "load"
    #: A bug of escrowd.
    ESCROWD = "escrowd"


class Retry(StrEnum):
    """What doing the same again would mean."""

    #: Nothing has happened; the same call may be made again.
    SAFE = "safe"
    #: Nothing has happened, and the same call will fail the same way until something else changes.
    POINTLESS = "pointless"
    #: It may have happened. Find out from the chain or the wallet before doing anything else.
    UNKNOWN = "unknown"


class EscrowdError(Exception):
    """Something went wrong in escrowd."""

    fault: ClassVar[Fault] = Fault.ESCROWD
    retry: ClassVar[Retry] = Retry.POINTLESS

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or _first_line(self.__doc__))


class InvalidInput(EscrowdError):
    """What was given has the wrong form. Nothing was changed."""

    fault = Fault.CALLER


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n", maxsplit=1)[0]
