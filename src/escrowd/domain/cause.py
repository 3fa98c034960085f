"""What the present work came of: one id through a request, the events it makes, their effects and every call for them.

It travels beside the arguments, because only what stores or logs needs it. Logs show it as ``cause``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final


def present_cause() -> str:
    """Return the id of what the present work came of; empty where nobody said it."""
    return _CAUSE.get()


@contextmanager
def caused_by(cause: str) -> Iterator[None]:
    """Say what everything in the block came of."""
    before = _CAUSE.set(cause)
    try:
        yield
    finally:
        _CAUSE.reset(before)


# ---------------------------------------------------------------------------------------------------------------------

_CAUSE: Final = ContextVar("cause", default="")
