"""Escrows, their history and their effects in SQL."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ClauseElement,
    Row,
    and_,
    bindparam,
    func,
    insert,
    literal,
    literal_column,
    select,
    tuple_,
    update,
)

from escrowd.domain.cause import present_cause
from escrowd.domain.conflicts import AlreadyStored, NoSuchEscrow, VersionConflict
from escrowd.domain.escrow.effects import Effect, PendingEffect
from escrowd.domain.escrow.facts import Escrow, EscrowFilter
from escrowd.domain.escrow.history import NO_HASH, LogEntry, chained, data_of, types_of
from escrowd.domain.escrow.machine import Step
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import RANDOM_BYTES, EscrowId, Prefix, make_identifier
from escrowd.store import schema
from escrowd.store.coding import decoded, encoded
from escrowd.store.log_lock import lock_log, locking, note_locked
from escrowd.store.prepared import Prepared, filled, insert_into
from escrowd.store.session import Session
from escrowd.store.webhooks import ENDPOINTS, Outbox
from escrowd.store.work import WorkTable, escrow_key


class EscrowTable:
    """The escrows of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add(self, first: Step, *further: Step) -> None:
        """Store the first steps of an escrow: its row, its log entries and its effects; make its work row due.

        Raises:
            AlreadyStored: there is an escrow of this id.

        """
        steps = (first, *further)
        made = steps[-1].after
        added = await self._session.run(_ADD, id=made.id, **_columns(made))
        if not added.rows:
            raise AlreadyStored(f"there is an escrow {made.id}")
        note_locked(self._session)
        await self._note(steps)

    async def load(self, escrow: EscrowId, *, for_update: bool = False) -> Escrow:
        """Return an escrow; ``for_update`` keeps all others from changing it until the transaction ends.

        Raises:
            NoSuchEscrow: there is none of this id.

        """
        row = (await self._session.run(_LOAD_TO_CHANGE if for_update else _LOAD, escrow=escrow)).one_or_none()
        if row is None:
            raise NoSuchEscrow(f"there is no escrow {escrow}")
        return decoded(row[0], Escrow)

    async def save(self, step: Step) -> None:
        """Store a further step: the new row, log entries and effects; make the work row due.

        Raises:
            VersionConflict: the stored version is not that of ``step.before``.

        """
        version = step.before.version if step.before else 0
        saved = await self._session.run(_SAVE, escrow=step.after.id, before=version, **_columns(step.after))
        if saved.changed != 1:
            raise VersionConflict(f"{step.after.id} is no longer at version {version}")
        await self._note((step,))

    async def pending_effects(self, escrow: EscrowId) -> tuple[PendingEffect, ...]:
        """Return the effects that are not done yet, oldest first."""
        await self._session.catch_up()
        table = schema.effects
        query = (
            select(table.c.version, table.c.index, table.c.effect, table.c.cause)
            .where(table.c.escrow == escrow, table.c.done_at.is_(None))
            .order_by(table.c.version, table.c.index)
        )
        rows = await self._session.connection.execute(query)
        return tuple(PendingEffect(version, index, Effect(effect), cause) for version, index, effect, cause in rows)

    async def effect_done(self, escrow: EscrowId, effect: PendingEffect) -> None:
        """Note that an effect was carried out. Noting it again changes nothing."""
        await self._session.catch_up()
        table = schema.effects
        mine = and_(table.c.escrow == escrow, table.c.version == effect.version, table.c.index == effect.index)
        await self._session.connection.execute(
            update(table).where(mine, table.c.done_at.is_(None)).values(done_at=await self._session.now())
        )

    async def log(self, escrow: EscrowId, after: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """Return the entries of an escrow with a sequence above ``after``, in order."""
        table = schema.log
        query = select(table).where(table.c.escrow == escrow, table.c.sequence > after).order_by(table.c.sequence)
        return _entries((await self._session.connection.execute(query.limit(limit))).all())

    async def feed(
        self, after: int = 0, limit: int = 1000, types: Collection[str] | None = None
    ) -> tuple[LogEntry, ...]:
        """Return the entries of all escrows with a cursor above ``after``, in order, never passing a gap.

        With ``types``, entries of other types are left out.
        """
        query = select(schema.log).where(schema.log.c.cursor > after).order_by(schema.log.c.cursor)
        if types is not None:
            query = query.where(schema.log.c.type.in_(types))
        return _entries((await self._session.connection.execute(query.limit(limit))).all())

    async def with_status(self, *statuses: str, limit: int = 1000) -> tuple[EscrowId, ...]:
        """Return escrows in these statuses, oldest first."""
        table = schema.escrows
        query = select(table.c.id).where(table.c.status.in_(statuses)).order_by(table.c.created_at, table.c.id)
        rows = await self._session.connection.execute(query.limit(limit))
        return tuple(EscrowId(each) for each in rows.scalars())

    async def page(self, wanted: EscrowFilter, before: tuple[int, str] | None, limit: int) -> tuple[EscrowId, ...]:
        """Return escrows, the newest first, that were made before a time and id, which are those of the last one."""
        table = schema.escrows
        query = select(table.c.id).order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit)
        if wanted.statuses:
            query = query.where(table.c.status.in_([str(each) for each in wanted.statuses]))
        if wanted.reference is not None:
            query = query.where(table.c.reference == wanted.reference)
        if wanted.created_from is not None:
            query = query.where(table.c.created_at >= wanted.created_from)
        if wanted.created_before is not None:
            query = query.where(table.c.created_at < wanted.created_before)
        if before is not None:
            query = query.where(tuple_(table.c.created_at, table.c.id) < tuple_(*map(literal, before)))
        rows = await self._session.connection.execute(query)
        return tuple(EscrowId(each) for each in rows.scalars())

    async def count_by_status(self) -> dict[str, int]:
        """Return how many escrows there are in each status that any of them has."""
        table = schema.escrows
        rows = await self._session.connection.execute(select(table.c.status, func.count()).group_by(table.c.status))
        return {status: count for status, count in rows}

    async def oldest_payout(self) -> int:
        """Return for how many milliseconds the escrow has been paying out that began first; 0 where none does."""
        paying, effects, log = schema.escrows, schema.effects, schema.log
        # A payout begins with its order, and anew when an operator gives another one.
        begun = (
            select(func.max(log.c.at).label("at"))
            .join_from(paying, effects, effects.c.escrow == paying.c.id)
            .join(log, (log.c.escrow == effects.c.escrow) & (log.c.version == effects.c.version))
            .where(paying.c.status == Status.PAYING, effects.c.effect == Effect.PAY)
            .group_by(paying.c.id)
            .subquery()
        )
        first = (await self._session.connection.execute(select(func.min(begun.c.at)))).scalar_one()
        return 0 if first is None else max(0, await self._session.now() - first)

    # --- what belongs to a step --------------------------------------------------------------------------------------

    async def _note(self, steps: Sequence[Step]) -> None:
        escrow, cause = steps[0].after.id, present_cause()
        await self._append(escrow, steps, cause)
        rows = [
            {"escrow": escrow, "version": each.after.version, "cause": cause, "index": index, "effect": str(effect)}
            for each in steps
            for index, effect in enumerate(each.effects)
        ]
        for row in rows:
            await self._session.run_later(_ADD_EFFECT, **row)
        await WorkTable(self._session).wake(escrow_key(escrow))

    async def _append(self, escrow: EscrowId, steps: Sequence[Step], cause: str) -> None:
        await lock_log(self._session)
        last = await self._last(escrow) if steps[0].before else None
        entries = _following(last, steps, cause)
        endpoints = await self._store_entries([_log_columns(each) for each in entries])
        await Outbox(self._session).put([(each.id, each.type) for each in entries], endpoints)

    async def _store_entries(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Sequence[Any]]:
        """Store entries of the log, in order, and return the endpoints that may have to be told of them."""
        if self._session.dialect == "postgresql":
            columns = {f"{name}s": [row[name] for row in rows] for name in rows[0]}
            return (await self._session.run(_ADD_ENTRIES_AND_ASK, **columns)).rows
        await self._session.run_for_all(_ADD_ENTRY, rows)
        return (await self._session.run(_ASK)).rows

    async def _last(self, escrow: EscrowId) -> LogEntry | None:
        row = (await self._session.run(_LAST, escrow=escrow)).one_or_none()
        return None if row is None else LogEntry(**dict(zip(schema.log.c.keys(), row, strict=True)))


