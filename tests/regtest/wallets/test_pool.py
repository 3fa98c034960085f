"""The pool of wallet processes, on real monero-wallet-rpc."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from escrowd.bootstrap import open_wallet_house
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.errors import LoginRefused
from escrowd.monero.transport import Connections, Login
from escrowd.monero.wallet import wallet_client
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_process import regtest_program
from escrowd.wallets import process as process_module
from escrowd.wallets.errors import PoolExhausted, ProcessNotStarted
from escrowd.wallets.pool import PoolBounds, WalletPool
from escrowd.wallets.process import Surroundings, WalletProcess
from escrowd.wallets.registry import Registry
from escrowd.wallets.server import AttachedServer
from escrowd.wallets.settings import AtExit, SessionSettings
from escrowd.wallets.vault import KEY_BYTES, Vault
from tests.engine import installed_release
from tests.wallet_fixtures import Building, freeze

MakePool = Callable[..., AbstractAsyncContextManager[WalletPool]]


@pytest.fixture
def making(lab: RegtestLab, tmp_path: Path) -> MakePool:
    @asynccontextmanager
    async def make(*, path: Path | None = None, **bounds: float) -> AsyncIterator[WalletPool]:
        program = regtest_program(lab.daemon_endpoint.port, tmp_path, path)
        registry = Registry(tmp_path / "run")
        made = PoolBounds(**({"minimum": 0, "maximum": 3, "check_interval": 1000.0} | bounds))  # type: ignore[arg-type]
        with registry.owned():
            async with Connections() as connections:
                around = Surroundings(connections, lab.daemon_endpoint, registry, Vault(bytes(KEY_BYTES)))
                async with WalletPool(program, around, made) as pool:
                    await asyncio.sleep(0)  # the pool's own first check comes before any of the test's
                    yield pool

    return make


async def test_process_given_back_is_handed_out_again(making: MakePool) -> None:
    """A process given back stays in reserve as long as there is room, and serves the next owner."""
    async with making(minimum=1) as pool:
        await pool.check_reserve()
        assert pool.stats().in_reserve == 1
        assert 2**20 < pool.stats().memory_bytes < 2**28
        first, second = await pool.acquire(), await pool.acquire()
        assert pool.stats().in_use == 2
        await pool.give_back(first)
        await pool.give_back(second)
        assert (pool.stats().in_reserve, second.is_alive) == (1, False)
        assert await pool.acquire() is first
        await pool.give_back(first)
    assert not first.is_alive
    assert pool.around.registry.records() == ()


async def test_pool_runs_no_more_than_its_maximum(making: MakePool) -> None:
    """One process more than may run is refused, also when all are asked for at the same moment."""
    async with making(maximum=2) as pool:
        answers = await asyncio.gather(*(pool.acquire() for _ in range(4)), return_exceptions=True)
        servers = [answer for answer in answers if isinstance(answer, WalletProcess)]
        assert [type(answer) for answer in answers if isinstance(answer, Exception)] == [PoolExhausted] * 2
        assert len(servers) == 2
        for server in servers:
            await pool.give_back(server)


async def test_dead_and_hanging_processes_leave_the_reserve(making: MakePool) -> None:
    """A regular check ends what is broken in the reserve and fills it up; a dead process is never handed out."""
    async with making(minimum=2, check_timeout=0.5) as pool:
        await pool.check_reserve()
        dead, hanging = pool._reserve
        assert isinstance(dead, WalletProcess)
        assert isinstance(hanging, WalletProcess)
        await dead.running.kill()
        await freeze(hanging.running)
        await pool.check_reserve()
        assert not {dead, hanging} & set(pool._reserve)
        assert (pool.stats().in_reserve, pool.stats().lost) == (2, 2)
        (_, youngest) = pool._reserve
        assert isinstance(youngest, WalletProcess)
        youngest.running.signal(signal.SIGKILL)
        await youngest.running.wait(5)
        server = await pool.acquire()
        assert server.is_alive
        await pool.give_back(server)


@pytest.mark.parametrize("has_version", [True, False])
async def test_program_that_dies_at_its_start_is_not_started_in_a_loop(
    making: MakePool, tmp_path: Path, *, has_version: bool
) -> None:
    """A program that ends at once, even without a version, is an error with its last words, and not tried at once."""
    program = tmp_path / "dies"
    prints = f'[ "$1" = --version ] && echo "v{installed_release()}" && exit' if has_version else ":"
    program.write_text(f"#!/bin/sh\n{prints}\necho no good reason\nexit 1\n")
    program.chmod(0o755)
    async with making(path=program) as pool:
        with pytest.raises(ProcessNotStarted, match="no good reason"):
            await pool.acquire()
        with pytest.raises(ProcessNotStarted, match="the next try is in"):
            await pool.acquire()
        assert pool.around.registry.records() == ()


async def test_missing_program_is_named(making: MakePool) -> None:
    """A program that is not there is an error that names its path, and leaves no record."""
    async with making(path=Path("/nowhere/monero-wallet-rpc")) as pool:
        with pytest.raises(ProcessNotStarted, match="/nowhere/monero-wallet-rpc"):
            await pool.acquire()
        assert pool.around.registry.records() == ()


async def test_taken_port_is_left_for_another_one(making: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """When somebody takes the port that was free a moment ago, another one is tried."""
    real = process_module._free_port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(process_module, "_free_port", lambda taken: next(ports, None) or real(taken))
        async with making() as pool:
            server = await pool.acquire()
            assert server.endpoint.port != taken.getsockname()[1]
            await pool.give_back(server)


async def test_no_two_processes_are_given_one_port(making: MakePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that was given to a process which has not bound it yet is not given to another one."""
    given: list[int] = []
    real = process_module._free_port

    def noted(taken: frozenset[int]) -> int:
        assert set(given) <= taken
        given.append(real(taken))
        return given[-1]

    monkeypatch.setattr(process_module, "_free_port", noted)
    async with making() as pool:
        servers = await asyncio.gather(*(pool.acquire() for _ in range(3)))
        assert len({server.endpoint.port for server in servers}) == 3
        for server in servers:
            await pool.give_back(server)


