"""Wallet sessions from the command line, over HTTP to a service that runs."""

import asyncio
from pathlib import Path

from escrowd.bootstrap.serving import served
from escrowd.domain.identifiers import EscrowId
from escrowd.service.front.callers import OPERATOR, operator_token
from escrowd.testing.api_house import ApiHouse
from escrowd.wallets.vault import Vault
from tests.contract.cli.conftest import Commands
from tests.contract.store.samples import escrow_id

HOST = "127.0.0.1"
WANTED: EscrowId = escrow_id(1)


async def test_running_service_is_not_asked_as_its_operator(commands: Commands) -> None:
    """The vault key opens the sessions of the service that runs: they are listed, counted and closed."""
    async with (
        ApiHouse.open(commands.database_url, vault=commands.vault) as house,
        served(house.app, HOST, commands.api_port),
    ):
        listed, stats, closed, shown = await commands.runs(
            "sessions list --json",
            "sessions stats --json",
            f"sessions close {WANTED} --json",
            f"sessions show {WANTED}",
        )
        assert listed.json == {"items": []}
        assert stats.json["active"] == 0
        assert closed.json == {"escrow": WANTED, "is_open": False}
        assert house.sessions.closed == [WANTED]
        assert (shown.code, shown.out) == (1, "")
        assert "are not open" in shown.err
    noted = (await commands.run("audit", "list", "--subject", WANTED, "--json")).json["items"]
    assert [(each["caller"], each["action"]) for each in noted] == [(OPERATOR.name, "close session")]


async def test_service_with_another_vault_key_is_not_told_apart(commands: Commands) -> None:
    """Where the service has another vault key, the command says so and nothing happens."""
    async with ApiHouse.open(commands.database_url) as house, served(house.app, HOST, commands.api_port):
        refused = await commands.run("sessions", "close", WANTED)
        assert house.sessions.closed == []
    assert refused.code == 1
    assert "has another vault key" in refused.err


async def test_service_that_does_not_run_is_a_riddle(commands: Commands) -> None:
    """Without a service the command says where it looked for one; a wrong id is told before."""
    refused, wrong = await commands.runs("sessions list --json", "sessions close esc_1")
    assert (refused.code, refused.out) == (1, "")
    assert f"no service answers at http://{HOST}:{commands.api_port}" in refused.err
    assert wrong.code == 1
    assert "an id of this kind is 'esc_'" in wrong.err


async def test_operators_token_shows_in_the_process_list(commands: Commands) -> None:
    """While a command waits, its token is in the request alone: not in its arguments, environment or messages."""
    token, seen, asked = operator_token(Vault(commands.key)).reveal(), list[bytes](), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        for place in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    seen.append((place / name).read_bytes())
                except OSError:
                    continue
        asked.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(listen, HOST, commands.api_port):
        said = await commands.run("sessions", "list")
    assert asked.is_set()
    request, *processes = seen
    assert token.encode() in request
    assert [each for each in processes if token.encode() in each] == []
    assert said.code == 1
    assert "is not escrowd" in said.err
    assert token not in said.err
