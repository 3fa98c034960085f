"""What can be asked about what happened, one call each."""

from collections.abc import Iterable

from escrowd.sdk.calls import Call, part, reading
from escrowd.sdk.escrow_calls import ESCROWS
from escrowd.wire.events import EventPage, LogPage

EVENTS = "/v1/events"


def log_page(escrow_id: str, *, after: int | None = None, limit: int | None = None) -> Call[LogPage]:
    """Return a part of an escrow's history: the entries after this sequence."""
    return reading(LogPage, f"{ESCROWS}/{part(escrow_id)}/log", after=after, limit=limit)


def event_page(
    *, after: str | None = None, types: str | Iterable[str] = (), limit: int | None = None, wait: int | None = None
) -> Call[EventPage]:
    """Return the events after a cursor. With ``wait``, where there are none yet, wait so many seconds for the next."""
    return reading(EventPage, EVENTS, held_seconds=wait or 0, after=after, type=types, limit=limit, wait=wait)
