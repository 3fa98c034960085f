"""One monero-wallet-rpc child: its command line, its start, its end.

A child is made to outlive us: killed with kill -9, the service finds its open wallets again at the next start instead
of paying seconds for each of them. So each child has a record in the registry before it runs.
"""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import structlog
from typing_extensions import override

from escrowd.domain.networks import Network
from escrowd.domain.secret import Secret
from escrowd.monero.errors import WALLET_REFUSALS, MoneroError, UnknownVersion
from escrowd.monero.programs import release_of
from escrowd.monero.transport import Connections, Endpoint, HttpTransport, Login
from escrowd.monero.versions import Capability, capabilities
from escrowd.wallets.errors import ProcessNotStarted
from escrowd.wallets.registry import Holding, ProcessRecord, Registry
from escrowd.wallets.running import RunningProcess
from escrowd.wallets.server import WalletServer
from escrowd.wallets.vault import Vault, random_password

log = structlog.get_logger()

LOOPBACK: Final = "127.0.0.1"
#: Seconds until a fresh process must answer. 0.18.0.0 takes one: it first measures the processor's clock for a
#: second (``get_ticks_per_ns`` in ``perf_timer.cpp``); 0.18.5.3 takes a tenth. The rest is for a machine that is busy.
START_TIMEOUT: Final = 20.0
#: How often another port is tried when somebody else took the one that was free a moment ago.
PORT_TRIES: Final = 3

_USERNAME: Final = "escrowd"
_NETWORK_OPTIONS: Final[Mapping[Network, tuple[str, ...]]] = {
    Network.MAINNET: (),
    Network.STAGENET: ("--stagenet",),
    Network.TESTNET: ("--testnet",),
}


