"""Puts together the whole service: database, wallets, watcher, workers, stock, and the door for commands."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from escrowd.bootstrap.adapters import StoredWalletRecords, VaultedWatching, new_escrow_id
from escrowd.bootstrap.chain import ChainSettings, monitor_of
from escrowd.bootstrap.pruning import pruning
from escrowd.bootstrap.vault_check import check_vault_key
from escrowd.bootstrap.wallet_house import RunningHouse, WalletHouse, open_wallet_house
from escrowd.bootstrap.webhooks import webhook_handler
from escrowd.chain.monitor import BlockchainMonitor
from escrowd.domain.cause import present_cause
from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import CacheRemade, Event
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.retention import Retention
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.transport import CallObserver, CallRecord, Endpoint
from escrowd.service.admission import Admission, AdmissionSettings
from escrowd.service.advance import EscrowAdvance, Handler, Task
from escrowd.service.cache_news import CacheNews
from escrowd.service.clock import RunningClock
from escrowd.service.engine import EngineSettings, EngineWatch
from escrowd.service.engine_metrics import EngineCollector
from escrowd.service.funding import FundingCheck
from escrowd.service.housekeeping import Housekeeping
from escrowd.service.keying.effect import KeysEffect
from escrowd.service.keying.keyer import Keyer
from escrowd.service.keying.sets import HostedSets
from escrowd.service.observing import Done, Observer, nobody_wants_to_know
from escrowd.service.orchestrator import EscrowOrchestrator
from escrowd.service.payouts.desk import PayoutDesk
from escrowd.service.payouts.following import Following
from escrowd.service.payouts.rates import FeeRates, normal_fee_rate
from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.service.work_metrics import WorkCollector
from escrowd.service.worker import RowHandler, WorkClaim, Worker, WorkerSettings
from escrowd.store.database import Database
from escrowd.store.migrating import migrate
from escrowd.store.node import Node
from escrowd.store.store import SqlKeyingJournal, SqlShelf, SqlStore, SqlWorkQueue
from escrowd.store.watching import SqlWatchLog
from escrowd.store.webhooks import WEBHOOK
from escrowd.store.work import ESCROW
from escrowd.wallets.caches import RemadeCache
from escrowd.wallets.making import KeepOpen, WalletMaker
from escrowd.wallets.metrics import StockCollector
from escrowd.wallets.pool import PoolBounds
from escrowd.wallets.process import WalletProgram
from escrowd.wallets.sessions import WalletSessionManager
from escrowd.wallets.settings import SessionSettings
from escrowd.wallets.stock import Stock, StockSettings, capacity_of
from escrowd.wallets.vault import Vault

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServiceHouse:
    """Everything that one node of the service is made of."""

    network: Network
    program: WalletProgram
    run_directory: Path
    database_url: str
    vault: Vault
    #: Names this process among others on the same database.
    node: str = "node-1"
    sessions: SessionSettings = field(default_factory=SessionSettings)
    pool: PoolBounds | None = None
    stock: StockSettings = field(default_factory=StockSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    chain: ChainSettings = field(default_factory=ChainSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    retention: Retention = field(default_factory=Retention)
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    #: What the operator says of Monero; ``None``: nothing but the network.
    engine: EngineSettings | None = None
    attached: Sequence[Endpoint] = ()


@dataclass(frozen=True, slots=True)
class RunningService:
    """The parts of the service while they run."""

    orchestrator: EscrowOrchestrator
    store: SqlStore
    database: Database
    wallets: RunningHouse
    monitor: BlockchainMonitor
    stock: Stock
    worker: Worker
    vault: Vault
    #: How webhooks are sent.
    webhooks: WebhookSettings
    #: Which Monero it runs on, and which hard fork comes.
    engine: EngineWatch
    #: What the network asks for, for commands and previews alike.
    fees: FeeRates
    admission: Admission

    @property
    def manager(self) -> WalletSessionManager:
        """Who lends wallets."""
        return self.wallets.manager

    @property
    def daemon(self) -> MoneroDaemon:
        """The daemon that is believed."""
        return self.wallets.daemon

    @property
    def metrics(self) -> CollectorRegistry:
        """What Prometheus collects."""
        return self.wallets.metrics


@asynccontextmanager
async def open_service(
    house: ServiceHouse, observer: CallObserver | None = None, observe: Observer = nobody_wants_to_know
) -> AsyncIterator[RunningService]:
    """Start the service; at the end of the block it stops: steps in hand are finished, wallets saved.

    ``observer`` hears of each call to Monero, ``observe`` of each effect and each call with what it came of.

    Raises:
        AlreadyInUse: another service runs in this directory.
        NodeNameTaken: another process works under this name.
        WrongSchema, DatabaseUnavailable: the database is not one that can be used.
        VaultKeyRefused: the vault key is not that of the wallets.

    """
    async with AsyncExitStack() as closers:
        enter = closers.enter_async_context
        database = await enter(Database(house.database_url))
        await migrate(database)
        await check_vault_key(database, house.vault)
        await enter(Node(database, house.node))
        store = SqlStore(database, house.node)
        wallets, cache_news = await enter(_wallets(house, store, _calls(observer, observe)))
        monitor = await enter(monitor_of(house.chain, house.network, wallets, SqlWatchLog(database, house.vault)))
        stock = await enter(_stock(house, database, wallets))
        await enter(RunningClock(store, monitor))
        keyer = await enter(_keyer(house, wallets, KeepOpen.ALWAYS))
        engine = await enter(_engine_watch(house, store, wallets))
        fees = await enter(FeeRates(partial(normal_fee_rate, wallets.daemon)))
        handlers = _handlers(house, store, wallets, monitor, keyer, database)
        advance = EscrowAdvance(
            store, handlers, Following(store, wallets.daemon), monitor, observe, lambda: engine.notice, cache_news
        )
        deliver = await enter(webhook_handler(store, house.vault, house.webhooks, wallets.metrics))
        worker = await enter(_worker(house, database, wallets, advance, deliver))
        await enter(pruning(store, house.retention, wallets.metrics))
        admission = _admission(house, engine, fees, wallets)
        orchestrator = EscrowOrchestrator(store, on_taken=stock.taken, admit=admission.check, fee_rate=fees.normal)
        yield RunningService(
            orchestrator=orchestrator,
            store=store,
            database=database,
            wallets=wallets,
            monitor=monitor,
            stock=stock,
            worker=worker,
            vault=house.vault,
            webhooks=house.webhooks,
            engine=engine,
            fees=fees,
            admission=admission,
        )


# ---------------------------------------------------------------------------------------------------------------------


def _wallet_house(house: ServiceHouse, store: SqlStore) -> WalletHouse:
    return WalletHouse(
        house.program,
        house.run_directory,
        house.vault,
        StoredWalletRecords(store),
        house.sessions,
        house.pool,
        house.attached,
    )


def _engine_watch(house: ServiceHouse, store: SqlStore, wallets: RunningHouse) -> EngineWatch:
    settings = house.engine or EngineSettings(house.network)
    return EngineWatch(wallets.daemon, house.program.path, settings, store)


def _admission(house: ServiceHouse, engine: EngineWatch, fees: FeeRates, wallets: RunningHouse) -> Admission:
    admission = Admission(house.admission, lambda: engine.state, fees.normal)
    wallets.metrics.register(EngineCollector(lambda: engine.state, is_draining=admission.is_draining))
    return admission


@asynccontextmanager
async def _wallets(
    house: ServiceHouse, store: SqlStore, calls: CallObserver
) -> AsyncIterator[tuple[RunningHouse, CacheNews]]:
    news = CacheNews()

    def note(remade: RemadeCache) -> None:
        news.note(remade.escrow, CacheRemade(remade.role, remade.reason))

    async with open_wallet_house(_wallet_house(house, store), calls, note) as wallets:
        yield wallets, news


def _keyer(house: ServiceHouse, wallets: RunningHouse, keep_open: KeepOpen) -> Keyer:
    async def height() -> int:
        return (await wallets.daemon.get_info()).height

    return Keyer(WalletMaker(wallets.opener, wallets.manager, keep_open), house.vault, height, house.network)


@asynccontextmanager
async def _stock(house: ServiceHouse, database: Database, wallets: RunningHouse) -> AsyncIterator[Stock]:
    async with _keyer(house, wallets, KeepOpen.IF_ROOM) as keyer:
        stock = Stock(
            SqlShelf(database, house.node),
            HostedSets(keyer),
            partial(capacity_of, wallets.opener, wallets.manager),
            new_escrow_id,
            house.stock,
        )
        async with stock:
            wallets.metrics.register(StockCollector(stock.stats))
            yield stock


def _calls(observer: CallObserver | None, observe: Observer) -> CallObserver:
    """Log each call to Monero under what it came of, and tell those who want to know."""

    def call_ended(record: CallRecord) -> None:
        if observer is not None:
            observer(record)
        log.debug("rpc", method=record.method, seconds=round(record.seconds, 4), outcome=record.outcome)
        attributes: dict[str, str | int] = {"outcome": record.outcome, "port": record.endpoint.port}
        observe(Done(f"rpc {record.method}", present_cause(), record.seconds, attributes))

    return call_ended


def _handlers(
    house: ServiceHouse,
    store: SqlStore,
    wallets: RunningHouse,
    monitor: BlockchainMonitor,
    keyer: Keyer,
    database: Database,
) -> dict[Effect, Handler]:
    """Return what carries out each effect."""
    desk = PayoutDesk(store, wallets.manager, wallets.daemon, house.vault, monitor)
    funding = FundingCheck(store, wallets.manager, wallets.daemon)
    housekeeping = Housekeeping(store, VaultedWatching(monitor, house.vault), wallets.manager)
    keys = KeysEffect(keyer, SqlKeyingJournal(database, house.node))

    async def return_late(task: Task) -> tuple[Event, ...]:
        # An address at rest is looked at seldom, and what is sent has to be followed closely.
        await housekeeping.watch(task)
        return await desk.return_late(task)

    handlers: dict[Effect, Handler] = {
        Effect.MAKE_KEYS: keys.make_keys,
        Effect.WATCH: housekeeping.watch,
        Effect.VERIFY_FUNDING: funding.verify_funding,
        Effect.VERIFY_UNFUNDED: funding.verify_unfunded,
        Effect.PAY: desk.pay,
        Effect.RETURN_LATE: return_late,
        Effect.REST: housekeeping.rest,
        Effect.REMIND_ARBITER: housekeeping.remind_arbiter,
        Effect.TELL_OPERATOR: housekeeping.tell_operator,
    }
    return handlers


def _worker(
    house: ServiceHouse, database: Database, wallets: RunningHouse, advance: EscrowAdvance, deliver: RowHandler
) -> Worker:
    async def carry_out(claim: WorkClaim) -> float | None:
        return await advance.advance(EscrowId(claim.subject), claim)

    settings = replace(house.worker, places={**house.worker.places, WEBHOOK: house.webhooks.at_once})
    worker = Worker(SqlWorkQueue(database, house.node), {ESCROW: carry_out, WEBHOOK: deliver}, settings)
    database.on_wake(worker.wake)
    wallets.metrics.register(WorkCollector(worker))
    return worker
