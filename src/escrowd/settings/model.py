"""What can be set, with the defaults. The names are those of the file; see :mod:`escrowd.settings.loading`."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from escrowd.domain.escrow.terms import DAY, HOUR, Overpayment
from escrowd.domain.money import MAX_PICONERO
from escrowd.domain.networks import Network
from escrowd.domain.outputs import SPENDABLE_AGE
from escrowd.wallets.settings import AtExit

#: Where a daemon of each network answers RPC by default (``RPC_DEFAULT_PORT`` in ``cryptonote_config.h``).
DAEMON_PORTS: Final = {
    Network.MAINNET: 18081,
    Network.STAGENET: 38081,
    Network.TESTNET: 28081,
    Network.REGTEST: 18081,
}
#: Blocks until a deposit is final, where nothing else is said. Reorganisations of 18 blocks have been seen on mainnet.
USUAL_CONFIRMATIONS: Final = 20
#: Piconero that may be missing, where nothing else is said: one unit of the eighth decimal.
USUAL_TOLERANCE: Final = 10_000

Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]
#: Whoever repeats a request after a night must still meet its answer; a century is as good as for ever.
Days = Annotated[int, Field(ge=1, le=36_500)]


class Group(BaseModel):
    """Settings that belong together. A misspelt one is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Daemon(Group):
    """The monerod that is asked and trusted."""

    #: Where it runs. It is spoken to without encryption, and believed.
    host: str = "127.0.0.1"
    #: Its unrestricted RPC port. ``None``: the usual port of the network.
    port: Port | None = None


class Monero(Group):
    """The programs of Monero."""

    #: The directory of ``monero-wallet-rpc``; use 0.18.5.3 or newer with real money. ``None``: the one that
    #: ``ESCROWD_MONERO_DIR`` names, else the one that ``scripts/install-monero`` makes for this user.
    directory: Path | None = None
    #: Start on mainnet also with wallets older than 0.18.5.1, where a wallet process that dies between signing and
    #: saving can reuse nonces and give a private key away.
    allow_unsafe_version: bool = False
    #: Start on mainnet also with Monero 0.19 or newer, or at a hard fork above 16, with which this version of escrowd
    #: was not tested: deposits may not be seen, and payouts may fail or pay other amounts than they should.
    allow_untested_version: bool = False
    #: Height of the first block of an announced hard fork. Needed where the daemon is of a release that does not know
    #: the fork; to be removed when escrowd knows it. ``None``: what the daemon knows.
    fork_height: Annotated[int, Field(ge=1)] | None = None


class DatabaseChoice(Group):
    """Where everything is kept. It may hold a password, so it is shown masked."""

    #: Such as ``postgresql://USER:PASSWORD@HOST/NAME``. ``None``: an SQLite file in the data directory.
    url: SecretStr | None = None


class VaultKey(Group):
    """Where the key comes from that seals all secrets; else from the variable ``ESCROWD_VAULT_KEY``."""

    #: A file of 64 hexadecimal digits that only its owner can read, outside of the data directory.
    key_file: Path | None = None
    #: In place of it a file with a passphrase, from which the key is derived with a salt that lies beside it.
    passphrase_file: Path | None = None


class Api(Group):
    """The HTTP API."""

    #: Where it listens.
    host: str = "127.0.0.1"
    #: 0: any that is free.
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    #: Where others reach it: what links of parties begin with. ``None``: host and port.
    public_url: str | None = None
    #: Proxies, beside those of this machine, that are believed for whom they ask (``X-Forwarded-For``).
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    #: Larger requests are refused before they are read.
    most_body_bytes: Annotated[int, Field(ge=1024, le=2**20)] = 65_536
    #: Of each key, and of each address that has none.
    requests_per_minute: Annotated[int, Field(ge=1)] = 600
    #: Event streams and long polls that may be open at the same time.
    most_waiting: Annotated[int, Field(ge=1)] = 256
    #: Seconds that the end of the service waits for requests under way.
    stop_patience: Seconds = 10.0

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("a public URL begins with https:// or http://, such as https://escrow.example.org")
        return url.rstrip("/") if url else url


class Sessions(Group):
    """Wallet sessions. See ``docs/sessions.md``."""

    #: ``None``: as many as the memory has room for.
    most: Annotated[int, Field(ge=1)] | None = None
    #: Seconds after which one that nobody used is closed.
    ttl: Seconds = 2.0 * HOUR
    #: ``leave`` open wallets for the next start to adopt, or ``close`` them.
    at_exit: AtExit = AtExit.LEAVE


