"""An event as everybody is shown it: in pages, in streams and in webhooks, with the same bytes each time."""

from datetime import UTC, datetime

import msgspec

from escrowd.domain.escrow.history import LogEntry


def event_json(entry: LogEntry) -> bytes:
    """Write an entry of the log as JSON. What it tells is written exactly as it was hashed."""
    return _ENCODER.encode(
        {
            "id": entry.id,
            "type": entry.type,
            "timestamp": _rfc3339(entry.at),
            "escrow": entry.escrow,
            "cursor": str(entry.cursor),
            "sequence": entry.sequence,
            "version": entry.version,
            "who": entry.who,
            "data": msgspec.Raw(entry.data.encode()),
            "previous_hash": entry.previous_hash,
            "hash": entry.hash,
        }
    )


# ---------------------------------------------------------------------------------------------------------------------

_ENCODER = msgspec.json.Encoder()


def _rfc3339(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
