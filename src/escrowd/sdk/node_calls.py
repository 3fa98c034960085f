"""What can be asked of a node: whether it works, and its wallet sessions. One call each."""

from types import NoneType
from typing import Final

from escrowd.sdk.calls import Call, deleting, part, reading
from escrowd.wire.sessions import SessionList, SessionStats

_SESSIONS: Final = "/v1/sessions"


def health() -> Call[None]:
    """Ask whether the process answers."""
    return reading(NoneType, "/healthz")


def readiness() -> Call[None]:
    """Ask whether the service can do its work."""
    return reading(NoneType, "/readyz")


def all_sessions() -> Call[SessionList]:
    """Return the wallet sessions of the node that answers."""
    return reading(SessionList, _SESSIONS)


def session_stats() -> Call[SessionStats]:
    """Return how the wallet sessions of the node do that answers."""
    return reading(SessionStats, f"{_SESSIONS}/stats")


def close_session(escrow_id: str) -> Call[None]:
    """Close the wallets of an escrow on the node that answers. They open again when they are needed."""
    return deleting(f"{_SESSIONS}/{part(escrow_id)}")
