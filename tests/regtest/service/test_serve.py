"""``escrowd serve`` over a real daemon: ready when it can work, and gone without a loss when it is told to stop."""

import signal
from pathlib import Path

import httpx
import pytest

from escrowd.monero.programs import programs_directory
from escrowd.service.front.callers import Callers
from escrowd.settings.loading import load_settings
from escrowd.store.database import Database
from escrowd.store.store import SqlShelf, SqlStore
from escrowd.testing.escrow_house import key_set
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import install, wallet_sets
from escrowd.wallets.vault_key import make_key_file
from tests.regtest.service.commands import as_json, carried_out, line_with, started, until, wallet_processes


def settings_file(directory: Path, lab: RegtestLab, at_exit: str) -> Path:
    key = directory / "vault.key"
    make_key_file(key)
    file = directory / "escrowd.toml"
    file.write_text(
        f'network = "regtest"\ndata_directory = "{directory / "data"}"\n'
        f'[daemon]\nhost = "127.0.0.1"\nport = {lab.daemon_endpoint.port}\n'
        f'[monero]\ndirectory = "{programs_directory()}"\n'
        f'[vault]\nkey_file = "{key}"\n[api]\nport = 0\n[stock]\nsize = 0\n'
        f'[sessions]\nmost = 4\nat_exit = "{at_exit}"\n'
    )
    return file


async def opened(file: Path, kept: int) -> str:
    """Put a kept set of wallets into the stock of a service, and return the operator's token."""
    settings = load_settings(file, environment={})
    async with Database(settings.database_url) as database:
        store = SqlStore(database, "node-1")
        there = install(wallet_sets()[kept], settings.wallet_directory)
        await SqlShelf(database, "node-1").ready(key_set(there, settings.vault(), settings.wallet_directory))
        return Callers(store, settings.vault()).operator_token.reveal()


def port_of(line: str) -> int:
    return int(as_json(line)["port"])


@pytest.mark.parametrize("at_exit", ["close", "leave"])
async def test_stop_loses_wallets_or_leaves_unknown_ones(lab: RegtestLab, tmp_path: Path, at_exit: str) -> None:
    """SIGTERM ends the service with exit code 0; open wallets are closed, or left for the next start, which adopts."""
    file = settings_file(tmp_path, lab, at_exit)
    async with started("serve", "--config", str(file)) as service:
        port = port_of(await line_with(service.stderr, "service.started"))
        token = await opened(file, kept=0 if at_exit == "close" else 1)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            await until(client, "/readyz", lambda answer: bool(answer["ready"]))
            addresses = [each.address for each in wallet_sets()[-2:]]
            body = {
                "amount": str(10**12),
                "buyer": {"refund_address": addresses[0]},
                "vendor": {"payout_address": addresses[1]},
            }
            made = (await client.post("/v1/escrows", json=body)).json()
            await lab.pay(made["deposit"]["address"], 10**12)
            await lab.mine(10)
            await until(client, f"/v1/escrows/{made['id']}", lambda answer: answer["status"] == "funded")
            assert len((await client.get("/v1/sessions")).json()["items"]) == 1
        service.send_signal(signal.SIGTERM)
        await line_with(service.stderr, "service.stopped")
        await service.wait()
    assert service.returncode == 0
    left = wallet_processes(tmp_path)
    assert bool(left) is (at_exit == "leave")
    if at_exit == "leave":
        await served_again(file, token)
    assert wallet_processes(tmp_path) == []


async def served_again(file: Path, token: str) -> None:
    """Start the service once more, to close at its end: the session is there, and nobody has opened it again."""
    closing = {"ESCROWD_SESSIONS__AT_EXIT": "close"}
    async with started("serve", "--config", str(file), environment=closing) as service:
        port = port_of(await line_with(service.stderr, "service.started"))
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            stats = (await client.get("/v1/sessions/stats")).json()
    assert (stats["active"], stats["adoptions"], stats["sessions_opened"]) == (1, 1, 0)
    assert service.returncode == 0


async def test_readiness_says_yes_without_a_daemon(tmp_path: Path) -> None:
    """A service whose daemon went away is alive, and says that it is not ready and why."""
    async with RegtestLab.start() as lab:
        file = settings_file(tmp_path, lab, "close")
        async with started("serve", "--config", str(file)) as service:
            port = port_of(await line_with(service.stderr, "service.started"))
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                await until(client, "/readyz", lambda answer: bool(answer["ready"]))
                await lab.daemon_process.kill()
                answer = await until(client, "/readyz", lambda answer: not answer["ready"])
                holds = {"database": True, "chain_in_sync": False, "worker": True, "engine_supported": True}
                assert answer["conditions"] == holds
                assert (await client.get("/healthz")).status_code == 200
                assert (await client.get("/readyz")).status_code == 503
                await lab.daemon_process.start()
                await until(client, "/readyz", lambda answer: bool(answer["ready"]))
    assert service.returncode == 0


async def test_taken_port_starts_a_second_service(lab: RegtestLab, tmp_path: Path) -> None:
    """A service that cannot listen says so in one line, with exit code 1, and leaves no process."""
    file = settings_file(tmp_path, lab, "close")
    async with started("serve", "--config", str(file)) as first:
        port = port_of(await line_with(first.stderr, "service.started"))
        second = tmp_path / "second"
        second.mkdir()
        other = settings_file(second, lab, "close")
        code, _, said = await carried_out("serve", "--config", str(other), "--port", str(port))
    assert code == 1
    assert "the API cannot listen" in said.splitlines()[-1]
    assert "set api.host and api.port" in said.splitlines()[-1]
    assert wallet_processes(tmp_path) == []
