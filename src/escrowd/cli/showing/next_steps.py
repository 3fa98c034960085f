"""What the operator may do about an escrow now, and the exact command for it. The state table says what that is."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.status import Status


@dataclass(frozen=True, slots=True)
class NextStep:
    """Something that the operator may do: its name, what comes of it, and the command."""

    action: str
    meaning: str
    command: str


def next_steps(escrow: Escrow, allowed: tuple[str, ...], config: Path | None = None) -> tuple[NextStep, ...]:
    """Return what the operator may do. ``config`` is the file that the commands have to name, where one does."""
    named = f" --config {shlex.quote(str(config))}" if config else ""
    return tuple(
        NextStep(action, meaning, f"escrowd escrows {words}{named}")
        for action, meaning, words in _steps(escrow, allowed)
    )


# ---------------------------------------------------------------------------------------------------------------------

_MEANINGS: Final = {
    "release": "pay the deposit to the vendor",
    "refund": "pay the deposit back to the buyer",
    "rule": "divide the deposit, in the arbiter's place",
    "split": "divide what is left between vendor and buyer",
    "settle": "close it; nothing is left that is worth its fee",
    "cancel": "call it off; nothing was paid in",
}


#: They need a share. Half is only an example.
_DIVIDING: Final = frozenset({"rule", "split"})


def _steps(escrow: Escrow, allowed: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for action in allowed:
        if action == "resume":
            yield action, _resumes(escrow), f"resume {escrow.id}"
        elif action in _DIVIDING:
            yield action, _MEANINGS[action], f"{action} {escrow.id} --vendor-share {escrow.divisible // 2}"
        elif action == "settle":
            yield action, _MEANINGS[action], f"settle {escrow.id} --reason TEXT"
        elif action in _MEANINGS:
            yield action, _MEANINGS[action], f"{action} {escrow.id}"


def _resumes(escrow: Escrow) -> str:
    if escrow.has_ended:
        return "send late money back to the buyer that could not be sent before"
    if escrow.hold is not None and escrow.hold.since is Status.PAYING:
        return "carry out the same decision on what is there now"
    if escrow.is_seen_in_full:
        return "let a wallet judge the deposit anew, and go on if it agrees"
    return "wait for the deposit again, with a new period to pay"
