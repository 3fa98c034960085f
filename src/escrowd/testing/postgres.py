"""A PostgreSQL server of our own, for tests: a new directory, a free loopback port, and nothing left afterwards.

Unless it is asked to be durable it may lose data in a power cut (``fsync`` is off), and never in a crash of the server.
"""

import asyncio
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import asyncpg  # type: ignore[import-untyped] # its types are in another package

from escrowd.domain.errors import EscrowdError, Fault, Retry
from escrowd.testing.ports import LOOPBACK
from escrowd.wallets.running import RunningProcess

#: Seconds until a server must answer. Measured: 0.3 s; the rest is for a machine that is busy.
START_TIMEOUT: Final = 60.0
#: Seconds that a server gets to end. Measured: 0.1 s.
PATIENCE: Final = 20.0
#: How often other ports are tried when somebody else took the one that was free a moment ago.
PORT_TRIES: Final = 5
PREFIX: Final = "escrowd-postgres-"
#: A lock file younger than this, in seconds, may not be locked yet.
YOUNG: Final = 60.0
#: The one user of the server.
USER: Final = "escrowd"


class PostgresMissing(EscrowdError):
    """PostgreSQL is not installed."""

    fault = Fault.OPERATOR


class PostgresNotStarted(EscrowdError):
    """A PostgreSQL server for tests could not be started."""

    fault = Fault.OPERATOR
    retry = Retry.SAFE


