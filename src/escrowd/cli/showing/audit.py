"""How it is shown who did what."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from rich.console import RenderableType
from rich.text import Text

from escrowd.cli.showing.paper import moment_text, table
from escrowd.domain.access import AuditEntry
from escrowd.wire.values import timestamp


class ShownEntry(msgspec.Struct, frozen=True):
    """An entry as programs see it. ``cause`` ties it to the log of the service and to the events that came of it."""

    number: int
    at: datetime
    caller: str
    action: str
    subject: str
    cause: str


class ShownAudit(msgspec.Struct, frozen=True):
    """Entries in order. ``next`` is what ``--after`` takes to go on."""

    items: list[ShownEntry]
    next: int


def entry_shown(entry: AuditEntry) -> ShownEntry:
    """Return what is told of an entry."""
    return ShownEntry(entry.number, timestamp(entry.at), entry.caller, entry.action, entry.subject, entry.cause)


def audit_shown(entries: Sequence[AuditEntry], after: int) -> ShownAudit:
    """Return entries for a program that knows those up to ``after``."""
    return ShownAudit([entry_shown(each) for each in entries], entries[-1].number if entries else after)


def audit_table(entries: Iterable[AuditEntry]) -> RenderableType:
    """Return a table of who did what."""
    rows = [(str(each.number), moment_text(each.at), each.caller, each.action, each.subject) for each in entries]
    if not rows:
        return Text("nothing was done by anybody")
    return table("no.", "when (UTC)", "who", "did", "to", numbers=["no."], rows=rows)
