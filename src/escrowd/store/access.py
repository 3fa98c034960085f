"""Who may call, what they were answered and what they did, in SQL."""

from typing import Final

from sqlalchemy import bindparam, literal_column, select, update

from escrowd.domain.access import ApiKeyRecord, AuditEntry, Scope, StoredAnswer
from escrowd.domain.cause import present_cause
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.store import schema_access as schema
from escrowd.store.prepared import Prepared, filled, insert_into
from escrowd.store.session import NOW, Session


class AccessTable:
    """API keys and links of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def add_key(self, key: ApiKeyRecord) -> None:
        """Store a new key."""
        await self._session.connection.execute(
            self._session.insert(schema.api_keys).values(
                id=key.id,
                name=key.name,
                digest=key.digest,
                scopes=" ".join(sorted(key.scopes)),
                created_at=key.created_at,
                revoked_at=key.revoked_at,
            )
        )

    async def key(self, key: str) -> ApiKeyRecord | None:
        """Return a key, revoked or not."""
        table = schema.api_keys
        row = (await self._session.connection.execute(select(table).where(table.c.id == key))).one_or_none()
        return None if row is None else _key(*row)

    async def keys(self) -> tuple[ApiKeyRecord, ...]:
        """Return all keys, the oldest first."""
        table = schema.api_keys
        rows = await self._session.connection.execute(select(table).order_by(table.c.created_at, table.c.id))
        return tuple(_key(*row) for row in rows)

    async def revoke_key(self, key: str, at: int) -> bool:
        """Let a key open nothing any more; return whether there is such a key. Revoking it again changes nothing."""
        table = schema.api_keys
        mine = table.c.id == key
        await self._session.connection.execute(
            update(table).where(mine, table.c.revoked_at.is_(None)).values(revoked_at=at)
        )
        return (await self._session.connection.execute(select(table.c.id).where(mine))).one_or_none() is not None

    async def link_generation(self, escrow: EscrowId, role: WalletRole) -> int:
        """Return how often the link of a party was replaced."""
        table = schema.party_links
        query = select(table.c.generation).where(table.c.escrow == escrow, table.c.role == str(role))
        return (await self._session.connection.execute(query)).scalar_one_or_none() or 0

    async def replace_link(self, escrow: EscrowId, role: WalletRole) -> int:
        """Count one more replacement of a party's link, and return how many there are."""
        table = schema.party_links
        statement = self._session.insert(table).values(escrow=escrow, role=str(role), generation=1)
        changed = await self._session.connection.execute(
            statement.on_conflict_do_update(
                index_elements=["escrow", "role"], set_={"generation": table.c.generation + 1}
            ).returning(table.c.generation)
        )
        return int(changed.scalar_one())


class AnswerTable:
    """Answers to requests with an Idempotency-Key, of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def reserve(self, caller: str, key: str, request: str) -> StoredAnswer | None:
        """Make a key ours until the end of the transaction, or return what was answered under it.

        Whoever comes with the same key meanwhile waits for our end: the primary key makes them wait.
        """
        values = {"caller": caller, "key": key, "request": request, "status": 0, "sealed_body": ""}
        while (await self._session.run(_RESERVE, **values)).changed != 1:
            known = (await self._session.run(_FIND, caller=caller, key=key)).one_or_none()
            # Where it is gone by now it was old, and the key is forgotten.
            if known is not None:
                return StoredAnswer(*known)
        return None

    async def keep(self, caller: str, key: str, answer: StoredAnswer) -> None:
        """Store the answer under a key that was reserved in this transaction."""
        await self._session.run_later(
            _KEEP, whose=caller, under=key, status=answer.status, sealed_body=answer.sealed_body
        )


class AuditTable:
    """What callers did, of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def note(self, caller: str, action: str, subject: str) -> None:
        """Note that somebody did something, now."""
        at, cause = await self._session.now(), present_cause()
        await self._session.run_later(_NOTE, at=at, caller=caller, action=action, subject=subject, cause=cause)

    async def entries(self, after: int = 0, limit: int = 100, subject: str | None = None) -> tuple[AuditEntry, ...]:
        """Return entries with a number above ``after``, in order; of one subject only, where one is named."""
        await self._session.catch_up()
        table = schema.audit
        query = select(table).where(table.c.number > after).order_by(table.c.number).limit(limit)
        if subject is not None:
            query = query.where(table.c.subject == subject)
        return tuple(AuditEntry(*row) for row in await self._session.connection.execute(query))

    async def latest(self, limit: int = 100, subject: str | None = None) -> tuple[AuditEntry, ...]:
        """Return the last entries, in order; of one subject only, where one is named."""
        await self._session.catch_up()
        table = schema.audit
        query = select(table).order_by(table.c.number.desc()).limit(limit)
        if subject is not None:
            query = query.where(table.c.subject == subject)
        rows = (await self._session.connection.execute(query)).all()
        return tuple(AuditEntry(*row) for row in reversed(rows))


# ---------------------------------------------------------------------------------------------------------------------

_answers: Final = schema.answers
_RESERVE: Final = Prepared(
    lambda dialect: (
        insert_into(dialect, _answers)
        .values(filled(_answers, "caller", "key", "request", "status", "sealed_body"))
        .values(at=literal_column(f"({NOW[dialect]})"))
        .on_conflict_do_nothing(index_elements=["caller", "key"])
    )
)
_FIND: Final = Prepared(
    lambda _: select(_answers.c.request, _answers.c.status, _answers.c.sealed_body).where(
        _answers.c.caller == bindparam("caller"), _answers.c.key == bindparam("key")
    )
)
_KEEP: Final = Prepared(
    lambda _: (
        update(_answers)
        .where(_answers.c.caller == bindparam("whose"), _answers.c.key == bindparam("under"))
        .values(filled(_answers, "status", "sealed_body"))
    )
)
_NOTE: Final = Prepared(
    lambda dialect: insert_into(dialect, schema.audit).values(
        filled(schema.audit, "at", "caller", "action", "subject", "cause")
    )
)


def _key(id_: str, name: str, digest: str, scopes: str, created_at: int, revoked_at: int | None) -> ApiKeyRecord:
    return ApiKeyRecord(id_, name, digest, frozenset(Scope(each) for each in scopes.split()), created_at, revoked_at)