async def test_login_is_not_refused_for_another_ones_mistake(making: MakePool) -> None:
    """Whatever wrong logins somebody tries on the same port in between, a good login goes on to be accepted."""
    async with making() as pool:
        server = await pool.acquire()
        wrong = replace(server.endpoint, login=Login("escrowd", Secret("wrong")))
        stranger = wallet_client(pool.around.connections, wrong)
        for _ in range(3):
            with pytest.raises(LoginRefused):
                await stranger.get_version()
            await server.client.get_version()
        await pool.give_back(server)


async def test_cancelled_start_leaves_no_process(making: MakePool, tmp_path: Path) -> None:
    """A caller cancelled while a process starts leaves neither a process nor a record."""
    async with making() as pool:
        for moment in (0.0, 0.005, 0.02, 0.04):
            task = asyncio.create_task(pool.acquire())
            await asyncio.sleep(moment)
            task.cancel()
            answer = (await asyncio.gather(task, return_exceptions=True))[0]
            if isinstance(answer, WalletProcess):
                await pool.give_back(answer)
            assert pool.around.registry.records() == ()
            # A program that is a script may have had children of its own, which end a moment after it.
            async with asyncio.timeout(5):
                while pool.around.registry.unknown_processes():
                    await asyncio.sleep(0.01)
        assert pool.stats().in_use == 0


async def test_login_stands_in_no_command_line_and_in_no_file(making: MakePool, tmp_path: Path) -> None:
    """The login of a wallet process is in its environment and sealed in its record, and nowhere else."""
    async with making() as pool:
        server = await pool.acquire()
        assert isinstance(server, WalletProcess)
        assert server.endpoint.login is not None
        password = server.endpoint.login.password.reveal()
        assert password not in " ".join(psutil.Process(server.running.identity.pid).cmdline())
        texts = [path.read_text(errors="replace") for path in (tmp_path / "run").iterdir()]
        assert len(texts) >= 3
        assert not any(password in text for text in texts)
        assert password not in repr(server.endpoint)
        await pool.give_back(server)


async def test_servers_of_the_operator_are_used_and_never_stopped(lab: RegtestLab, build: Building) -> None:
    """Sessions can live on wallet-rpc servers that the operator runs; they are left running, without a wallet."""
    house = build(1)
    (escrow,) = house.escrows
    servers = [await lab.start_wallet_process(house.directory / "wallets") for _ in WalletRole]
    settings = SessionSettings(max_sessions=1, at_exit=AtExit.LEAVE)
    bounds = PoolBounds(minimum=0, maximum=3)
    attached = replace(house.house(settings), pool=bounds, attached=[server.endpoint for server in servers])
    async with open_wallet_house(attached) as running:
        async with running.manager.lease(escrow) as lease:
            for role in WalletRole:
                assert await lease.wallet(role).get_address() == house.sets[escrow].address
            stuck = running.manager._slots[escrow].open_session.wallets[WalletRole.BUYER].server
            assert stuck.endpoint in [server.endpoint for server in servers]
        assert (running.pool.stats().started, running.pool.stats().attached) == (0, 3)
        stuck.condemn("for the test")
        assert running.pool.stats().in_use == 3
    assert all(server.is_alive for server in servers)


async def test_condemned_server_of_the_operator_comes_back_when_it_is_well(
    lab: RegtestLab, making: MakePool, tmp_path: Path
) -> None:
    """An attached server in doubt is not used until it answers again; then whatever it holds is closed first."""
    server = await lab.start_wallet_process(tmp_path)
    async with making() as pool:
        attached = AttachedServer.at(pool.around.connections, server.endpoint, pool.around.daemon)
        pool._quarantine.append(attached)
        attached.condemn("a call timed out")
        await freeze(server.running)
        pool.bounds = replace(pool.bounds, check_timeout=0.3)
        await pool.check_reserve()
        while_frozen = attached.is_trusted
        server.running.signal(signal.SIGCONT)
        pool.bounds = replace(pool.bounds, check_timeout=10)
        await pool.check_reserve()
        assert (while_frozen, attached.is_trusted) == (False, True)
        assert await pool.acquire() is attached
        await pool.give_back(attached)
