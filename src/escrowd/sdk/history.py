"""Recomputes the chain of hashes in an escrow's history, so that whoever keeps events sees when one was changed."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from escrowd.wire.events import Event

#: What the first entry of an escrow follows.
NO_HASH: Final = "0" * 64


def verify_chain(items: Iterable[Event], *, after: Event | None = None) -> tuple[int, ...]:
    """Return the sequences, of the entries of one escrow's log in order, that do not follow from the ones before them.

    Empty is good. ``after`` is the entry before the first of them, which was checked earlier; without it, the first is
    taken to be the escrow's first. The events of :meth:`EscrowClient.events` are no whole log: inner entries are left
    out there.

    A log whose end was cut off is whole in itself: compare its length or its last hash with what you know.

    >>> assert verify_chain(client.log(escrow_id)) == ()
    """
    broken = []
    escrow = after.escrow if after else None
    previous, expected = (after.hash, after.sequence + 1) if after else (NO_HASH, 1)
    for item in items:
        escrow = escrow or item.escrow
        follows = item.previous_hash == previous and item.sequence == expected and item.escrow == escrow
        if not follows or item.hash != hash_of(item):
            broken.append(item.sequence)
        previous, expected = item.hash, item.sequence + 1
    return tuple(broken)


def hash_of(event: Event) -> str:
    """Return the hash that an entry must have: SHA-256 over everything in it but the cursor, a line for each part.

    The lines are previous hash, id, escrow, sequence, version, type, who, milliseconds since 1970, and the data as JSON
    with sorted keys and without spaces.
    """
    parts = (
        event.previous_hash,
        event.id,
        event.escrow,
        event.sequence,
        event.version,
        event.type,
        event.who,
        (event.timestamp - _EPOCH) // timedelta(milliseconds=1),
        json.dumps(event.data, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
    )
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
