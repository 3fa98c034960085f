"""As whom somebody speaks who may speak as several, and what they may do then. All of it comes from the state table."""

from collections.abc import Sequence

from escrowd.domain.escrow.events import Event
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import ACTIONS, allowed_actions, is_allowed
from escrowd.domain.escrow.status import Who
from escrowd.domain.escrow.table import TABLE


def voice_for(escrow: Escrow, event: Event, voices: Sequence[Who]) -> Who | None:
    """Return as whom to send an event: as one who may do so now, else as one who may do so in another status.

    ``None``: nobody of them may ever.
    """
    able = [who for who in voices if may_ever(type(event), who)]
    return next((who for who in able if is_allowed(escrow, event, who)), able[0] if able else None)


def may_ever(sends: type[Event], who: Who) -> bool:
    """Whether there is a status in which somebody may send events of this kind."""
    return any(row.sends is sends and who in row.who for row in TABLE)


def actions_of(escrow: Escrow, voices: Sequence[Who], residue: int = 0) -> tuple[str, ...]:
    """Return the names of what somebody with these voices may do now."""
    allowed = {name for who in voices for name in allowed_actions(escrow, who, residue)}
    return tuple(name for name in ACTIONS if name in allowed)