# ---------------------------------------------------------------------------------------------------------------------

_escrows, _log = schema.escrows, schema.log


def _add(dialect: str) -> ClauseElement:
    """Store a new escrow; it answers with one row where there was none of its id. PostgreSQL locks the log, too."""
    adds = insert_into(dialect, _escrows).values(filled(_escrows)).on_conflict_do_nothing(index_elements=["id"])
    if dialect == "sqlite":
        return adds.returning(_escrows.c.id)
    added = adds.returning(_escrows.c.id).cte("added")
    return select(added.c.id, locking())


_ADD: Final = Prepared(_add)
_LOAD: Final = Prepared(lambda _: select(_escrows.c.body).where(_escrows.c.id == bindparam("escrow")))
#: The weakest lock that keeps others from changing it. A stronger one would make everybody wait who writes a row that
#: belongs to the escrow, such as the deliveries of an endpoint, and those may hold what we want next.
_LOAD_TO_CHANGE: Final = Prepared(
    lambda _: select(_escrows.c.body).where(_escrows.c.id == bindparam("escrow")).with_for_update(key_share=True)
)
_CHANGING: Final = tuple(each.key for each in _escrows.c if each.key != "id")
_SAVE: Final = Prepared(
    lambda _: (
        update(_escrows)
        .where(_escrows.c.id == bindparam("escrow"), _escrows.c.version == bindparam("before"))
        .values(filled(_escrows, *_CHANGING))
    )
)
_ADD_EFFECT: Final = Prepared(
    lambda dialect: insert_into(dialect, schema.effects).values(
        filled(schema.effects, "escrow", "version", "index", "effect", "cause")
    )
)
_ADD_ENTRY: Final = Prepared(
    lambda dialect: insert_into(dialect, _log).values(
        filled(_log, *(each.key for each in _log.c if each.key != "cursor"))
    )
)
_ASK: Final = Prepared(lambda _: ENDPOINTS)


