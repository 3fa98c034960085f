"""How many escrows are shown, their history, and the links of their parties."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from rich.console import RenderableType
from rich.text import Text

from escrowd.api.showing import escrow_shown
from escrowd.cli.showing.paper import NOTHING, moment_text, span_text, table, xmr
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.escrow.status import ENDED, Status
from escrowd.service.event_view import event_json
from escrowd.service.front.escrows import CallersView
from escrowd.wire import escrows as wire

#: Milliseconds in a second: moments and deadlines count them.
PER_SECOND: Final = 1000


class ShownEscrows(msgspec.Struct, frozen=True):
    """Escrows, the newest first. ``next`` is what ``--before`` takes to go on; ``None`` at the end."""

    items: list[wire.Escrow]
    next: str | None


class ShownLog(msgspec.Struct, frozen=True):
    """Entries of a history. ``next`` is what ``--after`` takes to go on; ``None`` at the end."""

    items: list[msgspec.Raw]
    next: int | None


def escrows_shown(views: Sequence[CallersView], *, more: bool) -> ShownEscrows:
    """Return escrows as programs see them: each as the API shows it."""
    return ShownEscrows([escrow_shown(each) for each in views], views[-1].escrow.id if more else None)


def escrows_table(views: Sequence[CallersView]) -> RenderableType:
    """Return a table of escrows."""
    if not views:
        return Text("no escrows match")
    return table(
        "id",
        "status",
        "amount",
        "confirmed",
        "deadline",
        "made (UTC)",
        "reference",
        numbers=["amount", "confirmed"],
        rows=[_row(each.escrow, each.moment) for each in views],
    )


def log_shown(entries: Sequence[LogEntry], *, more: bool) -> ShownLog:
    """Return a history as programs see it: each entry exactly as the API and webhooks tell it."""
    return ShownLog([msgspec.Raw(event_json(each)) for each in entries], entries[-1].sequence if more else None)


def log_table(entries: Iterable[LogEntry]) -> RenderableType:
    """Return a history as a table, with what each entry says beyond its name."""
    rows = [(str(each.sequence), moment_text(each.at), each.type, each.who, details_of(each.data)) for each in entries]
    if not rows:
        return Text("nothing more is written in its history")
    return table("no.", "when (UTC)", "what", "who", "details", numbers=["no."], rows=rows)


def links_table(links: Iterable[wire.PartyLink]) -> RenderableType:
    """Return the links of parties."""
    return table("role", "link", rows=[(each.role, each.url) for each in links])


def status_text(status: Status) -> Text:
    """Return a status, in a colour where it needs somebody or has ended."""
    if status is Status.HELD:
        return Text(status, style="bold red")
    return Text(status, style="dim" if status in ENDED else "yellow" if status is Status.DISPUTED else "")


def deadline_text(escrow: Escrow, moment: Moment) -> str:
    """Say which period runs and how long still. It is counted in time in which the service is up and in sync."""
    deadline = escrow.deadline
    if deadline is None:
        return NOTHING
    left = (deadline.due - moment.running) / PER_SECOND
    return f"{deadline.name} in {span_text(left)}" if left > 0 else f"{deadline.name} is over"


def details_of(data: str) -> str:
    """Return what an entry says beyond its status, on one line."""
    content: dict[str, Any] = msgspec.json.decode(data)
    said = content.get("details")
    before, after = content.get("status_before"), content.get("status")
    moved = f"{before} -> {after}" if before is not None and before != after else ""
    told = ", ".join(f"{name}={_short(value)}" for name, value in _leaves(said) if value not in (None, "", [], "0"))
    return "; ".join(each for each in (moved, told) if each)


# ---------------------------------------------------------------------------------------------------------------------

#: Characters of a value in a line of a history; all of it is in the JSON.
_LONGEST: Final = 70


def _row(escrow: Escrow, moment: Moment) -> tuple[str | Text, ...]:
    return (
        escrow.id,
        status_text(escrow.status),
        xmr(escrow.terms.amount),
        xmr(escrow.deposit.confirmed),
        deadline_text(escrow, moment),
        moment_text(escrow.created_at),
        escrow.terms.reference or NOTHING,
    )


def _leaves(said: object, before: str = "") -> Iterable[tuple[str, object]]:
    if not isinstance(said, dict):
        return
    for name, value in said.items():
        if name == "terms":
            # What was agreed on is shown with the escrow itself.
            continue
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{name}.")
        elif name == "payments":
            # Their amounts and heights are shown with the deposit.
            yield f"{before}{name}", [each["txid"] for each in value]
        else:
            yield f"{before}{name}", value


def _short(value: object) -> str:
    shown = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