class PostgresServer:
    """A server for one test session. Use it with ``async with``.

    It keeps its port: after :meth:`stop` or :meth:`kill`, :meth:`start` brings it back with the same data. It ends with
    the process that made it, also when that is killed.
    """

    def __init__(self, *, is_durable: bool = False) -> None:
        self._programs = find_programs()
        self._is_durable = is_durable
        self._directory: Path | None = None
        self._lock = -1
        self._process: RunningProcess | None = None
        self._port = 0
        self._password = secrets.token_hex(16)

    async def __aenter__(self) -> Self:
        remove_abandoned()
        self._directory = Path(tempfile.mkdtemp(prefix=PREFIX))
        try:
            self._lock = _locked(self._directory / "lock")
            self._directory.chmod(0o700)
            if (account := _account()) is not None:
                os.chown(self._directory, account.pw_uid, account.pw_gid)
            await self._make_cluster()
            await self.start()
        except BaseException:
            await asyncio.shield(self._remove())
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(self._remove())

    def url(self, name: str) -> str:
        """Return where a database is, as SQLAlchemy wants it."""
        return f"postgresql+asyncpg://{USER}:{self._password}@{LOOPBACK}:{self._port}/{name}"

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            PostgresNotStarted: it ended or did not answer in time; the message holds the end of its log.

        """
        has_place = self._port != 0
        for tries_left in reversed(range(PORT_TRIES)):
            if not has_place:
                self._port = _lasting_port()
            self._log.unlink(missing_ok=True)
            self._process = RunningProcess.spawn(self._as_user(self._server_command()), _ENVIRONMENT, self._log)
            try:
                await self._become_ready(self._process)
            except PostgresNotStarted:
                await self.kill()
                if not tries_left or "could not bind" not in self._last_words():
                    raise
            else:
                return

    async def stop(self) -> None:
        """End it in order, whoever is connected."""
        process, self._process = self._process, None
        if process is not None:
            process.signal(_FAST_SHUTDOWN)
            if not await process.wait(PATIENCE):
                await process.kill()
            process.close()

    async def kill(self) -> None:
        """End it at once; its next start recovers."""
        process, self._process = self._process, None
        if process is not None:
            # The children of a server that is killed with SIGKILL live on for a while; it ends them itself on SIGQUIT.
            process.signal(_IMMEDIATE_SHUTDOWN)
            if not await process.wait(PATIENCE):
                await process.kill()
            process.close()

    @asynccontextmanager
    async def database(self, template: str = "template0") -> AsyncIterator[str]:
        """Make a database that is a copy of another one, and give its name; it is dropped at the end of the block."""
        name = f"test_{secrets.token_hex(6)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            await self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def execute(self, statement: str, name: str = "postgres") -> None:
        """Run one statement in a database, outside of any transaction."""
        connection = await self._connect(name)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    # --- the process --------------------------------------------------------------------------------------------------

    async def _make_cluster(self) -> None:
        password_file = self._home / "password"
        password_file.write_text(self._password)
        if (account := _account()) is not None:
            os.chown(password_file, account.pw_uid, account.pw_gid)
        command = [
            str(self._programs / "initdb"),
            f"--pgdata={self._home / 'data'}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        process = RunningProcess.spawn(self._as_user(command), _ENVIRONMENT, self._log)
        ended = await process.wait(START_TIMEOUT)
        await process.kill()
        process.close()
        if not ended or not (self._home / "data" / "PG_VERSION").exists():
            raise PostgresNotStarted(f"initdb made no cluster: {self._last_words()}")

    def _server_command(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": self._port,
            "unix_socket_directories": "",
            "max_connections": 200,
            "shared_buffers": "32MB",
            "fsync": "on" if self._is_durable else "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._programs / "postgres"), "-D", str(self._home / "data"), *options]

    def _as_user(self, command: Sequence[str]) -> list[str]:
        """Let a program run as somebody who is not root, which PostgreSQL refuses to be, and end when we do."""
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise PostgresMissing("setpriv is not on the PATH; on Debian it is part of util-linux")
        account = _account()
        identity = [] if account is None else [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}"]
        groups = [] if account is None else ["--clear-groups"]
        return [setpriv, *identity, *groups, "--pdeathsig=QUIT", "--", *command]

    async def _become_ready(self, process: RunningProcess) -> None:
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while not await self._answers():
            if not process.is_alive:
                raise PostgresNotStarted(f"PostgreSQL ended at its start: {self._last_words()}")
            if asyncio.get_running_loop().time() > deadline:
                raise PostgresNotStarted(f"PostgreSQL does not answer: {self._last_words()}")
            await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            # Only our own server knows the password.
            connection = await self._connect("postgres")
        except (OSError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True

    async def _connect(self, name: str) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=LOOPBACK, port=self._port, user=USER, password=self._password, database=name, ssl=False
        )

    async def _remove(self) -> None:
        await self.kill()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def _home(self) -> Path:
        if self._directory is None:
            raise RuntimeError("a PostgresServer is used inside 'async with' only")
        return self._directory

    @property
    def _log(self) -> Path:
        return self._home / "log"

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines() if self._log.exists() else []
        return " / ".join(line.strip() for line in lines[-8:]) or "it left no log"


def remove_abandoned() -> None:
    """Remove the directories of servers whose process was killed."""
    owners = {os.geteuid()} | ({account.pw_uid} if (account := _account()) is not None else set())
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        # What another user put there is not ours to remove, and another session may remove the same.
        with suppress(FileNotFoundError):
            if lock.parent.lstat().st_uid in owners and time.time() - lock.lstat().st_mtime > YOUNG:
                _remove_unless_locked(lock)


def find_programs() -> Path:
    """Return the directory of PostgreSQL's programs: the newest of Debian's, or that on the ``PATH``.

    Raises:
        PostgresMissing: there is none.

    """
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    found = shutil.which("initdb") or (str(debian[-1]) if debian else None)
    if found is None:
        raise PostgresMissing("PostgreSQL's server is not installed; on Debian, 'apt install postgresql' brings it")
    return Path(found).resolve().parent


# ---------------------------------------------------------------------------------------------------------------------

#: What the server takes these signals for (``pmdie`` in its ``postmaster.c``).
_FAST_SHUTDOWN: Final = signal.SIGINT
_IMMEDIATE_SHUTDOWN: Final = signal.SIGQUIT

_ENVIRONMENT: Final = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _locked(path: Path) -> int:
    """Make a file and lock it for as long as it is open."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _remove_unless_locked(path: Path) -> None:
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    else:
        shutil.rmtree(path.parent, ignore_errors=True)
    finally:
        os.close(file)


#: Below the range from which Linux takes ports for outgoing connections (``ip_local_port_range``).
_LASTING_PORTS: Final = range(20_000, 32_000)


def _lasting_port() -> int:
    """Return a free port that no outgoing connection takes while the server is stopped."""
    while True:
        port = secrets.choice(_LASTING_PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind((LOOPBACK, port))
            return port


def _account() -> pwd.struct_passwd | None:
    """Return whom to run as; ``None`` for: as we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
