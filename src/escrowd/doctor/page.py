"""The findings written down for people, from the table of checks. Pure."""

from collections.abc import Iterable

from escrowd.doctor.check import Check
from escrowd.doctor.findings import Kind
from escrowd.doctor.settings import UNREADABLE, WRONG
from escrowd.doctor.table import BROKE, CHECKS, TOO_SLOW


def doctor_page() -> str:
    """Return the whole reference page, in Markdown."""
    return "\n".join(
        [
            "<!-- Made by scripts/make-docs from the table of checks. Edit src/escrowd/doctor instead. -->",
            "# What `escrowd doctor` looks at",
            "",
            "It works beside a running service and without one, and changes nothing. Run it as the user of the",
            "service, with its settings and its environment. It exits 1 where there is a fault; a warning is none.",
            "Words in capitals stand for what it found.",
            "",
            "| code | | what is wrong | how to mend it |",
            "|---|---|---|---|",
            *_rows("the settings can be read", (UNREADABLE, WRONG)),
            *(line for check in CHECKS for line in _rows(check.name, check.kinds)),
            *_rows("the checks can be made", (BROKE, TOO_SLOW)),
            "",
            "## What a check needs",
            "",
            "A check is left out where what it needs is not well; `--json` names those.",
            "",
            "| check | needs |",
            "|---|---|",
            *(f"| {check.name} | {_needs(check)} |" for check in CHECKS if check.needs),
            "",
        ]
    )


# ---------------------------------------------------------------------------------------------------------------------


def _rows(check: str, kinds: Iterable[Kind]) -> Iterable[str]:
    yield f"| | | **{check}** | |"
    for kind in kinds:
        yield f"| `{kind.code}` | {kind.severity} | {_cell(kind.general_what)} | {_cell(kind.general_mend)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _needs(check: Check) -> str:
    return ", ".join(sorted(each.replace("_", " ") for each in check.needs))
