"""A monero-wallet-rpc that no service owns: the wallet of a stranger, of a party with own keys, of a benchmark."""

import secrets
from pathlib import Path

from escrowd.domain.networks import Network
from escrowd.monero.programs import MoneroProgram, find_program
from escrowd.monero.transport import Connections, Endpoint
from escrowd.testing import left_behind
from escrowd.wallets.process import LOOPBACK, Surroundings, WalletProcess, WalletProgram
from escrowd.wallets.registry import Registry
from escrowd.wallets.running import RunningProcess
from escrowd.wallets.vault import KEY_BYTES, Vault

#: Seconds that a wallet process gets to save its wallet.
PATIENCE = 20.0


def regtest_program(
    daemon_port: int, wallet_directory: Path, path: Path | None = None, host: str = LOOPBACK
) -> WalletProgram:
    """Return how to run monero-wallet-rpc, the installed one unless a path is given, on a private chain.

    Raises:
        ProgramMissing: it is not installed.

    """
    path = path or find_program(MoneroProgram.WALLET_RPC)
    return WalletProgram(path, Network.REGTEST, host, daemon_port, wallet_directory)


async def start_wallet_process(
    connections: Connections, daemon: Endpoint, wallet_dir: Path, run_dir: Path
) -> WalletProcess:
    """Start a wallet process over the wallet files of ``wallet_dir``. It does not refresh on its own.

    Its log and its record go to ``run_dir``. End it with ``await process.end(PATIENCE)``.

    Raises:
        ProgramMissing: monero-wallet-rpc is not installed.
        ProcessNotStarted: it ended or did not answer in time.

    """
    for directory in (wallet_dir, run_dir):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    program = regtest_program(daemon.port, wallet_dir, host=daemon.host)
    # The login is thrown away with the vault key: nobody will adopt this process.
    around = Surroundings(connections, daemon, Registry(run_dir), Vault(secrets.token_bytes(KEY_BYTES)))
    process = await WalletProcess.start(program, around)
    left_behind.note(process.running.identity)
    return process


async def end_leftover_wallets(run_dir: Path) -> None:
    """End the wallet processes that an earlier run left behind with their records in this directory."""
    registry = Registry(run_dir)
    for record in registry.records():
        process = RunningProcess.grip(record.identity) if record.identity else None
        if process is not None:
            await process.end(PATIENCE)
            process.close()
        registry.forget(record.name)
