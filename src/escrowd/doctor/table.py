"""All checks, in the order in which their findings are told."""

from typing import Final

from escrowd.doctor import daemon, database, directories, engine, escrows, machine, programs, settings, vault, webhooks
from escrowd.doctor.check import Check
from escrowd.doctor.findings import Kind

CHECKS: Final[tuple[Check, ...]] = (
    *settings.CHECKS,
    *directories.CHECKS,
    *vault.CHECKS,
    *database.CHECKS,
    *daemon.CHECKS,
    *programs.CHECKS,
    *engine.CHECKS,
    *machine.CHECKS,
    *escrows.CHECKS,
    *webhooks.CHECKS,
)

BROKE: Final = Kind(
    "doctor.broke",
    "the check '{check}' broke: {error}",
    "mend what the error names; where that says nothing, it is a bug of escrowd: please report it",
)
TOO_SLOW: Final = Kind(
    "doctor.too_slow",
    "the check '{check}' took longer than {seconds} s and was given up",
    "see what keeps the disk, the database or the daemon so busy, and look again when it is less",
)


def kinds() -> tuple[Kind, ...]:
    """Return every kind of finding once, in the order of the checks."""
    found = (kind for check in CHECKS for kind in check.kinds)
    return tuple(dict.fromkeys((settings.UNREADABLE, settings.WRONG, *found, BROKE, TOO_SLOW)))
