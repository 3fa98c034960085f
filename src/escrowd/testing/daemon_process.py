"""A monerod of our own, on a private chain."""

import asyncio
import os
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import psutil

from escrowd.domain.errors import EscrowdError, Fault, Retry
from escrowd.monero.daemon import MoneroDaemon, daemon_client
from escrowd.monero.errors import MoneroError
from escrowd.monero.programs import MoneroProgram, find_program
from escrowd.monero.transport import Connections, Endpoint
from escrowd.testing import left_behind
from escrowd.testing.ports import LOOPBACK, free_ports
from escrowd.wallets.running import RunningProcess

#: Seconds until a fresh daemon must answer. Measured: 1 s; the rest is for a machine that is busy.
START_TIMEOUT: Final = 60.0
#: Seconds that a daemon gets to close its database. Measured: 1 s.
PATIENCE: Final = 20.0
#: How often other ports are tried when somebody else took those that were free a moment ago.
PORT_TRIES: Final = 5
#: Each open wallet keeps a connection or two. The default of monerod is 25 from one address.
MOST_CONNECTIONS: Final = 4000


class DaemonNotStarted(EscrowdError):
    """A monerod for the private chain could not be started."""

    fault = Fault.OPERATOR
    retry = Retry.SAFE


class RegtestDaemon:
    """A monerod with a private chain in ``data_dir``, on free loopback ports. Use it with ``async with``.

    Wallets know it by its port, so once it has one it keeps it: after :meth:`kill` or :meth:`end`, :meth:`start` brings
    it back at the same place with the same chain.
    """

    def __init__(self, data_dir: Path, connections: Connections, *, notifies: bool = False) -> None:
        self.data_dir = data_dir
        self.log_file = data_dir / "monerod.log"
        self._connections = connections
        self._notifies = notifies
        self._ports: _Ports | None = None
        self._process: RunningProcess | None = None
        self._rpc: MoneroDaemon | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    @property
    def endpoint(self) -> Endpoint:
        """Where it answers RPC."""
        return Endpoint(LOOPBACK, self._known_ports().rpc)

    @property
    def notification_address(self) -> str | None:
        """Where it publishes new blocks and transactions over ZMQ, if it was asked to."""
        return f"tcp://{LOOPBACK}:{self._known_ports().notifications}" if self._notifies else None

    @property
    def rpc(self) -> MoneroDaemon:
        """A client of it."""
        if self._rpc is None:
            raise RuntimeError("a RegtestDaemon is used inside 'async with' only")
        return self._rpc

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.is_alive

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ProgramMissing: monerod is not installed.
            DaemonNotStarted: it ended or did not answer in time; the message holds the end of its log.

        """
        program = find_program(MoneroProgram.DAEMON)
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        has_place = self._ports is not None
        for tries_left in reversed(range(PORT_TRIES)):
            if not has_place:
                self._ports = _Ports(*free_ports(4))
            self._spawn(program)
            try:
                await self._become_ready()
            except _PortTaken as error:
                await self.kill()
                # A daemon that comes back to a place somebody else has taken may get it back a moment later.
                if not tries_left:
                    raise DaemonNotStarted(str(error)) from error
                await asyncio.sleep(0.2 if has_place else 0)
            except BaseException:
                await asyncio.shield(self.kill())
                raise
            else:
                return

    async def end(self) -> None:
        """Ask it to end, so that it closes its database; kill it when that takes too long."""
        process, self._process = self._process, None
        if process is not None:
            await process.end(PATIENCE)
            process.close()

    async def kill(self) -> None:
        """End it at once, as ``kill -9`` does."""
        process, self._process = self._process, None
        if process is not None:
            await process.kill()
            process.close()

    # --- the process --------------------------------------------------------------------------------------------------

    def _spawn(self, program: Path) -> None:
        output = self.data_dir / "monerod.out"
        output.unlink(missing_ok=True)
        self._process = RunningProcess.spawn(self._command(program), _environment(self.data_dir), output)
        left_behind.note(self._process.identity)
        self._rpc = daemon_client(self._connections, self.endpoint)

    def _command(self, program: Path) -> list[str]:
        ports = self._known_ports()
        notifications = ["--no-zmq"]
        if self._notifies:  # ``--no-zmq`` would switch off both
            notifications = [
                f"--zmq-pub=tcp://{LOOPBACK}:{ports.notifications}",
                f"--zmq-rpc-bind-ip={LOOPBACK}",
                f"--zmq-rpc-bind-port={ports.zmq_rpc}",
            ]
        return [
            str(program),
            "--regtest",
            "--keep-fakechain",  # without it a restart begins a new chain
            "--fixed-difficulty=1",
            "--offline",
            f"--data-dir={self.data_dir}",
            f"--log-file={self.log_file}",
            f"--rpc-bind-ip={LOOPBACK}",
            f"--rpc-bind-port={ports.rpc}",
            "--rpc-ssl=disabled",
            f"--rpc-max-connections-per-private-ip={MOST_CONNECTIONS}",
            f"--rpc-max-connections={MOST_CONNECTIONS}",
            "--disable-rpc-ban",
            f"--p2p-bind-ip={LOOPBACK}",
            f"--p2p-bind-port={ports.peers}",
            *notifications,
            "--non-interactive",
            "--no-igd",
            "--hide-my-port",
            "--disable-dns-checkpoints",
            "--check-updates=disabled",
        ]

    async def _become_ready(self) -> None:
        process = self._process
        assert process is not None, "only a daemon that was spawned can become ready"  # noqa: S101
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while not await self._answers(process):
            if not process.is_alive:
                words = self._last_words()
                kind = _PortTaken if "bind" in words or "already in use" in words else DaemonNotStarted
                raise kind(f"monerod ended at its start: {words}")
            if asyncio.get_running_loop().time() > deadline:
                raise DaemonNotStarted(f"monerod does not answer after {START_TIMEOUT:.0f} s: {self._last_words()}")
            await asyncio.sleep(0.02)

    async def _answers(self, process: RunningProcess) -> bool:
        # Who answers on the port could be the stranger who took it: a daemon without a login has no other mark.
        if not _listens(process.identity.pid, self.endpoint.port):
            return False
        try:
            await self.rpc.get_info()
        except MoneroError:
            return False
        return True

    def _last_words(self) -> str:
        try:
            lines = (self.data_dir / "monerod.out").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        return " / ".join(line.strip() for line in lines[-8:]) or "it left no log"

    def _known_ports(self) -> "_Ports":
        if self._ports is None:
            raise RuntimeError("a RegtestDaemon is used inside 'async with' only")
        return self._ports


# ---------------------------------------------------------------------------------------------------------------------


class _PortTaken(Exception):
    pass


class _Ports(NamedTuple):
    rpc: int
    peers: int
    notifications: int
    zmq_rpc: int


def _listens(pid: int, port: int) -> bool:
    try:
        sockets = psutil.Process(pid).net_connections(kind="tcp4")
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)


def _environment(home: Path) -> dict[str, str]:
    """Return the environment of a daemon. With a home of its own it reads nobody's ``bitmonero.conf``."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)}
