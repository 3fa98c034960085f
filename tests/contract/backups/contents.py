"""What the databases hold that are backed up in these tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import func, insert, select

from escrowd.bootstrap.backups import back_up
from escrowd.domain.escrow.machine import Step, create
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import HostedKey, KeyingRound, KeySet, keys_purpose, view_key_purpose
from escrowd.domain.outputs import Spend
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import AttemptStep, PayoutStatus
from escrowd.domain.secret import Secret
from escrowd.domain.watching import BlockId, Cursor, FoundOutput, FoundSpend, Progress, WatchedAddress
from escrowd.store import schema, schema_access, schema_webhooks
from escrowd.store.backups.manifest import Manifest
from escrowd.store.backups.tables import pages, tables_of
from escrowd.store.database import Database
from escrowd.store.keys import KeyingTable, KeySetTable
from escrowd.store.session import Session
from escrowd.store.store import SqlShelf, SqlStore, SqlWorkQueue
from escrowd.store.watching import SqlWatchLog
from escrowd.wallets.records import password_purpose
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.contract.store.samples import MOMENT, attempt, escrow_id, next_step, output, payout, store_steps
from tests.unit.domain.escrow import world

#: Texts that must be found nowhere but under seal.
SECRETS: Final = ("canary of a password", "canary of a view key", "canary of key bytes", "canary of a round message")
NODE: Final = "node of the first life"
VAULT: Final = Vault(b"the vault key of these tests:" + bytes(KEY_BYTES - 29))
#: Tables in which the second life may differ from the first.
CHANGED: Final = frozenset({"work", "nodes", "service_clock", "key_sets"})


@dataclass(frozen=True)
class Original:
    """A database that was backed up, and the backup."""

    url: str
    backup: Path
    manifest: Manifest
    contents: "Contents"
    #: The rows of each table.
    rows: dict[str, list[bytes]]


@dataclass(frozen=True)
class Contents:
    """What was put in."""

    taken: EscrowId
    in_stock: EscrowId

    @property
    def key_files(self) -> dict[str, bytes]:
        """The key files of all wallets, by name."""
        return {
            f"{escrow}-{role}.keys": key_bytes(escrow, role)
            for escrow in (self.taken, self.in_stock)
            for role in WalletRole
        }


async def original_of(url: str, backup: Path) -> Original:
    """Fill a database and back it up."""
    async with Database(url) as database:
        contents = await fill(database, VAULT)
        return Original(url, backup, await back_up(url, VAULT, backup), contents, await rows_of_all(database))


async def rows_of_all(database: Database) -> dict[str, list[bytes]]:
    """Return the rows of each table as a backup has them."""
    async with database.reading() as session:
        return {
            str(table.name): [line async for page in pages(session, table, 2) for line in page]
            for table in await tables_of(session)
        }


def key_bytes(escrow: EscrowId, role: WalletRole) -> bytes:
    return f"{SECRETS[2]} of {role} of {escrow}".encode() + bytes(range(256))


def life_of(number: int, status: Status) -> list[Step]:
    """Return the steps that bring the escrow with this number to a status."""
    steps = [create(escrow_id(number), world.TERMS, Who.INTEGRATOR, MOMENT)]
    for event, who in world.PATHS[status]:
        now = steps[-1].after
        steps.append(next_step(now, event(now) if callable(event) else event, who))
    return steps


def sealed_set(number: int, vault: Vault) -> KeySet:
    """Return finished keys whose seals are the vault's."""
    escrow = escrow_id(number)
    hosted = tuple(
        HostedKey(
            role,
            f"{escrow}-{role}",
            vault.seal(Secret(SECRETS[0]), password_purpose(f"{escrow}-{role}")),
            vault.seal_bytes(key_bytes(escrow, role), keys_purpose(f"{escrow}-{role}")),
        )
        for role in WalletRole
    )
    view_key = vault.seal(Secret(SECRETS[1]), view_key_purpose(escrow))
    return KeySet(escrow, f"address of {escrow}", view_key, 50, "transcript", hosted)


