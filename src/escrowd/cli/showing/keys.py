"""How API keys are shown. Of a key itself nothing is shown but once, when it is made."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
from rich.console import RenderableType
from rich.text import Text

from escrowd.cli.showing.paper import moment_text, table
from escrowd.domain.access import ApiKeyRecord
from escrowd.wire.values import timestamp


class ShownKey(msgspec.Struct, frozen=True):
    """A key as programs see it."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None


class ShownNewKey(ShownKey, frozen=True):
    """A key that was made right now, with its text."""

    key: str


class ShownKeys(msgspec.Struct, frozen=True):
    """All keys, the oldest first."""

    items: list[ShownKey]


def key_shown(record: ApiKeyRecord) -> ShownKey:
    """Return what is told of a key."""
    return ShownKey(*_told(record))


def new_key_shown(record: ApiKeyRecord, text: str) -> ShownNewKey:
    """Return what is told of a new key, this once with its text."""
    return ShownNewKey(*_told(record), text)


def key_table(records: Iterable[ApiKeyRecord]) -> RenderableType:
    """Return a table of keys; those that open nothing any more are dim."""
    rows = [[Text(each, style="dim" if record.revoked_at else "") for each in _cells(record)] for record in records]
    if not rows:
        return Text("there is no key; make one with: escrowd keys create --scope escrows:write")
    return table("id", "name", "scopes", "made (UTC)", "revoked (UTC)", rows=rows)


# ---------------------------------------------------------------------------------------------------------------------


def _told(record: ApiKeyRecord) -> tuple[str, str, list[str], datetime, datetime | None]:
    revoked = None if record.revoked_at is None else timestamp(record.revoked_at)
    return record.id, record.name, sorted(record.scopes), timestamp(record.created_at), revoked


def _cells(record: ApiKeyRecord) -> tuple[str, ...]:
    made, revoked = moment_text(record.created_at), moment_text(record.revoked_at)
    return record.id, record.name or "-", ", ".join(sorted(record.scopes)), made, revoked
