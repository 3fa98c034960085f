"""A payout desk over real wallets, and trades to pay out: SQLite, kept wallet sets, and a look at the chain on demand.

Each trade has a database of its own. Trades share the wallets of few kept sets, one after the other, where an earlier
one has left nothing that a later one would find: no money, and no output at another address than the first. Such an
output is found by the wallets, spent as it is, and written into the ledger of a trade that knows no spend of it.
"""

import json
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from nacl.bindings import crypto_scalarmult_ed25519_noclamp
from sqlalchemy import delete

from escrowd.bootstrap import RunningHouse, open_wallet_house
from escrowd.chain.scan import Place, Prepared, received
from escrowd.chain.transaction import parse_transaction
from escrowd.chain.watched_keys import Lookahead, WatchedKeys
from escrowd.domain.address import MoneroAddress
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import CacheRemade, Event, FundingVerified, KeysReady
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.history import LogEntry
from escrowd.domain.escrow.machine import create, step
from escrowd.domain.escrow.status import Who
from escrowd.domain.escrow.terms import FeeRule, Terms, checked_terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Attempt, Payout
from escrowd.domain.secret import Secret
from escrowd.domain.watching import Cursor, FoundOutput, FoundSpend, PoolFindings, Progress, WatchedAddress
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.errors import WALLET_REFUSALS, OutcomeUnknown, Refused
from escrowd.monero.methods import Method
from escrowd.monero.results_daemon import Transaction
from escrowd.monero.transport import CallRecord, Transport
from escrowd.service.advance import EscrowAdvance, Task
from escrowd.service.cache_news import CacheNews
from escrowd.service.payouts.desk import PayoutDesk
from escrowd.service.payouts.following import Following
from escrowd.service.ports import Lease
from escrowd.service.worker import WorkClaim
from escrowd.store import schema
from escrowd.store.database import Database
from escrowd.store.migrating import migrate
from escrowd.store.store import SqlStore, SqlWorkQueue
from escrowd.store.watching import SqlWatchLog
from escrowd.store.work import escrow_key
from escrowd.testing.chain_sight import ScriptedSight
from escrowd.testing.house import LabHouse
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import WalletSet, wallet_sets
from escrowd.wallets.caches import RemadeCache
from escrowd.wallets.process import WalletProcess
from escrowd.wallets.server import WalletServer
from escrowd.wallets.settings import AtExit, SessionSettings
from escrowd.wallets.vault import Vault
from tests.wallet_fixtures import freeze

ResultT = TypeVar("ResultT")

AMOUNT = 10**12
#: Who gets money in the tests: kept wallets that hold no escrow here.
BUYER, VENDOR, OPERATOR = wallet_sets()[-3:]
#: So many kept sets hold escrows.
SETS = len(wallet_sets()) - 3
#: What a wallet is asked for when it takes part in a payout, and at no other time.
SIGNING = {
    *("export_multisig_info", "import_multisig_info", "transfer", "sweep_all"),
    *("describe_transfer", "sign_multisig", "submit_multisig"),
}
_LEASE = 3600.0


class Crashed(Exception):
    """The service ended here, says the test."""


