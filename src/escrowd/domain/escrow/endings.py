"""Whether a history goes on to the end that its escrow says it has. Pure.

The chain of hashes finds what was changed within a history. A history whose end was cut off is whole in itself, so its
end is compared with the escrow.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import msgspec

from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.escrow.table import TABLE


def wrong_end(entries: Sequence[LogEntry], version: int, status: str) -> str:
    """Say in what the end of a history differs from its escrow, given all entries of its last step at least.

    An empty text: in nothing.
    """
    if not entries:
        return f"there is no entry, and the escrow is at version {version}"
    last = entries[-1]
    if last.version != version:
        return f"the last entry is of version {last.version}, and the escrow is at version {version}"
    try:
        told = msgspec.json.decode(last.data, type=_Told)
    except msgspec.DecodeError:
        return "the last entry does not say what happened"
    if told.status != status:
        return f"the last entry leaves the escrow {told.status}, and it is {status}"
    types = tuple(each.type for each in entries if each.version == version)
    if types not in _types_of(told):
        return f"the last step did not say all that it has to say: there is {', '.join(types)}"
    return ""


# ---------------------------------------------------------------------------------------------------------------------


class _Told(msgspec.Struct, frozen=True):
    """What each entry of a step says of it (see :func:`escrowd.domain.escrow.history.data_of`)."""

    event: str
    status_before: str | None
    status: str


_FIRST: Final = frozenset({("escrow.created",)})


@cache
def _types_of(told: _Told) -> frozenset[tuple[str, ...]]:
    """Return the entries that such a step can have made: one of them, by what its guard said at the time."""
    if told.status_before is None:
        return _FIRST
    return frozenset(
        tuple(map(str, row.tells)) or (f"inner.{told.event}",)
        for row in TABLE
        if row.sends.__name__ == told.event
        and row.status == told.status_before
        and (row.goes_to or row.status) == told.status
    )