@dataclass(frozen=True, slots=True)
class WalletProgram:
    """How to run monero-wallet-rpc: which program, on which network, against which daemon, over which wallet files."""

    path: Path
    network: Network
    daemon_host: str
    daemon_port: int
    wallet_directory: Path

    def command(self, port: int, log_file: Path) -> list[str]:
        """Return the command line. The login is not in it: it goes through the environment, where ``ps`` is blind.

        Both ``ssl disabled`` matter: automatic detection makes an RSA key at every start and every open.

        Raises:
            UnknownVersion: the program prints no version of Monero.

        """
        return [
            str(self.path),
            *self._network_options(),
            f"--daemon-address={self.daemon_host}:{self.daemon_port}",
            "--trusted-daemon",
            "--daemon-ssl=disabled",
            f"--rpc-bind-ip={LOOPBACK}",
            f"--rpc-bind-port={port}",
            "--rpc-ssl=disabled",
            f"--wallet-dir={self.wallet_directory}",
            f"--shared-ringdb-dir={self.wallet_directory / 'ringdb'}",
            "--no-dns",
            "--log-level=0",
            "--max-log-file-size=10485760",
            "--max-log-files=2",
            f"--log-file={log_file}",
        ]

    def _network_options(self) -> tuple[str, ...]:
        if self.network is not Network.REGTEST:
            return _NETWORK_OPTIONS[self.network]
        # A wallet holds the blocks of a private chain against mainnet's table of forks (``check_hard_fork_version``).
        # On a public network that check is wanted: it is how an outdated wallet says so.
        checks_forks = Capability.MISMATCHED_DAEMON_FLAG in capabilities(release_of(self.path))
        return ("--allow-mismatched-daemon-version",) if checks_forks else ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every child shares: the connections, the daemon, the registry and the vault."""

    connections: Connections
    daemon: Endpoint
    registry: Registry
    vault: Vault


class WalletProcess(WalletServer):
    """A running monero-wallet-rpc child of this service, started or adopted."""

    def __init__(self, name: str, endpoint: Endpoint, running: RunningProcess, around: Surroundings) -> None:
        self._http = HttpTransport(around.connections, endpoint, WALLET_REFUSALS, one_at_a_time=True)
        super().__init__(name, endpoint, self._http, around.daemon)
        self.running = running
        self._around = around
        self._sealed_login = ""

    @classmethod
    async def start(cls, program: WalletProgram, around: Surroundings) -> Self:
        """Start a child and wait until it answers.

        Raises:
            ProcessNotStarted: it ended or did not answer in time; the message holds the end of its log.

        """
        for tries_left in reversed(range(PORT_TRIES)):
            process = cls._spawn(program, around)
            try:
                await process.become_ready()
            except ProcessNotStarted as error:
                await process.end(patience=0)
                if tries_left and "bind" in str(error).lower():
                    continue
                raise
            except BaseException:
                # Cancelled half-way: nobody would ever own this child.
                await asyncio.shield(process.end(patience=0))
                raise
            log.info(
                "process.started", process=process.name, pid=process.running.identity.pid, url=process.endpoint.url
            )
            return process
        raise AssertionError("unreachable: the last try returns or raises")

    @classmethod
    def grip(cls, record: ProcessRecord, around: Surroundings) -> Self | None:
        """Take hold of a child that an earlier run of the service started, or ``None`` where it has ended.

        Raises:
            NotUnsealable: its login was sealed with another vault key.

        """
        running = RunningProcess.grip(record.identity) if record.identity else None
        if running is None:
            return None
        try:
            password = around.vault.unseal(record.sealed_login, _login_purpose(record.name))
        except BaseException:
            running.close()
            raise
        endpoint = Endpoint(LOOPBACK, record.port, Login(_USERNAME, password))
        process = cls(record.name, endpoint, running, around)
        process._sealed_login = record.sealed_login
        process.holding = record.holding
        return process

    @property
    @override
    def is_alive(self) -> bool:
        return self.running.is_alive

    @property
    @override
    def kept_log(self) -> Path | None:
        return self._around.registry.kept_log(self.name)

    async def become_ready(self) -> None:
        """Wait for the first answer, and turn off the refresh that the process would do every 20 seconds.

        Raises:
            ProcessNotStarted: it ended or did not answer in time.

        """
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while True:
            try:
                # Briefly: on a port that somebody else took, a stranger may listen and never answer.
                async with asyncio.timeout(1.0):
                    await self.client.get_version()
                await self.client.set_auto_refresh(enabled=False)
            except (MoneroError, TimeoutError) as error:
                if not self.is_alive:
                    raise ProcessNotStarted(f"monero-wallet-rpc ended at its start: {self._last_words()}") from error
                if asyncio.get_running_loop().time() > deadline:
                    raise ProcessNotStarted(f"monero-wallet-rpc does not answer: {error}") from error
                await asyncio.sleep(0.01)
            else:
                return

    @override
    def hold(self, holding: Holding | None) -> None:
        """Note which wallet is open here, in memory and in the registry, for the next start of the service."""
        super().hold(holding)
        self._around.registry.write(self._record())

    @override
    def condemn(self, reason: str) -> None:
        log.error("process.condemned", process=self.name, pid=self.running.identity.pid, reason=reason)
        self.fault = reason
        self.raise_fence()
        self.running.signal(signal.SIGKILL)

    @override
    async def end(self, patience: float) -> None:
        """End the child, saving its wallet if ``patience`` (seconds) allows, and forget it."""
        self.raise_fence()
        try:
            if patience > 0 and self.fault is None:
                await self.running.end(patience)
            else:
                await self.running.kill()
            if self.fault is not None:
                self._around.registry.keep_log(self.name)
            self._around.registry.forget(self.name)
        finally:
            # Where this is cancelled, the record stays, and the next start of the service ends or adopts the process.
            self.running.close()
            await self._http.close()

    def leave(self) -> None:
        """Give up the grip and leave the child running, for adoption by the next start."""
        self._around.registry.write(self._record())
        self.raise_fence()
        self.running.close()

    @classmethod
    def _spawn(cls, program: WalletProgram, around: Surroundings) -> Self:
        name = "wallet-" + secrets.token_hex(8)
        password = random_password()
        sealed = around.vault.seal(password, _login_purpose(name))
        port = _free_port(around.registry.ports)
        around.registry.write(ProcessRecord(name, port, sealed))
        try:
            running = RunningProcess.spawn(
                program.command(port, around.registry.log_file(name)),
                _environment(password),
                around.registry.output_file(name),
            )
        except (OSError, UnknownVersion) as error:
            around.registry.forget(name)
            raise ProcessNotStarted(f"{program.path} cannot be started: {error}") from error
        process = cls(name, Endpoint(LOOPBACK, port, Login(_USERNAME, password)), running, around)
        process._sealed_login = sealed
        process.hold(None)
        return process

    def _last_words(self) -> str:
        try:
            lines = self._around.registry.output_file(self.name).read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return " / ".join(line.strip() for line in lines[-4:]) or "it left no log"

    def _record(self) -> ProcessRecord:
        return ProcessRecord(self.name, self.endpoint.port, self._sealed_login, self.running.identity, self.holding)


# ---------------------------------------------------------------------------------------------------------------------


def _environment(password: Secret) -> dict[str, str]:
    """Return the environment of a child: its login (``rpc_args.cpp``) and little else, none of our own secrets."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return inherited | {"RPC_LOGIN": f"{_USERNAME}:{password.reveal()}"}


def _login_purpose(name: str) -> str:
    return f"login of process {name}"


def _free_port(taken: Container[int]) -> int:
    """Return a port on which nobody listens, and which no child is going to: it binds only a second after its start."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
