"""Events on the wire: the history of escrows, as it is stored."""

from typing import Any

from escrowd.wire.values import Answer, Timestamp


class Event(Answer):
    """One thing that happened to an escrow; also the body of a webhook."""

    id: str
    type: str
    timestamp: Timestamp
    escrow: str
    #: Orders the events of all escrows: give it as ``after``.
    cursor: str
    #: Orders the events of this escrow, from 1. Inner events take numbers, too.
    sequence: int
    #: Version of the escrow after it.
    version: int
    who: str
    data: dict[str, Any]
    previous_hash: str
    hash: str


class EventPage(Answer):
    """Events in order. ``next`` is the cursor to go on with, also where nothing is there yet."""

    items: tuple[Event, ...]
    next: str
    #: Whether there is more at once.
    more: bool


class LogPage(Answer):
    """The history of one escrow, inner events included, chained by hashes from its beginning."""

    items: tuple[Event, ...]
    #: The sequence to go on with.
    next: int
    more: bool
