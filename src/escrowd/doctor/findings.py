"""What may be found wrong: the kinds of it, and one finding of a kind."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec


class Severity(StrEnum):
    """How bad a finding is."""

    #: The service does not start, does not do its work, or risks money or secrets.
    FAULT = "fault"
    #: It works, and the operator should know.
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong here, and how to mend it. Each is a sentence or two on one line."""

    code: str
    severity: Severity
    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding. ``what`` and ``mend`` name in braces what each finding of it fills in."""

    code: str
    what: str
    mend: str
    severity: Severity = Severity.FAULT

    def found(self, **facts: object) -> Finding:
        """Make a finding of this kind from its facts."""
        return Finding(self.code, self.severity, _filled(self.what, facts), _filled(self.mend, facts))

    @property
    def general_what(self) -> str:
        """What is wrong, with names in capitals in place of the facts."""
        return _general(self.what)

    @property
    def general_mend(self) -> str:
        """How to mend it, with names in capitals in place of the facts."""
        return _general(self.mend)


def warning(code: str, what: str, mend: str) -> Kind:
    """Make a kind of warning."""
    return Kind(code, what, mend, Severity.WARNING)


# ---------------------------------------------------------------------------------------------------------------------

_FACT: Final = re.compile(r"\{(\w+)\}")


def _filled(text: str, facts: dict[str, object]) -> str:
    # A line each, whatever an error said.
    return " ".join(text.format(**facts).split())


def _general(text: str) -> str:
    return _FACT.sub(lambda found: found[1].upper().replace("_", " "), text)
