"""A place in which the service could run, for the tests of the doctor: everything in it is as it should be."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from escrowd.doctor.check import Surroundings, surroundings_of
from escrowd.doctor.examine import Report, examine
from escrowd.doctor.findings import Finding
from escrowd.doctor.table import CHECKS
from escrowd.domain.access import ApiKeyRecord, Scope
from escrowd.settings.loading import Settings, load_settings
from escrowd.store.access import AccessTable
from escrowd.store.database import Database
from escrowd.testing.ports import free_ports
from escrowd.wallets.vault_key import make_key_file

GENESIS: Final = "ab" * 32
#: Answer of ``hard_fork_info`` about version 17, recorded from monerod 0.18.5.3 and 0.18.0.0, which answer alike.
UNKNOWN_FORK: Final[Mapping[str, Any]] = {
    "credits": 0,
    "earliest_height": 18446744073709551615,
    "enabled": False,
    "state": 0,
    "status": "OK",
    "threshold": 0,
    "top_hash": "",
    "untrusted": False,
    "version": 16,
    "votes": 0,
    "voting": 16,
    "window": 1,
}
#: A block whose miner's transaction pays nothing, and that holds no other.
EMPTY_BLOCK: Final = bytes([16, 16, 0]) + bytes(36) + bytes([2, 60, 1, 0xFF, 7, 0, 0, 0, 0])


class StubDaemon:
    """A monerod that answers what the doctor asks, with what the test wants."""

    def __init__(self) -> None:
        self.port = 0
        self.info: dict[str, Any] = {
            "status": "OK",
            "untrusted": False,
            "height": 1000,
            "top_block_hash": "cd" * 32,
            "target_height": 0,
            "nettype": "stagenet",
            "version": "0.18.5.3-release",
            "offline": False,
            "synchronized": True,
            "restricted": False,
            "busy_syncing": False,
            "tx_pool_size": 0,
            "difficulty": 1,
            "outgoing_connections_count": 8,
            "free_space": 2**40,
        }
        self.hard_fork = dict(UNKNOWN_FORK)
        self.block_time = int(time.time())
        self.blocks: dict[int, str] = {0: GENESIS}
        #: What every block is read as.
        self.block = EMPTY_BLOCK
        #: All of them are in block 903.
        self.transactions: dict[str, bytes] = {}
        #: In place of any answer: a status of HTTP and a body.
        self.rubbish: tuple[int, bytes] | None = None
        self.is_silent = False

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call."""
        if self.is_silent:
            await asyncio.Event().wait()
        if self.rubbish is not None:
            return web.Response(status=self.rubbish[0], body=self.rubbish[1])
        call = msgspec.json.decode(await request.read())
        if call["method"] == "get_info":
            return web.json_response({"result": self.info})
        if call["method"] == "hard_fork_info":
            return web.json_response({"result": self.hard_fork})
        height = call["params"].get("height", self.info["height"] - 1)
        header = {
            "height": height,
            "hash": self.blocks.get(height, "ef" * 32),
            "prev_hash": "ee" * 32,
            "timestamp": self.block_time,
            "depth": 0,
            "orphan_status": False,
            "major_version": 16,
            "reward": 1,
            "num_txes": 0,
        }
        txids = b"".join(map(bytes.fromhex, self.transactions))
        blob = self.block[:-1] + bytes([len(self.transactions)]) + txids
        block = {"miner_tx_hash": "aa" * 32, "json": "{}", "blob": blob.hex(), "tx_hashes": [*self.transactions]}
        return web.json_response({"result": {"status": "OK", "block_header": header, **block}})

    async def answer_transactions(self, request: web.Request) -> web.Response:
        """Answer which of the wanted transactions there are."""
        wanted = msgspec.json.decode(await request.read())["txs_hashes"]
        found = [
            {
                "tx_hash": each,
                "in_pool": False,
                "double_spend_seen": False,
                "pruned_as_hex": self.transactions[each].hex(),
                "block_height": 903,
            }
            for each in wanted
            if each in self.transactions
        ]
        missed = [each for each in wanted if each not in self.transactions]
        return web.json_response({"status": "OK", "txs": found, "missed_tx": missed})


