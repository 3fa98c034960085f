"""The state table drawn and written down for people: a Mermaid diagram and Markdown tables. Pure.

All of it is derived from the table, so that no document can say anything else than what the machine does.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypeAlias

from escrowd.domain.escrow.events import DeadlineReached, Event
from escrowd.domain.escrow.guards import always
from escrowd.domain.escrow.machine import ACTIONS
from escrowd.domain.escrow.status import DEADLINE_OF, HOLDING, DeadlineName, Status, Who
from escrowd.domain.escrow.table import TABLE, Row
from escrowd.domain.escrow.terms import DAY, HOUR, DeadlineTerms

#: What each status means to those who wait in it.
MEANINGS: Final[Mapping[Status, str]] = MappingProxyType(
    {
        Status.KEYING: "the three wallets are making the shared address",
        Status.AWAITING_FUNDING: "the address is known, backed up and shown",
        Status.CONFIRMING: "enough was seen in pool or chain, and is not final yet",
        Status.FUNDED: "final and spendable, and a real wallet agrees",
        Status.DELIVERED: "the vendor says so, and the inspection period runs",
        Status.DISPUTED: "waits for the arbiter; the parties may still settle",
        Status.PAYING: "one payout is being signed, sent or confirmed",
        Status.COMPLETED: "the release is final",
        Status.REFUNDED: "the refund is final",
        Status.SPLIT: "the split is final",
        Status.EXPIRED: "not paid in time; the address stays watched",
        Status.CANCELLED: "called off unfunded; the address stays watched",
        Status.HELD: "facts disagree; the money is safe and waits for the operator",
    }
)


def states_page() -> str:
    """Return the whole reference page, in Markdown."""
    return "\n".join(
        [
            "<!-- Made by scripts/make-docs from the state table. Edit src/escrowd/domain/escrow instead. -->",
            "# States of an escrow",
            "",
            "What these words mean for people is told in [the life of an escrow](../lifecycle.md).",
            "",
            "## Diagram",
            "",
            "What leaves the status as it is, is left out; see the transitions below.",
            "",
            "```mermaid",
            mermaid(),
            "```",
            "",
            "## Statuses",
            "",
            status_table(),
            "",
            "## Transitions",
            "",
            "For an event of a sender in a status at most one row applies; where none does, the move is refused.",
            "",
            transition_table(),
            "",
            "## Events",
            "",
            event_table(),
            "",
        ]
    )


def mermaid() -> str:
    """Return the diagram. Statuses that share their ways stand in a box, and the arrow begins or ends at that."""
    inside: dict[str, list[str]] = {box: [] for box in _BOXES}
    outside: list[str] = []
    for (source, target), labels in _arrows().items():
        line = f"{source} --> {target} : {', '.join(labels)}"
        box = next((name for name, (_, members) in _BOXES.items() if {source, target} <= set(members)), None)
        (inside[box] if box else outside).append(line)
    return "\n".join(
        [
            "stateDiagram-v2",
            *(f"    {line}" for name in _BOXES for line in _box(name, inside[name])),
            f"    [*] --> {Status.KEYING}",
            *(f"    {line}" for line in outside),
            *(f"    {end} --> [*]" for end in ("paid_out", Status.EXPIRED, Status.CANCELLED)),
        ]
    )


def status_table() -> str:
    """Return what each status means, what people may do in it, and what its deadline does."""
    rows = [(f"`{each}`", MEANINGS[each], _people(each), _deadline(each)) for each in Status]
    return _table(("status", "meaning", "who may do what", "deadline"), rows)


def transition_table() -> str:
    """Return the rows of the state table, in their order; those that differ in the status alone are one."""
    rows = [
        (
            ", ".join(f"`{each}`" for each in statuses),
            _who(row),
            _says(row.sends),
            "" if row.provided is always else row.provided.__name__.replace("_", " "),
            f"`{row.goes_to}`" if row.goes_to else "",
            ", ".join(f"`{each}`" for each in row.tells),
            ", ".join(_spaced(each) for each in row.and_then),
        )
        for statuses, row in _folded()
    ]
    return _table(("in", "who", "sends", "provided", "goes to", "is told", "and then"), rows)


def event_table() -> str:
    """Return what each event means."""
    kinds = dict.fromkeys(row.sends for row in TABLE)
    return _table(("event", "meaning"), [(_says(each), _first_line(each.__doc__)) for each in kinds])


# ---------------------------------------------------------------------------------------------------------------------

_Arrow: TypeAlias = tuple[str, str]

#: Boxes of the diagram: their titles, and what stands in them.
_BOXES: Final[Mapping[str, tuple[str, tuple[Status, ...]]]] = MappingProxyType(
    {
        "holding": ("the deposit is held", tuple(each for each in Status if each in HOLDING)),
        "paid_out": ("paid out", (Status.COMPLETED, Status.REFUNDED, Status.SPLIT)),
    }
)


def _box(name: str, lines: Iterable[str]) -> list[str]:
    title, members = _BOXES[name]
    return [f'state "{title}" as {name} {{', *(f"    {each}" for each in (*members, *lines)), "}"]


def _arrows() -> dict[_Arrow, list[str]]:
    """Return what leads from where to where, each label once, in the order of the table."""
    sources: dict[tuple[str, Status], dict[Status, None]] = defaultdict(dict)
    for row in TABLE:
        if row.goes_to is not None and row.goes_to is not row.status:
            sources[_label(row), row.goes_to][row.status] = None
    targets: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for (label, target), found in sources.items():
        for source in _boxed(tuple(found), "holding", "paid_out"):
            targets[label, source][target] = None
    arrows: dict[_Arrow, list[str]] = defaultdict(list)
    for (label, source), reached in targets.items():
        for end in _boxed(tuple(reached), "paid_out"):
            arrows[source, end].append(label)
    return arrows


def _boxed(names: Sequence[str], *boxes: str) -> list[str]:
    """Replace what stands in a box by the box, where all of it is there."""
    found = list(names)
    for box in boxes:
        members = set(_BOXES[box][1])
        if members <= set(found):
            found = [box, *(each for each in found if each not in members)]
    return found


def _label(row: Row) -> str:
    # Mermaid takes neither colons nor semicolons in the text of an arrow.
    if row.sends is DeadlineReached:
        return f"{DEADLINE_OF[row.status]} deadline"
    return f"{_says(row.sends)} ({_who(row)})"


def _people(status: Status) -> str:
    """Say who may do what, each person once."""
    actions: dict[Who, dict[str, None]] = {who: {} for who in Who}
    for row in TABLE:
        if row.status is status and row.sends in _ACTION_OF:
            for who in row.who:
                actions[who][_says(row.sends)] = None
    return "; ".join(f"{who}: {', '.join(names)}" for who, names in actions.items() if names) or "nobody"


def _deadline(status: Status) -> str:
    name = DEADLINE_OF.get(status)
    if name is None:
        return ""
    rows = [row for row in TABLE if row.status is status and row.sends is DeadlineReached]
    outcomes = [f"`{row.goes_to}`" if row.goes_to else ", ".join(map(_spaced, row.and_then)) for row in rows]
    return f"{name}, {_period(name)} by default: {', later '.join(outcomes)}"


def _period(name: DeadlineName) -> str:
    seconds = getattr(DeadlineTerms(), name)
    number, unit = (seconds // DAY, "day") if seconds >= DAY else (seconds // HOUR, "hour")
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _folded() -> list[tuple[list[Status], Row]]:
    folded: list[tuple[list[Status], Row]] = []
    for row in TABLE:
        if folded and replace(folded[-1][1], status=row.status) == row:
            folded[-1][0].append(row.status)
        else:
            folded.append(([row.status], row))
    return folded


_ACTION_OF: Final = {kind: name for name, kind in ACTIONS.items()}


def _says(kind: type[Event]) -> str:
    """Name an event: people take an action, everything else is a fact."""
    return _ACTION_OF.get(kind) or re.sub(r"(?<!^)([A-Z])", r" \1", kind.__name__).lower()


def _who(row: Row) -> str:
    *others, last = (each for each in Who if each in row.who)
    return f"{', '.join(others)} or {last}" if others else last


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n", maxsplit=1)[0].replace("``", "`")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(line)} |" for line in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])