class Office:
    """Real wallets for a number of escrows, and what outsiders see of the chain."""

    def __init__(
        self, lab: RegtestLab, house: LabHouse, running: RunningHouse, calls: list[CallRecord], news: CacheNews
    ) -> None:
        self.lab = lab
        self.cache_news = news
        #: All calls so far to wallets and daemon.
        self.calls = calls
        self.running = running
        self.vault: Vault = house.house().vault
        self.sets = [house.sets[kept.escrow] for kept in wallet_sets()[:SETS]]
        #: Kept sets that hold a trade now, or something of an earlier one: another trade would find it.
        self._taken: set[int] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, lab: RegtestLab, directory: Path) -> AsyncIterator["Office"]:
        """Open wallets over the chain of a lab, and keep them open, which is what takes the time."""
        async with cls.over(lab, LabHouse.build(lab, directory / "house", len(wallet_sets()))) as office:
            yield office

    @classmethod
    @asynccontextmanager
    async def over(cls, lab: RegtestLab, house: LabHouse) -> AsyncIterator["Office"]:
        """Open the wallets of a house, and close them at the end."""
        settings = SessionSettings(max_sessions=SETS, at_exit=AtExit.CLOSE)
        calls: list[CallRecord] = []
        news = CacheNews()

        def note(remade: RemadeCache) -> None:
            news.note(remade.escrow, CacheRemade(remade.role, remade.reason))

        async with open_wallet_house(house.house(settings), calls.append, note) as running:
            yield cls(lab, house, running, calls, news)

    @property
    def daemon(self) -> MoneroDaemon:
        """The daemon of the lab."""
        return self.lab.daemon

    @asynccontextmanager
    async def trade(self, kept: int, terms: Terms | None = None) -> AsyncIterator["Trade"]:
        """Begin a trade whose wallets are a kept set; it waits for its deposit.

        Where an earlier trade has left something in the wallets of that set, another set takes its place.
        """
        free = [each for each in (kept, *range(SETS)) if each not in self._taken]
        assert free, f"all {SETS} wallet sets hold something of earlier trades: this test needs an Office of its own"
        kept = free[0]
        self._taken.add(kept)
        with tempfile.TemporaryDirectory() as directory:
            async with Database(f"sqlite+aiosqlite:///{directory}/escrowd.sqlite") as database:
                await migrate(database)
                made = Trade(self, self.sets[kept], database)
                await made.begin(terms or a_deal())
                yield made
                await made.look()
                if await made.money_left() == [] and await made.is_all_at_primary():
                    self._taken.discard(kept)

    async def paid_to(self, wallets: WalletSet, txids: Sequence[str]) -> list[int]:
        """Return what transactions pay to outside wallets, in piconero, as their view key shows it."""
        return [each.amount for each in await self.outputs_of(wallets, txids)]

    async def outputs_of(self, wallets: WalletSet, txids: Sequence[str]) -> list[ReceivedOutput]:
        """Return the outputs of transactions to the addresses of a wallet."""
        keys = _keys(wallets)
        found = await self.transactions(txids)
        return [output for one in found for output in _received(one, keys)]

    async def transactions(self, txids: Sequence[str]) -> tuple[Transaction, ...]:
        """Return those of these transactions that the daemon has."""
        return (await self.daemon.get_transactions(txids, decode_as_json=True)).txs if txids else ()

    def server(self, wallets: WalletSet, role: WalletRole) -> WalletServer:
        """Return the process that holds a wallet open at the moment."""
        return self.running.manager._slots[wallets.escrow].open_session.wallets[role].server

    def signed_with(self, wallets: WalletSet) -> set[WalletRole]:
        """Return whose wallets were asked for anything on the way to a signature, since the calls were forgotten."""
        asked = {call.endpoint for call in self.calls if call.method in SIGNING}
        return {role for role in WalletRole if self.server(wallets, role).endpoint in asked}

    def kill(self, wallets: WalletSet, role: WalletRole) -> None:
        """Kill the process of an open wallet: what it has not stored is lost."""
        server = self.server(wallets, role)
        assert isinstance(server, WalletProcess)
        server.running.signal(signal.SIGKILL)

    @contextmanager
    def without_files(self, wallets: WalletSet) -> Iterator[None]:
        """Take all wallet files of an escrow away until the end of the block."""
        directory = self.running.pool.program.wallet_directory
        with tempfile.TemporaryDirectory(dir=directory.parent) as elsewhere:
            taken = [each.rename(Path(elsewhere) / each.name) for each in directory.glob(f"{wallets.escrow}*")]
            assert taken
            try:
                yield
            finally:
                for each in taken:
                    each.rename(directory / each.name)

    def refuse(self, wallets: WalletSet, role: WalletRole, method: str, code: int, message: str) -> None:
        """Let the next call of this method be refused, without reaching the wallet."""
        server = self.server(wallets, role)
        server.transport = _Refusing(server.transport, WALLET_REFUSALS[code](method, code, message))

    def freeze_at(self, wallets: WalletSet, role: WalletRole, method: str) -> None:
        """Stop the process of an open wallet with SIGSTOP at the next call of this method."""
        server = self.server(wallets, role)
        assert isinstance(server, WalletProcess)
        server.transport = _Freezing(server, method)

    def lose_reply(self, wallets: WalletSet, role: WalletRole, method: str) -> None:
        """Let the reply to the next call of this method be lost after the wallet has done it."""
        server = self.server(wallets, role)
        server.transport = _Losing(server.transport, method)