def _add_entries_and_ask(_dialect: str) -> ClauseElement:
    """Do both with one question. The entries come as a list for each column; cursors are given in their order."""
    columns = [each for each in _log.c if each.key != "cursor"]
    given = func.unnest(*(bindparam(f"{each.key}s", type_=ARRAY(each.type)) for each in columns))
    rows = given.table_valued(*(each.key for each in columns), with_ordinality="place").render_derived()
    in_order = select(*(rows.c[each.key] for each in columns)).order_by(rows.c.place)
    adds = insert(_log).from_select([each.key for each in columns], in_order)
    return ENDPOINTS.add_cte(adds.returning(_log.c.cursor).cte("added"))


_ADD_ENTRIES_AND_ASK: Final = Prepared(_add_entries_and_ask)
_LAST: Final = Prepared(
    lambda _: (
        select(_log)
        .where(_log.c.escrow == bindparam("escrow"))
        .order_by(_log.c.sequence.desc())
        .limit(literal_column("1"))
    )
)


def _columns(escrow: Escrow) -> dict[str, Any]:
    return {
        "status": str(escrow.status),
        "version": escrow.version,
        "network": str(escrow.terms.network),
        "reference": escrow.terms.reference,
        "created_at": escrow.created_at,
        "counts_blocks": escrow.counts_blocks,
        "body": encoded(escrow),
    }


def _following(last: LogEntry | None, steps: Sequence[Step], cause: str) -> list[LogEntry]:
    """Write down what steps of one escrow say, each entry chained to the one before it."""
    sequence, previous = (last.sequence, last.hash) if last else (0, NO_HASH)
    entries: list[LogEntry] = []
    for step, kind in ((each, kind) for each in steps for kind in types_of(each)):
        entry = LogEntry(
            cursor=0,
            id=make_identifier(Prefix.EVENT, step.moment.utc, secrets.token_bytes(RANDOM_BYTES)),
            escrow=step.after.id,
            sequence=sequence + len(entries) + 1,
            version=step.after.version,
            type=str(kind),
            who=str(step.who),
            at=step.moment.utc,
            data=data_of(step),
            previous_hash=previous,
            hash="",
            cause=cause,
        )
        entries.append(replace(entry, hash=chained(entry)))
        previous = entries[-1].hash
    return entries


def _log_columns(entry: LogEntry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__ if name != "cursor"}


def _entries(rows: Sequence[Row[Any]]) -> tuple[LogEntry, ...]:
    return tuple(LogEntry(**row._mapping) for row in rows)  # noqa: SLF001 - the documented way to a row's names
