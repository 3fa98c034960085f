"""Finished wallets, the stock of them, and the messages with which keys are made, in SQL."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import and_, bindparam, func, insert, select, update

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import (
    HostedKey,
    KeyingRecord,
    KeyingRound,
    KeySet,
    MessageConflict,
    MessageKey,
    StaleAttempt,
)
from escrowd.domain.parties import WalletRole
from escrowd.domain.wallet_set import HostedWallet, WalletSet
from escrowd.store import schema
from escrowd.store.coding import decoded, encoded
from escrowd.store.prepared import Prepared
from escrowd.store.session import Session

MAKING: Final = "making"
READY: Final = "ready"
TAKEN: Final = "taken"
FAILED: Final = "failed"


class KeySetTable:
    """Finished sets of wallets, and those that are being made, of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def newest_password(self) -> tuple[str, str] | None:
        """Return the file and the sealed password of the wallet that was stored last; ``None`` where there is none."""
        table = schema.wallets
        newest = select(table.c.filename, table.c.sealed_password).order_by(table.c.escrow.desc()).limit(1)
        found = (await self._session.connection.execute(newest)).one_or_none()
        return None if found is None else (str(found.filename), str(found.sealed_password))

    async def count_ready(self) -> int:
        """Return how many sets wait for an escrow."""
        table = schema.key_sets
        query = select(func.count()).select_from(table).where(table.c.status == READY)
        return int((await self._session.connection.execute(query)).scalar_one())

    async def begin(self, escrow: EscrowId, node: str) -> None:
        """Note that a set for the stock is being made under this id, by this node."""
        values = {"status": MAKING, "node": node, "why": "", "at": await self._session.now(), "body": None}
        await self._session.connection.execute(insert(schema.key_sets).values(escrow=escrow, **values))

    async def finish(self, keys: KeySet, *, for_stock: bool, node: str) -> None:
        """Store a finished set and its wallets. Doing it again with the same set changes nothing.

        Raises:
            StaleAttempt: the set has failed, or other keys are stored under this id.

        """
        table = schema.key_sets
        known = (
            await self._session.connection.execute(
                select(table.c.status, table.c.body).where(table.c.escrow == keys.escrow).with_for_update()
            )
        ).one_or_none()
        if known is not None and known.body is not None:
            if decoded(known.body, KeySet) != keys:
                raise StaleAttempt(f"other keys are stored for {keys.escrow}")
            return
        if known is not None and known.status == FAILED:
            raise StaleAttempt(f"the keys of {keys.escrow} were given up")
        status = READY if for_stock else TAKEN
        values = {"status": status, "node": node, "why": "", "at": await self._session.now(), "body": encoded(keys)}
        statement = self._session.insert(table).values(escrow=keys.escrow, **values)
        await self._session.connection.execute(statement.on_conflict_do_update(index_elements=["escrow"], set_=values))
        await self._add_wallets(keys)

    async def fail(self, escrow: EscrowId, why: str) -> None:
        """Note that a set is never going to be ready. Doing it again changes nothing.

        Raises:
            StaleAttempt: it is ready, or was taken.

        """
        table = schema.key_sets
        mine = and_(table.c.escrow == escrow, table.c.status.in_((MAKING, FAILED)))
        failed = await self._session.connection.execute(update(table).where(mine).values(status=FAILED, why=why))
        if failed.rowcount != 1:
            raise StaleAttempt(f"the keys of {escrow} are ready, or were never begun")

    async def left_making(self, node: str) -> tuple[EscrowId, ...]:
        """Return the sets that this node makes, or made when an earlier run of it ended."""
        table = schema.key_sets
        query = select(table.c.escrow).where(table.c.status == MAKING, table.c.node == node).order_by(table.c.at)
        return tuple(EscrowId(each) for each in (await self._session.connection.execute(query)).scalars())

    async def keys_of(self, escrow: EscrowId) -> KeySet | None:
        """Return the finished keys of an escrow."""
        row = (await self._session.run(_KEYS, escrow=escrow)).one_or_none()
        return None if row is None or row[0] is None else decoded(row[0], KeySet)

    async def wallet_set(self, escrow: EscrowId) -> WalletSet | None:
        """Return what the watcher needs of the finished wallets of an escrow."""
        keys = await self.keys_of(escrow)
        return None if keys is None else wallet_set_of(keys)

    async def hosted_wallets(self, escrow: EscrowId) -> tuple[HostedWallet, ...]:
        """Return the wallets of an escrow that this service keeps, in the order of the roles."""
        keys = await self.keys_of(escrow)
        if keys is None:
            return ()
        found = {each.role: each for each in keys.hosted}
        return tuple(
            HostedWallet(escrow, role, found[role].filename, keys.address, found[role].sealed_password)
            for role in WalletRole
            if role in found
        )

    async def _add_wallets(self, keys: KeySet) -> None:
        rows = [_wallet_columns(keys, hosted) for hosted in keys.hosted]
        if rows:
            await self._session.connection.execute(insert(schema.wallets), rows)


