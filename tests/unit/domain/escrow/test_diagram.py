import re
from pathlib import Path

import pytest

from escrowd.domain.escrow.diagram import MEANINGS, mermaid, states_page, status_table, transition_table
from escrowd.domain.escrow.status import DEADLINE_OF, HOLDING, Status
from escrowd.domain.escrow.table import TABLE

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "states.md"
BOXES = {
    "holding": {str(each) for each in HOLDING},
    "paid_out": {"completed", "refunded", "split"},
}
ARROW = re.compile(r"(\w+) --> (\w+) : ([^:;\n]+)")


def arrows() -> list[tuple[str, str, str]]:
    """Return what the diagram draws between statuses, without its beginning and its ends."""
    return [found.groups() for line in mermaid().splitlines() if (found := ARROW.fullmatch(line.strip()))]  # type: ignore[misc]


def opened(name: str) -> set[str]:
    """Return the statuses that a name in the diagram stands for."""
    return BOXES.get(name, {name})


def test_page_and_table_have_drifted_apart() -> None:
    """The page of states is what the state table says; ``make docs`` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == states_page()


def test_diagram_leaves_out_a_way() -> None:
    """The diagram shows every way from one status to another, and none that is not in the table."""
    drawn = {(source, target) for begin, end, _ in arrows() for source in opened(begin) for target in opened(end)}
    in_table = {(str(row.status), str(row.goes_to)) for row in TABLE if row.goes_to not in (None, row.status)}
    assert in_table <= drawn
    # An arrow to the box of ends stands for one way to each, by the kind of the payout.
    assert {(source, target) for source, target in drawn - in_table if target not in BOXES["paid_out"]} == set()


def test_diagram_cannot_be_read() -> None:
    """The diagram has no arrow twice and none to itself, few enough, in characters that Mermaid takes."""
    pairs = [(begin, end) for begin, end, _ in arrows()]
    assert len(pairs) == len(set(pairs))
    assert all(begin != end for begin, end in pairs)
    assert len(pairs) <= 32
    plain = re.compile(r'stateDiagram-v2|\}|state "[a-z ]+" as \w+ \{|\w+|\[\*\] --> \w+|\w+ --> \[\*\]')
    odd = [
        line for line in map(str.strip, mermaid().splitlines()) if not (plain.fullmatch(line) or ARROW.fullmatch(line))
    ]
    assert odd == []


def test_box_hides_a_status() -> None:
    """Every status is in the diagram, each of those in a box once."""
    lines = [line.strip() for line in mermaid().splitlines()]
    for status in Status:
        in_box = any(status in members for members in BOXES.values())
        assert lines.count(str(status)) == int(in_box)
        assert any(status in opened(begin) | opened(end) for begin, end, _ in arrows())


@pytest.mark.parametrize("status", Status)
def test_status_is_not_explained(status: Status) -> None:
    """Every status has its line, with a meaning, with those who may act, and with its deadline."""
    (line,) = [each for each in status_table().splitlines() if each.startswith(f"| `{status}` |")]
    _, _, meaning, people, deadline, _ = (each.strip() for each in line.split("|"))
    assert meaning == MEANINGS[status]
    assert people
    assert (DEADLINE_OF[status] in deadline) if status in DEADLINE_OF else deadline == ""


def test_row_is_not_written_down() -> None:
    """Every row of the state table is in the table of transitions; rows are one where only the status differs."""
    lines = transition_table().splitlines()[2:]
    assert sum(len(re.findall("`", line.split("|")[1])) // 2 for line in lines) == len(TABLE)
    assert len(set(lines)) == len(lines)