class Stock(Group):
    """Wallets that are made ahead of need."""

    #: Sets of three that wait for an escrow.
    size: Annotated[int, Field(ge=0, le=10_000)] = 6


class EscrowDefaults(Group):
    """Which escrows are taken, and what holds for one whose terms do not say it. Deadlines are seconds."""

    #: ``false`` refuses new escrows and settles all others: drain mode.
    accept_new: bool = True
    #: Refuse new escrows that may last beyond an announced hard fork. ``None``: on mainnet only.
    end_before_fork: bool | None = None
    #: Days before an announced hard fork at which new escrows must have ended.
    fork_margin_days: Annotated[int, Field(ge=0, le=365)] = 3
    #: The least amount of a new escrow, in network fees: so many times the fee that its payout is expected to cost at
    #: the daemon's present rate. What does not leave each receiver more than spending it costs is refused in any case.
    min_fee_multiple: Annotated[int, Field(ge=2, le=1000)] = 10
    #: Blocks until a deposit is final. ``None``: 20, and 10 on regtest.
    confirmations: Annotated[int, Field(ge=SPENDABLE_AGE, le=720)] | None = None
    #: How much less than the amount counts as paid, in piconero, and at most a tenth of the amount. The default covers
    #: wallets that cut amounts at 8 decimals; 0: every piconero must be paid.
    underpayment_tolerance: Annotated[int, Field(ge=0, le=MAX_PICONERO)] = USUAL_TOLERANCE
    #: Where goes what was paid too much: ``return``, to the buyer; ``keep``, to whoever gets the deposit.
    overpayment: Overpayment = Overpayment.RETURN
    #: Until the wallets are made; then the escrow is cancelled.
    keying: Annotated[int, Field(ge=60)] = HOUR
    #: Until the deposit is there; then the escrow expires.
    funding: Annotated[int, Field(ge=60)] = DAY
    #: Until the vendor delivers; then the buyer is refunded.
    delivery: Annotated[int, Field(ge=60)] = 14 * DAY
    #: Until the buyer has objected; then the vendor is paid.
    inspection: Annotated[int, Field(ge=60)] = 3 * DAY
    #: Until the arbiter rules; then they are reminded, and later the operator is told.
    ruling: Annotated[int, Field(ge=60)] = 7 * DAY


class Webhooks(Group):
    """Deliveries of events to the receivers of integrators."""

    #: Private networks that may be sent to all the same, such as ``10.1.0.0/16``.
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    #: Seconds that a receiver may take for one delivery.
    timeout: Seconds = 15.0
    #: Seconds after which an endpoint for which nothing went well is switched off.
    disable_after: Seconds = 5.0 * DAY
    #: Deliveries under way at the same time.
    at_once: Annotated[int, Field(ge=1, le=256)] = 16


class Retention(Group):
    """What is not kept for ever. Escrows, events, payouts and the audit are: they are the history."""

    #: Days for which the answer to an ``Idempotency-Key`` is kept. After that the same key would do the thing anew.
    answers_days: Days = 30
    #: Days for which a delivery of a webhook that was taken is listed, and can be sent again.
    deliveries_days: Days = 90


class Logs(Group):
    """What is told on standard error."""

    #: ``debug``, ``info``, ``warning`` or ``error``.
    level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    #: Each line a JSON object; else lines for people.
    as_json: bool = True


class Tracing(Group):
    """Traces for OpenTelemetry; the package needs the extra ``tracing``."""

    #: Where a collector takes OTLP over HTTP, such as ``http://127.0.0.1:4318/v1/traces``. ``None``: no traces.
    endpoint: str | None = None


class SettingsModel(Group):
    """Everything that can be set."""

    #: ``mainnet``, ``stagenet``, ``testnet`` or ``regtest``.
    network: Network = Network.MAINNET
    #: Holds the database, the wallets and what is known of running processes. Not the vault key.
    data_directory: Path = Path("/var/lib/escrowd")
    #: Names this process among others on the same database.
    node: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9.-]{0,62}$")] = "node-1"
    #: Escrow steps under way at the same time.
    steps_at_once: Annotated[int, Field(ge=1, le=256)] = 16
    daemon: Daemon = Daemon()
    monero: Monero = Monero()
    database: DatabaseChoice = DatabaseChoice()
    vault: VaultKey = VaultKey()
    api: Api = Api()
    sessions: Sessions = Sessions()
    stock: Stock = Stock()
    escrows: EscrowDefaults = EscrowDefaults()
    webhooks: Webhooks = Webhooks()
    retention: Retention = Retention()
    logs: Logs = Logs()
    tracing: Tracing = Tracing()