class Trade:
    """One escrow, as far as payouts are concerned."""

    def __init__(self, office: Office, wallets: WalletSet, database: Database) -> None:
        self.office = office
        self.wallets = wallets
        self.id: EscrowId = wallets.escrow
        self.store = SqlStore(database, "test")
        #: How much of the chain is seen, as the test has it.
        self.sight = ScriptedSight()
        self.desk = PayoutDesk(self.store, office.running.manager, office.daemon, office.vault, self.sight)
        self.follower = Following(self.store, office.daemon)
        self._database = database
        self._log = SqlWatchLog(database, office.vault)
        self._queue = SqlWorkQueue(database, "test")
        #: Transactions in which the watcher looks for money and spends.
        self.txids: list[str] = []

    async def begin(self, terms: Terms) -> None:
        """Store the escrow, with its address."""
        checked_terms(terms)
        async with self.store.transaction() as tx:
            moment = await tx.clock.now()
            first = create(self.id, terms, Who.INTEGRATOR, moment)
            await tx.escrows.add(first)
            await tx.escrows.save(step(first.after, KeysReady(self.wallets.address, 1), Who.SERVICE, moment))
        await self._log.keep(WatchedAddress(self.id, self.wallets.address, Secret(self.wallets.secret_view_key), 0))

    def at(self, office: Office) -> "Trade":
        """Return this trade as it goes on in another run of the service."""
        moved = Trade(office, self.wallets, self._database)
        moved.txids = list(self.txids)
        return moved

    # --- what happens ------------------------------------------------------------------------------------------------

    async def pay_in(self, *amounts: int, address: str | None = None) -> tuple[str, ...]:
        """Pay into the escrow from outside. Nothing is mined."""
        txids = await self.office.lab.pay_many([(address or self.wallets.address, amount) for amount in amounts])
        self.txids += dict.fromkeys(txids)
        return txids

    async def fund(self, *amounts: int) -> Escrow:
        """Pay in and wait until the escrow is funded."""
        await self.pay_in(*(amounts or (AMOUNT,)))
        await self.office.lab.mine(10)
        return await self.advance()

    async def say(self, event: Event, who: Who) -> Escrow:
        """Let somebody say something."""
        async with self.store.transaction() as tx:
            taken = step(await tx.escrows.load(self.id), event, who, await tx.clock.now())
            await tx.escrows.save(taken)
            return taken.after

    async def advance(self) -> Escrow:
        """Look at the chain, and carry the escrow as far as it goes now."""
        await self.look()
        handlers = dict.fromkeys(Effect, _nothing) | {
            Effect.VERIFY_FUNDING: _funding_is_right,
            Effect.PAY: self.desk.pay,
            Effect.RETURN_LATE: self.desk.return_late,
        }
        await self._queue.begin(_LEASE)
        rows = await self._queue.claim(frozenset(), 100, _LEASE)
        (row,) = (each for each in rows if each.key == escrow_key(self.id))
        try:
            news = self.office.cache_news
            advance = EscrowAdvance(self.store, handlers, self.follower, self.sight, cache_news=news)
            await advance.advance(self.id, WorkClaim(row, float("inf")))
        finally:
            await self._queue.settle(row, 0)
        return await self.escrow()

    async def finish(self) -> Escrow:
        """Mine until the payout that was sent is final."""
        await self.office.lab.mine(10)
        return await self.advance()

    async def settle(self) -> Escrow:
        """Mine until nothing follows any more."""
        before, after = 0, await self.finish()
        while after.version != before:
            before, after = after.version, await self.finish()
        return after

    # --- what is stored ----------------------------------------------------------------------------------------------

    async def escrow(self) -> Escrow:
        """Return the escrow as it is stored."""
        async with self.store.transaction() as tx:
            return await tx.escrows.load(self.id)

    async def log(self) -> list[LogEntry]:
        """Return the log of the escrow."""
        async with self.store.transaction() as tx:
            return list(await tx.escrows.log(self.id))

    async def payouts(self) -> tuple[Payout, ...]:
        """Return the payouts as they are stored."""
        async with self.store.transaction() as tx:
            return await tx.payouts.all_of(self.id)

    async def attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts at all payouts."""
        async with self.store.transaction() as tx:
            found = [await tx.payouts.attempts(each.id) for each in await tx.payouts.all_of(self.id)]
        return tuple(attempt for attempts in found for attempt in attempts)

    async def lose_bytes(self) -> None:
        """Remove the stored bytes of all signed transactions."""
        async with self._database.transaction() as session:
            await session.connection.execute(delete(schema.raw_transactions))

    def lease(self) -> AbstractAsyncContextManager[Lease]:
        """Lend the wallets to the test."""
        return self.office.running.manager.lease(self.id)

    async def money_left(self) -> list[ReceivedOutput]:
        """Return the outputs that nothing spends yet, in chain or pool."""
        async with self.store.transaction() as tx:
            ledger = await tx.ledgers.ledger(self.id)
            images = dict(await tx.ledgers.key_images(self.id))
        spent = {each.key_image for each in ledger.spends}
        return [each for each in ledger.outputs if images.get(each.key) not in spent]

    async def is_all_at_primary(self) -> bool:
        """Whether no money ever came to another address of the wallets than the first."""
        async with self.store.transaction() as tx:
            ledger = await tx.ledgers.ledger(self.id)
        return all((each.account, each.address_index) == (0, 0) for each in ledger.outputs)

    # --- the watcher -------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Write down what the known transactions pay to the escrow and spend of it, in place of what was known."""
        self.txids += [one.txid for each in await self.attempts() for one in each.transactions if one.txid]
        self.txids = list(dict.fromkeys(self.txids))
        found = await self.office.transactions(self.txids)
        keys = _keys(self.wallets)
        outputs = [FoundOutput(self.id, output) for one in found for output in _received(one, keys)]
        noted = {image for _, image in (await self._log.key_images()).key_images}
        spends = [
            FoundSpend(self.id, Spend(image, one.tx_hash, one.block_height))
            for one in found
            for image in key_images_of(one)
            if image in noted
        ]
        header = await self.office.daemon.get_last_block_header()
        await self._log.record(
            Progress(
                rollback=0,
                outputs=tuple(each for each in outputs if each.output.is_mined),
                spends=tuple(each for each in spends if each.spend.height is not None),
                pool=PoolFindings(
                    tuple(each for each in outputs if not each.output.is_mined),
                    tuple(each for each in spends if each.spend.height is None),
                ),
                cursor=Cursor(header.height + 1, header.timestamp, "", ()),
            )
        )


