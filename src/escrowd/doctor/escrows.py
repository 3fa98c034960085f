"""Checks of what waits for an operator, or for a worker that does not get on, and that somebody may call at all."""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
from typing import Final

from sqlalchemy import func, select

from escrowd.doctor.check import Check, Need, Surroundings
from escrowd.doctor.findings import Finding, Kind, warning
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.history import LogEntry, broken_links
from escrowd.domain.escrow.machine import allowed_actions
from escrowd.domain.escrow.status import Status, Who
from escrowd.store import schema
from escrowd.store.coding import decoded
from escrowd.store.schema_access import api_keys

HELD: Final = Kind(
    "escrows.held",
    "escrow {escrow} is held for {reason} since it was {since}: {details}",
    "see 'escrowd escrows show {escrow}', then: {commands}; its money is safe meanwhile",
)
MORE_HELD: Final = Kind(
    "escrows.more_held",
    "more escrows are held than are listed here: {count}",
    "see 'escrowd escrows list --status held'",
)
FAILING: Final = Kind(
    "work.failing",
    "work that fails again and again: {count}; {first} failed {attempts} times, the last time with: {error}",
    "mend what the error names; the work is tried again by itself",
)
STUCK: Final = Kind(
    "effects.stuck",
    "effects that are not carried out: {count}, the oldest is {effect} of {escrow}, which waits for {minutes} minutes",
    "see that the service runs and what its log says of that escrow",
)
BROKEN: Final = Kind(
    "history.broken",
    "the history of {escrow} was changed after it was written, at entry {entries}",
    "stop the service, run 'escrowd verify-log', and compare with the backups and with what integrators were told",
)
NO_KEYS: Final = warning(
    "keys.none",
    "there is no API key that is good, so no integrator can use the API",
    "run: escrowd keys create --scope escrows:read --scope escrows:write",
)


# ---------------------------------------------------------------------------------------------------------------------


#: Held escrows that are listed with their reasons.
LISTED: Final = 20


async def _held(around: Surroundings) -> Iterable[Finding]:
    table = schema.escrows
    query = select(table.c.body).where(table.c.status == str(Status.HELD)).order_by(table.c.created_at, table.c.id)
    async with around.opened.reading() as session:
        bodies = (await session.connection.execute(query)).scalars().all()
    found = [_held_one(decoded(each, Escrow)) for each in bodies[:LISTED]]
    more = len(bodies) - len(found)
    return [*found, *([MORE_HELD.found(count=more)] if more else [])]


def _held_one(escrow: Escrow) -> Finding:
    hold = escrow.hold
    commands = [f"escrowd escrows {each} {escrow.id}" for each in allowed_actions(escrow, Who.OPERATOR)]
    return HELD.found(
        escrow=escrow.id,
        reason=hold.reason if hold else "no noted reason",
        since=hold.since if hold else "made",
        details=hold.details if hold else "",
        commands=", or ".join(commands) or "wait until its money is final",
    )


async def _failing(around: Surroundings) -> Iterable[Finding]:
    table = schema.work
    often = table.c.attempt >= around.thresholds.attempts
    query = select(table.c.key, table.c.attempt, table.c.last_error).where(often).order_by(table.c.attempt.desc())
    async with around.opened.reading() as session:
        failing = (await session.connection.execute(query)).all()
    if not failing:
        return ()
    key, attempts, error = failing[0]
    return (FAILING.found(count=len(failing), first=key, attempts=attempts, error=error),)


async def _stuck(around: Surroundings) -> Iterable[Finding]:
    """Look for effects that wait. An effect is as old as the step that wanted it, which is in the log."""
    effects, log = schema.effects, schema.log
    wanted = func.min(log.c.at).label("wanted")
    query = (
        select(effects.c.escrow, effects.c.effect, wanted)
        .join(log, (log.c.escrow == effects.c.escrow) & (log.c.version == effects.c.version))
        .where(effects.c.done_at.is_(None))
        .group_by(effects.c.escrow, effects.c.version, effects.c.index, effects.c.effect)
        .order_by(wanted)
    )
    async with around.opened.reading() as session:
        now = await session.now()
        waiting = (await session.connection.execute(query)).all()
    stuck = [each for each in waiting if now - each.wanted > 1000 * around.thresholds.effect]
    if not stuck:
        return ()
    oldest = stuck[0]
    minutes = (now - oldest.wanted) // 60_000
    return (STUCK.found(count=len(stuck), effect=oldest.effect, escrow=oldest.escrow, minutes=minutes),)


async def _histories(around: Surroundings) -> Iterable[Finding]:
    newest = select(schema.escrows.c.id).order_by(schema.escrows.c.created_at.desc()).limit(around.thresholds.histories)
    table = schema.log
    query = select(table).where(table.c.escrow.in_(newest)).order_by(table.c.escrow, table.c.sequence)
    async with around.opened.reading() as session:
        rows = (await session.connection.execute(query)).mappings().all()
    histories = groupby((LogEntry(**row) for row in rows), key=attrgetter("escrow"))
    broken = ((escrow, broken_links(entries)) for escrow, entries in histories)
    return [BROKEN.found(escrow=escrow, entries=", ".join(map(str, links))) for escrow, links in broken if links]


async def _keys(around: Surroundings) -> Iterable[Finding]:
    query = select(api_keys.c.id).where(api_keys.c.revoked_at.is_(None)).limit(1)
    async with around.opened.reading() as session:
        is_there_one = (await session.connection.execute(query)).first() is not None
    return () if is_there_one else (NO_KEYS.found(),)


_SCHEMA: Final = frozenset({Need.SCHEMA})

CHECKS: Final = (
    Check("no escrow is held", _held, (HELD, MORE_HELD), _SCHEMA),
    Check("work does not fail again and again", _failing, (FAILING,), _SCHEMA),
    Check("effects are carried out", _stuck, (STUCK,), _SCHEMA),
    Check("histories are as they were written", _histories, (BROKEN,), _SCHEMA, timeout=30.0),
    Check("there is an API key", _keys, (NO_KEYS,), _SCHEMA),
)
