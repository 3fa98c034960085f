"""How wallet sessions are shown."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from escrowd.cli.showing.paper import facts, span_text, table
from escrowd.wire.sessions import Session, SessionStats


def sessions_table(sessions: Sequence[Session]) -> RenderableType:
    """Return a table of sessions."""
    if not sessions:
        return Text("no wallet session is open")
    rows = [
        (each.escrow, each.phase, span_text(each.age), span_text(each.idle), span_text(each.expires_in))
        for each in sessions
    ]
    return table("id", "phase", "open for", "unused for", "closes in", rows=rows)


def session_facts(session: Session) -> RenderableType:
    """Return one session."""
    return facts(
        [
            ("escrow", session.escrow),
            ("phase", session.phase),
            ("open for", span_text(session.age)),
            ("unused for", span_text(session.idle)),
            ("closes in", f"{span_text(session.expires_in)}, if nobody uses it"),
        ]
    )


def stats_facts(stats: SessionStats) -> RenderableType:
    """Return how the sessions of a node do."""
    now = f"{stats.active} of {stats.max_sessions} ({stats.utilisation:.0%})"
    return facts(
        [
            ("open", f"{now}: leased {stats.leased}, opening {stats.opening}, closing {stats.closing}"),
            ("waiting", f"{stats.waiting} for a lease"),
            ("found open", f"{stats.hit_rate:.0%} of leases: {stats.hits}, not {stats.misses}"),
            ("age", f"oldest {span_text(stats.oldest_age)}, mean {span_text(stats.mean_age)}"),
            ("opened", f"{stats.sessions_opened}, the last in {stats.open_seconds_last:.1f} s"),
            ("adopted", str(stats.adoptions)),
            ("closed early", f"{stats.evictions} for room, {stats.expirations} unused"),
            ("troubles", f"repaired {stats.repairs}, not saved {stats.save_failures}, refused {stats.refusals}"),
        ]
    )