def a_deal(amount: int = AMOUNT, **changes: object) -> Terms:
    """Return terms under which all money goes to outside wallets."""
    made = Terms(Network.REGTEST, amount, refund_address=BUYER.address, payout_address=VENDOR.address)
    return replace(made, **changes)  # type: ignore[arg-type] # names and types are the test's


def with_fee(basis_points: int = 250) -> Terms:
    """Return terms under which the operator earns a part of what the vendor gets."""
    return replace(a_deal(), fee=FeeRule(basis_points, OPERATOR.address))


def subaddress(wallets: WalletSet, account: int, index: int) -> str:
    """Return a further address of a kept wallet, which need not have made it."""
    keys = _keys(wallets)
    (spend_key,) = (each for each, place in keys.addresses.items() if place == (account, index))
    view_key = crypto_scalarmult_ed25519_noclamp(keys.view_key, spend_key)
    return str(MoneroAddress.of_keys(Network.REGTEST, AddressKind.SUBADDRESS, spend_key, view_key))


def key_images_of(transaction: Transaction) -> list[str]:
    """Return what a transaction spends."""
    return [each["key"]["k_image"] for each in json.loads(transaction.as_json)["vin"] if "key" in each]


# ---------------------------------------------------------------------------------------------------------------------


class _Losing:
    """Hands calls on, and loses the reply to the first one of a method."""

    def __init__(self, transport: Transport, method: str) -> None:
        self._transport = transport
        self._method = method

    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        reply = await self._transport.call(method, params, result)
        if method.name == self._method:
            raise OutcomeUnknown(f"the reply to {method.name} was lost")
        return reply


class _Freezing:
    """Hands calls on, to a process that is stopped at the first one of a method."""

    def __init__(self, server: WalletProcess, method: str) -> None:
        self._transport = server.transport
        self._server = server
        self._method = method

    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        if method.name == self._method:
            await freeze(self._server.running)
        return await self._transport.call(method, params, result)


class _Refusing:
    """Hands calls on, and refuses the first one of a method."""

    def __init__(self, transport: Transport, refusal: Refused) -> None:
        self._transport = transport
        self._refusals = [refusal]

    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        if self._refusals and self._refusals[0].method == method.name:
            raise self._refusals.pop()
        return await self._transport.call(method, params, result)


async def _nothing(_task: Task) -> tuple[Event, ...]:
    return ()


async def _funding_is_right(_task: Task) -> tuple[Event, ...]:
    return (FundingVerified(),)


def _keys(wallets: WalletSet) -> WatchedKeys:
    watched = WatchedAddress(wallets.escrow, wallets.address, Secret(wallets.secret_view_key), 0)
    return WatchedKeys.of(watched, Network.REGTEST, Lookahead())


def _received(one: Transaction, keys: WatchedKeys) -> list[ReceivedOutput]:
    prepared = Prepared.of(parse_transaction(one.tx_hash, bytes.fromhex(one.as_hex)))
    outputs = received(prepared, keys)
    if one.block_height is None:
        return list(outputs)
    place = Place(one.block_height, one.output_indices)
    return [place.of(each) for each in outputs]