async def fill(database: Database, vault: Vault) -> Contents:
    """Put something of everything into a database."""
    store = SqlStore(database, NODE)
    for number, status in enumerate(Status, 1):
        await store_steps(store, life_of(number, status))
    await _keys(database, vault)
    await _money(database, store, vault)
    await SqlWorkQueue(database, NODE).begin(600)
    await SqlWorkQueue(database, NODE).claim(frozenset(), 3, 600)
    async with store.transaction() as tx:
        await tx.clock.advance(5000)
        await tx.clock.beat(counts=True)
    async with database.transaction() as session:
        await _callers(session)
        await _webhooks(session)
    return Contents(escrow_id(1), escrow_id(50))


# ---------------------------------------------------------------------------------------------------------------------


async def _keys(database: Database, vault: Vault) -> None:
    shelf = SqlShelf(database, NODE)
    await shelf.ready(sealed_set(50, vault))
    await shelf.begin(escrow_id(51))
    async with database.transaction() as session:
        await KeySetTable(session).finish(sealed_set(1, vault), for_stock=False, node=NODE)
        keying = KeyingTable(session)
        await keying.begin(escrow_id(2), 1, 70, "")
        message = vault.seal(Secret(SECRETS[3]), "message")
        await keying.store(escrow_id(2), 1, {(KeyingRound.PREPARE, WalletRole.BUYER): message})


async def _money(database: Database, store: SqlStore, vault: Vault) -> None:
    watch_log = SqlWatchLog(database, vault)
    await watch_log.keep(WatchedAddress(escrow_id(1), "address", Secret(SECRETS[1]), 40, scanned=60))
    cursor = Cursor(101, 1_700_000_000, "genesis", (BlockId(100, "hash"),))
    found = FoundOutput(escrow_id(1), output("a", 90))
    spent = FoundSpend(escrow_id(1), Spend("image", "tx b", 95))
    await watch_log.record(Progress(outputs=(FoundOutput(escrow_id(1), output("lost", 99)),)))
    await watch_log.record(Progress(rollback=99, outputs=(found,), spends=(spent,), cursor=cursor))
    async with store.transaction() as tx:
        await tx.ledgers.note_key_images(escrow_id(1), [("key a 0", "image")])
        await tx.chain.pass_over("tx c", 99)
        await tx.payouts.add(payout(1, PayoutStatus.SIGNING), 7)
        await tx.payouts.save_attempt(attempt(1, AttemptStep.DISCARDED, refused="dust"))
        await tx.payouts.save_attempt(attempt(2, AttemptStep.SIGNED, sealed_proposal=vault.seal(Secret("set"), "set")))
        await tx.payouts.keep_raw("tx b", "00ff")


async def _callers(session: Session) -> None:
    run = session.connection.execute
    await run(
        insert(schema_access.api_keys).values(id="key_1", name="é ✓", digest="d", scopes="read", created_at=2**60)
    )
    await run(insert(schema_access.party_links).values(escrow=escrow_id(1), role="buyer", generation=2))
    answer = {"caller": "key_1", "key": "k", "request": "r", "status": 201, "sealed_body": "v1.x", "at": 2**53 + 1}
    await run(insert(schema_access.answers).values(answer))
    for number in range(3):
        row = {"at": number, "caller": "key_1", "action": "release", "subject": "esc", "cause": ""}
        await run(insert(schema_access.audit).values(row))


async def _webhooks(session: Session) -> None:
    webhook = {"id": "wh_1", "url": "https://a.example", "types": "", "description": "", "created_at": 1}
    secret = VAULT.seal(Secret(SECRETS[0]), "webhook")
    await session.connection.execute(
        insert(schema_webhooks.webhooks).values(**webhook, sealed_secret=secret, status="enabled")
    )
    first = select(func.min(schema.log.c.cursor))
    delivery = {
        "id": "dlv_1",
        "webhook": "wh_1",
        "escrow": escrow_id(1),
        "cursor": (await session.connection.execute(first)).scalar_one(),
        "event": "evt_1",
        "type": "escrow.created",
        "created_at": 1,
        "status": "pending",
        "attempts": 2,
        "failures": 2,
        "next_attempt_at": 2**40,
    }
    await session.connection.execute(insert(schema_webhooks.deliveries).values(delivery))
