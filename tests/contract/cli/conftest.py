import asyncio
import multiprocessing
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from escrowd.cli.main import run
from escrowd.domain.escrow.machine import Step
from escrowd.domain.escrow.status import Status
from escrowd.store.database import Database
from escrowd.store.store import SqlStore
from escrowd.testing.ports import free_ports
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.contract.store.samples import life, store_steps

#: Seconds that a command gets on a busy machine, most of them to load its program.
PATIENCE = 120.0


#: Forks processes off one that has loaded the program, which takes seconds.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["escrowd.cli.main"])


def run_here(arguments: list[str], environment: dict[str, str], place: str) -> None:
    """Become the command: with its arguments, its environment, and files for what it reads and says."""
    for number, (name, flags) in enumerate((("in", os.O_RDONLY), ("out", WRITTEN), ("err", WRITTEN))):
        os.dup2(os.open(f"{place}/{name}", flags, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - as at a start
    sys.argv = arguments
    os.environ.clear()
    os.environ.update(environment)
    run()


WRITTEN = os.O_WRONLY | os.O_CREAT


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document of its standard output."""
        assert (self.code, self.err) == (0, "")
        return msgspec.json.decode(self.out)


@dataclass(frozen=True)
class Commands:
    """The command line over one database, in processes of its own."""

    directory: Path
    database_url: str
    key: bytes
    api_port: int
    #: Nobody answers there: what needs a daemon has to do without.
    daemon_port: int

    @property
    def config(self) -> Path:
        return self.directory / "escrowd.toml"

    @property
    def vault(self) -> Vault:
        return Vault(self.key)

    def write_settings(self) -> None:
        key_file = self.directory / "vault.key"
        key_file.write_text(self.key.hex())
        key_file.chmod(0o600)
        self.config.write_text(
            f'network = "regtest"\n'
            f'data_directory = "{self.directory / "data"}"\n'
            f'database.url = "{self.database_url}"\n'
            f'vault.key_file = "{key_file}"\n'
            f"api.port = {self.api_port}\n"
            f"daemon.port = {self.daemon_port}\n"
        )

    async def run(
        self, *arguments: str, answer: str = "", environment: Mapping[str, str] | None = None, config: bool = True
    ) -> Said:
        """Run a command to its end, in a process of its own; ``answer`` is what a person types."""
        place = Path(tempfile.mkdtemp(dir=self.directory))
        (place / "in").write_text(answer)
        named = ["--config", str(self.config)] if config else []
        process = FORKS.Process(
            target=run_here, args=(["escrowd", *arguments, *named], self.environment(environment), str(place))
        )
        process.start()
        await asyncio.to_thread(process.join, PATIENCE)
        assert process.exitcode is not None, f"{arguments} does not end"
        said = Said(process.exitcode, (place / "out").read_text(), (place / "err").read_text())
        shutil.rmtree(place)
        return said

    async def runs(self, *commands: str, **options: Any) -> list[Said]:
        """Run commands at the same time; each is a line."""
        return await asyncio.gather(*(self.run(*each.split(), **options) for each in commands))

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("ESCROWD_", "COLUMNS"))}
        return plain | dict(more or {})


@pytest.fixture
def commands(database_url: str, tmp_path: Path) -> Commands:
    made = Commands(tmp_path, database_url, secrets.token_bytes(KEY_BYTES), *free_ports(2))
    made.write_settings()
    return made


async def live(database: Database, status: Status) -> str:
    """Store the first escrow with its life up to a status, and return its id."""
    return await stored(database, life(status))


async def stored(database: Database, steps: Iterable[Step]) -> str:
    """Store the steps of an escrow, and return its id."""
    taken = list(steps)
    await store_steps(SqlStore(database, "node-1"), taken)
    return taken[-1].after.id