class KeyingTable:
    """The attempts at keys, and their messages, of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def load(self, escrow: EscrowId) -> KeyingRecord | None:
        """Return the current attempt, the one with the highest number, or ``None`` before the first."""
        table = schema.keyings
        query = select(table).where(table.c.escrow == escrow).order_by(table.c.number.desc()).limit(1)
        found = (await self._session.connection.execute(query)).one_or_none()
        if found is None:
            return None
        keys = await KeySetTable(self._session).keys_of(escrow) if found.finished else None
        messages = await self._messages(escrow, found.number)
        return KeyingRecord(found.number, found.restore_height, found.why, messages, keys)

    async def begin(self, escrow: EscrowId, number: int, restore_height: int, why: str) -> None:
        """Begin the attempt with this number. Raises StaleAttempt where it is not the next one."""
        current = await self.load(escrow)
        expected = current.number + 1 if current else 1
        if number != expected or (current is not None and current.keys is not None):
            raise StaleAttempt(f"attempt {number} at the keys of {escrow} is not the next one")
        values = {"number": number, "restore_height": restore_height, "why": why, "finished": False}
        statement = self._session.insert(schema.keyings).values(escrow=escrow, **values)
        begun = await self._session.connection.execute(statement.on_conflict_do_nothing())
        if begun.rowcount != 1:
            raise StaleAttempt(f"attempt {number} at the keys of {escrow} was begun already")

    async def store(self, escrow: EscrowId, number: int, messages: Mapping[MessageKey, str]) -> None:
        """Add sealed messages to the current attempt. Raises StaleAttempt, MessageConflict."""
        await self._current(escrow, number)
        rows = [
            {"escrow": escrow, "number": number, "round": str(each), "role": str(role), "sealed": sealed}
            for (each, role), sealed in messages.items()
        ]
        statement = self._session.insert(schema.keying_messages).on_conflict_do_nothing()
        for row in rows:
            if (await self._session.connection.execute(statement.values(row))).rowcount != 1:
                raise MessageConflict(f"a message of attempt {number} at the keys of {escrow} is there already")

    async def finish(self, escrow: EscrowId, number: int, keys: KeySet, *, for_stock: bool, node: str) -> None:
        """Store the keys and the records of the hosted wallets. Raises StaleAttempt."""
        current = await self.load(escrow)
        if current is None or current.number != number or (current.keys is not None and current.keys != keys):
            raise StaleAttempt(f"attempt {number} at the keys of {escrow} is not the current one")
        await KeySetTable(self._session).finish(keys, for_stock=for_stock, node=node)
        table = schema.keyings
        mine = and_(table.c.escrow == escrow, table.c.number == number)
        await self._session.connection.execute(update(table).where(mine).values(finished=True))

    async def _current(self, escrow: EscrowId, number: int) -> None:
        current = await self.load(escrow)
        if current is None or current.number != number or current.keys is not None:
            raise StaleAttempt(f"attempt {number} at the keys of {escrow} is not the current one, or is finished")

    async def _messages(self, escrow: EscrowId, number: int) -> dict[MessageKey, str]:
        table = schema.keying_messages
        query = select(table.c.round, table.c.role, table.c.sealed).where(
            table.c.escrow == escrow, table.c.number == number
        )
        rows = await self._session.connection.execute(query)
        return {(KeyingRound(each), WalletRole(role)): sealed for each, role, sealed in rows}


def wallet_set_of(keys: KeySet) -> WalletSet:
    """Return what the watcher needs of finished keys."""
    return WalletSet(keys.escrow, keys.address, keys.sealed_view_key, keys.restore_height)


# ---------------------------------------------------------------------------------------------------------------------


_KEYS: Final = Prepared(lambda _: select(schema.key_sets.c.body).where(schema.key_sets.c.escrow == bindparam("escrow")))


def _wallet_columns(keys: KeySet, hosted: HostedKey) -> dict[str, str]:
    return {
        "escrow": keys.escrow,
        "role": str(hosted.role),
        "filename": hosted.filename,
        "address": keys.address,
        "sealed_password": hosted.sealed_password,
        "sealed_keys": hosted.sealed_keys,
    }
