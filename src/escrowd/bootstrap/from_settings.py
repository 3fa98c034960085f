"""From the settings to the parts."""

from pathlib import Path

from escrowd.api.parts import ApiSettings
from escrowd.bootstrap.api import ApiLimits
from escrowd.bootstrap.service import ServiceHouse
from escrowd.domain.escrow.terms import DeadlineTerms
from escrowd.domain.retention import Retention
from escrowd.monero.programs import MoneroProgram, ProgramMissing, find_program
from escrowd.service.admission import AdmissionSettings
from escrowd.service.engine import EngineSettings
from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.service.worker import WorkerSettings
from escrowd.settings.errors import InvalidSettings
from escrowd.settings.loading import Settings
from escrowd.wallets.process import WalletProgram
from escrowd.wallets.settings import SessionSettings, sessions_that_fit_in_memory
from escrowd.wallets.stock import StockSettings


def house_of(settings: Settings) -> ServiceHouse:
    """Return the service that the settings describe. Makes its directories, if need be.

    Raises:
        InvalidSettings: monero-wallet-rpc is not where the settings say.
        VaultKeyRefused: the vault key is missing, badly formed, or lies where others can read it.

    """
    model = settings.model
    for directory in (settings.data_directory, settings.wallet_directory, settings.run_directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return ServiceHouse(
        network=model.network,
        program=WalletProgram(
            _wallet_rpc(settings), model.network, model.daemon.host, settings.daemon_port, settings.wallet_directory
        ),
        run_directory=settings.run_directory,
        database_url=settings.database_url,
        vault=settings.vault(),
        node=model.node,
        sessions=SessionSettings(
            max_sessions=model.sessions.most or sessions_that_fit_in_memory(),
            ttl=model.sessions.ttl,
            at_exit=model.sessions.at_exit,
        ),
        stock=StockSettings(size=model.stock.size, low_water=model.stock.size),
        worker=WorkerSettings(concurrency=model.steps_at_once),
        webhooks=webhook_settings_of(settings),
        retention=Retention(model.retention.answers_days, model.retention.deliveries_days),
        admission=AdmissionSettings(
            accept_new=model.escrows.accept_new,
            end_before_fork=settings.ends_before_fork,
            fork_margin_days=model.escrows.fork_margin_days,
            min_fee_multiple=model.escrows.min_fee_multiple,
        ),
        engine=engine_settings_of(settings),
    )


def engine_settings_of(settings: Settings) -> EngineSettings:
    """Return what the operator says of the Monero underneath."""
    return EngineSettings(settings.model.network, settings.allowed_engines, settings.model.monero.fork_height)


def api_settings_of(settings: Settings) -> ApiSettings:
    """Return what the API has to know."""
    model = settings.model
    usual = model.escrows
    return ApiSettings(
        network=model.network,
        public_url=settings.public_url,
        confirmations=settings.confirmations,
        deadlines=DeadlineTerms(usual.keying, usual.funding, usual.delivery, usual.inspection, usual.ruling),
        tolerance=usual.underpayment_tolerance,
        overpayment=usual.overpayment,
        most_body_bytes=model.api.most_body_bytes,
    )


def webhook_settings_of(settings: Settings) -> WebhookSettings:
    """Return how webhooks are sent."""
    said = settings.model.webhooks
    return WebhookSettings(
        allowed_networks=said.allowed_networks,
        timeout=said.timeout,
        disable_after=said.disable_after,
        at_once=said.at_once,
    )


def api_limits_of(settings: Settings) -> ApiLimits:
    """Return how much callers may ask for."""
    return ApiLimits(settings.model.api.requests_per_minute, settings.model.api.most_waiting)


# ---------------------------------------------------------------------------------------------------------------------


def _wallet_rpc(settings: Settings) -> Path:
    try:
        return find_program(MoneroProgram.WALLET_RPC, settings.programs_directory)
    except ProgramMissing as error:
        raise InvalidSettings(f"monero.directory: {error}") from error
