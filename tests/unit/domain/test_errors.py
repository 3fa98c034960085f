import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import escrowd.domain
import escrowd.monero
from escrowd.domain.errors import EscrowdError, Fault, Retry
from escrowd.monero.errors import DAEMON_REFUSALS, WALLET_REFUSALS, OutcomeUnknown, Refused


def all_errors() -> list[type[EscrowdError]]:
    """Return every error class of the domain and of the Monero clients, once each."""
    for package in (escrowd.domain, escrowd.monero):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
    rooms = (escrowd.domain.__name__, escrowd.monero.__name__)
    found = [error for error in family(EscrowdError) if error.__module__.startswith(rooms)]
    return list(dict.fromkeys(found))  # a class with two parents is found twice


def family(error: type[EscrowdError]) -> Iterator[type[EscrowdError]]:
    """Yield this class and all classes below it."""
    yield error
    for child in error.__subclasses__():
        yield from family(child)


ERRORS = all_errors()
SPEAKING_BY_THEMSELVES = [error for error in ERRORS if error.__init__ is EscrowdError.__init__]


@pytest.mark.parametrize("error", ERRORS)
def test_error_does_not_say_whose_fault_it_is(error: type[EscrowdError]) -> None:
    """Every error class answers whose fault it is and whether a retry is safe."""
    assert (type(error.fault), type(error.retry)) == (Fault, Retry)


@pytest.mark.parametrize("error", ERRORS)
def test_error_class_borrows_its_docstring(error: type[EscrowdError]) -> None:
    """Every error class has a docstring of its own, whose first line is a whole sentence."""
    assert (vars(error)["__doc__"] or "").split("\n")[0].endswith(".")


@pytest.mark.parametrize("error", SPEAKING_BY_THEMSELVES)
def test_error_without_message_is_silent(error: type[EscrowdError]) -> None:
    """An error raised without a message says the first line of its docstring."""
    assert str(error()) == (error.__doc__ or "").split("\n")[0]


def test_message_of_an_error_is_lost() -> None:
    """An error raised with a message says that message."""
    assert str(EscrowdError("the disk is full")) == "the disk is full"


def test_lost_outcome_is_offered_for_a_retry() -> None:
    """Where it is unknown what happened, no kind of that error says that a retry is safe."""
    assert {error.retry for error in family(OutcomeUnknown)} == {Retry.UNKNOWN}


@pytest.mark.parametrize("error", dict.fromkeys([*WALLET_REFUSALS.values(), *DAEMON_REFUSALS.values()]))
def test_refusal_loses_what_the_server_said(error: type[Refused]) -> None:
    """A refusal keeps the method, the code and the reason of the server."""
    refusal = error("transfer", -4, "no connection to daemon")
    assert str(refusal) == "transfer was refused: no connection to daemon (code -4)"
    assert (refusal.method, refusal.code, refusal.reason) == ("transfer", -4, "no connection to daemon")
