"""Runs a sandbox in a directory of its own, in which the next run goes on where this one ends."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from escrowd.api.app import build_app
from escrowd.bootstrap.api import api_over
from escrowd.bootstrap.from_settings import api_limits_of, api_settings_of, house_of
from escrowd.bootstrap.service import RunningService, open_service
from escrowd.bootstrap.serving import served
from escrowd.domain.access import Scope
from escrowd.domain.networks import Network
from escrowd.monero.programs import MoneroProgram, find_program, release_of
from escrowd.sandbox.routes import router
from escrowd.service.front.callers import Callers
from escrowd.settings.loading import Settings, load_settings
from escrowd.store.database import Database
from escrowd.store.migrating import migrate
from escrowd.store.store import SqlShelf
from escrowd.testing.escrow_house import key_set
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import install, wallet_sets
from escrowd.wallets.settings import AtExit
from escrowd.wallets.vault_key import make_key_file

#: Wallets that are made ahead of need once the kept ones are used up.
STOCK: Final = 3
#: Kept wallets that are not given out: their addresses are for payouts.
KEPT_BACK: Final = 2
SCOPES: Final = (Scope.ESCROWS_READ, Scope.ESCROWS_WRITE, Scope.ARBITER, Scope.ADMIN)


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where a running sandbox is reached. The key is worth as much as its money: nothing."""

    api_url: str
    web_url: str
    api_key: str
    daemon_url: str
    #: The release of Monero that chain and wallets run on.
    monero_version: str
    pid: int


@asynccontextmanager
async def sandbox(directory: Path, port: int, tell: Callable[[str], None]) -> AsyncIterator[Sandbox]:
    """Run a sandbox; at the end of the block everything has ended, and its data stay in the directory.

    Raises:
        ProgramMissing: Monero is not installed.
        AlreadyInUse: another sandbox runs in this directory.
        AddressTaken: the port is in use.

    """
    await asyncio.to_thread(directory.mkdir, mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as closers:
        tell("starting a private chain")
        lab = await closers.enter_async_context(RegtestLab.start(tell, directory / "chain"))
        settings = _settings(directory, lab, port)
        await _fill_stock(settings)
        tell("starting the service")
        running = await closers.enter_async_context(open_service(house_of(settings)))
        parts = closers.enter_context(api_over(running, api_settings_of(settings), api_limits_of(settings)))
        app = build_app(parts, [router])
        app.state.lab = lab
        listens = await closers.enter_async_context(served(app, settings.model.api.host, port))
        closers.callback(parts.changes.end)
        url = f"http://{settings.model.api.host}:{listens}"
        yield Sandbox(
            api_url=url,
            # The pages for people are the documents of the API, where requests can be tried.
            web_url=f"{url}/docs",
            api_key=await _api_key(directory, running, parts.callers),
            daemon_url=f"http://{lab.daemon_endpoint.host}:{lab.daemon_endpoint.port}",
            monero_version=str(await asyncio.to_thread(release_of, find_program(MoneroProgram.WALLET_RPC))),
            pid=os.getpid(),
        )


# ---------------------------------------------------------------------------------------------------------------------


def _settings(directory: Path, lab: RegtestLab, port: int) -> Settings:
    """Write the settings of this run, with which the other commands find the sandbox."""
    key = directory / "vault.key"
    if not key.exists():
        make_key_file(key)
    file = directory / "escrowd.toml"
    file.write_text(
        _TEMPLATE.format(
            network=Network.REGTEST,
            data=directory / "data",
            daemon_host=lab.daemon_endpoint.host,
            daemon_port=lab.daemon_endpoint.port,
            monero=find_program(MoneroProgram.WALLET_RPC).parent,
            key=key,
            port=port,
            at_exit=AtExit.CLOSE,
            stock=STOCK,
        ),
        encoding="utf-8",
    )
    return load_settings(file, environment={})


_TEMPLATE: Final = """\
# The settings of a sandbox, written anew at each start: escrowd escrows list --config THIS_FILE
network = "{network}"
data_directory = "{data}"
[daemon]
host = "{daemon_host}"
port = {daemon_port}
[monero]
directory = "{monero}"
[vault]
key_file = "{key}"
[api]
port = {port}
requests_per_minute = 100000
[sessions]
at_exit = "{at_exit}"
most = 12
[stock]
size = {stock}
[webhooks]
allowed_networks = ["127.0.0.0/8", "::1/128"]
"""


async def _fill_stock(settings: Settings) -> None:
    """Put the kept wallets into the stock of a new sandbox: no escrow then waits for keys, which take half a minute."""
    if settings.wallet_directory.exists():
        return
    house = house_of(settings)
    async with Database(house.database_url) as database:
        await migrate(database)
        shelf = SqlShelf(database, house.node)
        for kept in wallet_sets()[:-KEPT_BACK]:
            there = install(kept, settings.wallet_directory)
            await shelf.ready(key_set(there, house.vault, settings.wallet_directory))


async def _api_key(directory: Path, running: RunningService, callers: Callers) -> str:
    """Return the key of this sandbox, which stays the same from run to run."""
    file = directory / "api.key"
    if not file.exists():
        async with running.store.transaction() as tx:
            made = await callers.create_key(tx, "sandbox", SCOPES)
        _write_private(file, made.text.reveal())
    return file.read_text(encoding="ascii")


def _write_private(file: Path, text: str) -> None:
    part = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as written:
        written.write(text)
    part.rename(file)