@asynccontextmanager
async def stub_daemon(port: int = 0) -> AsyncIterator[StubDaemon]:
    """Run a stub daemon on a loopback port; 0: any that is free."""
    daemon = StubDaemon()
    application = web.Application()
    application.router.add_post("/json_rpc", daemon.answer)
    application.router.add_post("/get_transactions", daemon.answer_transactions)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    daemon.port = runner.addresses[0][1]
    yield daemon
    await runner.cleanup()


@dataclass(slots=True)
class Place:
    """A directory with data, key and wallet program, and the settings that name them; a test spoils one of them."""

    directory: Path
    settings: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def wallets(self) -> Path:
        """Where the wallet files are."""
        return self.data / "wallets"

    @property
    def key(self) -> Path:
        """The file of the vault key."""
        return self.directory / "vault.key"

    @property
    def program(self) -> Path:
        """The wallet program."""
        return self.directory / "monero-wallet-rpc"

    @property
    def config(self) -> Path:
        """The file of the settings."""
        return self.directory / "escrowd.toml"

    def write(self, **changed: object) -> None:
        """Write the settings, some of them changed; a dot in a name is written as two underscores."""
        self.settings |= {name.replace("__", "."): value for name, value in changed.items()}
        lines = (f"{name} = {msgspec.json.encode(value).decode()}" for name, value in self.settings.items())
        self.config.write_text("\n".join(line for line in lines if not line.endswith("= null")) + "\n")
        self.config.chmod(0o600)

    def loaded(self) -> Settings:
        """Read the settings."""
        return load_settings(self.config, environment=self.environment)

    async def report(self) -> Report:
        """Let the doctor look at everything."""
        return await examine(self.config, self.environment)

    async def look(self, check: str, **changed: Any) -> tuple[Finding, ...]:
        """Make one check, named by the beginning of its name, with some of the surroundings changed."""
        (wanted,) = (each for each in CHECKS if each.name.startswith(check))
        async with surroundings_of(self.loaded()) as around:
            return tuple(await wanted.look(replace(around, **changed)))

    @asynccontextmanager
    async def surroundings(self) -> AsyncIterator[Surroundings]:
        """Give what the checks look at."""
        async with surroundings_of(self.loaded()) as around:
            yield around


def make_place(directory: Path, daemon_port: int, **settings: object) -> Place:
    """Make a place in which nothing is wrong, but that there is no database yet."""
    directory.mkdir(exist_ok=True)
    place = Place(directory, {})
    for each in (place.data, place.wallets):
        each.mkdir(mode=0o700)
    make_key_file(place.key)
    write_program(place.program, "Monero 'Fluorine Fermi' (v0.18.5.3-release)")
    (port,) = free_ports(1)
    usual: dict[str, object] = {
        "network": "stagenet",
        "data_directory": str(place.data),
        "daemon__port": daemon_port,
        "monero__directory": str(directory),
        "vault__key_file": str(place.key),
        "api__port": port,
    }
    place.write(**usual | settings)
    return place


async def store_api_key(database: Database, key: str = "key_of_a_test") -> None:
    """Store an API key that is good, though nobody has its text."""
    async with database.transaction() as session:
        await AccessTable(session).add_key(ApiKeyRecord(key, "test", "", frozenset({Scope.ESCROWS_READ}), 0))


def write_program(path: Path, says: str, mode: int = 0o700) -> None:
    """Write a program that says what is asked of it."""
    # Under another name first: a program that a fork of this process still holds open for writing cannot be run.
    draft = path.with_name(f"draft-{secrets.token_hex(4)}")
    draft.write_text(f'#!/bin/sh\necho "{says}"\n')
    draft.chmod(mode)
    draft.replace(path)


def told(findings: Iterable[Finding], code: str, *, mend: str) -> Finding:
    """Return the one finding, which must have this code and say in these words how to mend it."""
    found = tuple(findings)
    assert [each.code for each in found] == [code], found
    assert mend in found[0].mend
    assert "{" not in found[0].what + found[0].mend
    assert "\n" not in found[0].what + found[0].mend
    return found[0]


def contents(directory: Path) -> Mapping[str, tuple[int, bytes]]:
    """Return the rights and the bytes of all files below a directory, but for the memory that SQLite shares."""
    return {
        str(path): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(directory.rglob("*"))
        if not os.fspath(path).endswith("-shm")
    }
