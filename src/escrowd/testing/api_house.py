"""The API over a real database, without wallets and daemon: what is said and answered, and nothing of money.

Its stock is filled with addresses to which nobody has keys. What chain and wallets would tell is told by whoever uses
it, through the orchestrator.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from escrowd.api.app import build_app
from escrowd.api.changes import Changes
from escrowd.api.parts import ApiParts, ApiSettings
from escrowd.api.rates import Doorkeeper, Rates
from escrowd.bootstrap.adapters import new_escrow_id
from escrowd.domain.access import Scope
from escrowd.domain.escrow.facts import Moment
from escrowd.domain.escrow.terms import DeadlineTerms, Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import HostedKey, KeySet
from escrowd.domain.networks import Network
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.secret import Secret
from escrowd.service.front.answering import Answering
from escrowd.service.front.callers import Callers
from escrowd.service.front.escrows import EscrowDesk
from escrowd.service.orchestrator import EscrowOrchestrator
from escrowd.service.webhooks.endpoints import WebhookEndpoints
from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.store.database import Database
from escrowd.store.migrating import migrate
from escrowd.store.store import SqlShelf, SqlStore
from escrowd.testing.simulation.addresses import address
from escrowd.wallets.vault import KEY_BYTES, Vault
from escrowd.wire.sessions import Session, SessionStats

NODE = "node-1"
#: What the network asks for on a private chain, in piconero per byte.
RATE = FeeRate(per_byte=20_000, mask=10_000)
PUBLIC_URL = "https://escrow.example"


@dataclass(slots=True)
class NoSessions:
    """The sessions of a node that has no wallets."""

    closed: list[EscrowId] = field(default_factory=list)

    def all(self) -> tuple[Session, ...]:
        """Return none."""
        return ()

    def stats(self) -> SessionStats:
        """Count nothing."""
        return SessionStats(**dict.fromkeys(SessionStats.model_fields, 0))

    async def close(self, escrow: EscrowId) -> None:
        """Note whose would be closed."""
        self.closed.append(escrow)


@dataclass(frozen=True, slots=True)
class ApiHouse:
    """An application, and what is behind it."""

    app: FastAPI
    parts: ApiParts
    store: SqlStore
    database: Database
    orchestrator: EscrowOrchestrator
    vault: Vault
    sessions: NoSessions
    #: What the next question about readiness is answered.
    conditions: dict[str, str]

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        database_url: str,
        *,
        most_waiting: int = 256,
        per_minute: int = 10**9,
        vault: Vault | None = None,
        admit: Callable[[Terms, Moment], None] = lambda _terms, _moment: None,
    ) -> AsyncIterator["ApiHouse"]:
        """Open the API over a database, which gets its tables if it has none; with a vault key of its own, or one."""
        vault = vault or Vault(secrets.token_bytes(KEY_BYTES))
        async with Database(database_url) as database:
            await migrate(database)
            store, sessions, rates = SqlStore(database, NODE), NoSessions(), Rates(per_minute)
            orchestrator, changes = EscrowOrchestrator(store, admit=admit), Changes(most_waiting)
            conditions = dict.fromkeys(("database", "chain_in_sync", "worker"), "")
            database.on_wake(changes.heard)

            async def readiness() -> dict[str, str]:
                return conditions

            parts = ApiParts(
                settings=ApiSettings(Network.REGTEST, PUBLIC_URL, 10, DeadlineTerms()),
                store=store,
                desk=EscrowDesk(orchestrator),
                callers=Callers(store, vault),
                answering=Answering(store, vault),
                changes=changes,
                rates=rates,
                doorkeeper=Doorkeeper(rates),
                sessions=sessions,
                webhooks=WebhookEndpoints(vault, WebhookSettings((ip_network("127.0.0.0/8"),))),
                metrics=CollectorRegistry(),
                look_at_stock=orchestrator.look_at_stock,
                fee_rate=lambda: RATE,
                readiness=readiness,
            )
            yield cls(build_app(parts), parts, store, database, orchestrator, vault, sessions, conditions)
            changes.end()

    async def fill_stock(self, sets: int) -> None:
        """Put addresses into the stock to which nobody has keys."""
        shelf = SqlShelf(self.database, NODE)
        for _ in range(sets):
            await shelf.ready(worthless_keys(new_escrow_id(), self.vault))

    async def key(self, scopes: Sequence[Scope], name: str = "test") -> Secret:
        """Make an API key, and return its text."""
        async with self.store.transaction() as tx:
            return (await self.parts.callers.create_key(tx, name, scopes)).text


def worthless_keys(escrow: EscrowId, vault: Vault) -> KeySet:
    """Return finished keys of an address that is well formed and nobody's."""
    sealed = vault.seal(Secret("nobody has it"), "nothing")
    hosted = tuple(HostedKey(role, f"{escrow}-{role}", sealed, sealed) for role in WalletRole)
    return KeySet(escrow, address(escrow), sealed, 0, "0" * 64, hosted)


def sqlite_url(path: Path) -> str:
    """Return the URL of an SQLite file."""
    return f"sqlite+aiosqlite:///{path}"
