import asyncio
import contextlib
import dataclasses
import json
import traceback

import msgspec
import pytest
import structlog
from aiohttp import web

from escrowd.domain.errors import Retry
from escrowd.domain.secret import Secret
from escrowd.monero.errors import (
    DAEMON_REFUSALS,
    WALLET_REFUSALS,
    LoginRefused,
    MoneroError,
    OutcomeUnknown,
    Refused,
    ReplyLost,
    RubbishOutcome,
    RubbishReply,
    Unreachable,
    WalletNotSaved,
)
from escrowd.monero.methods import DAEMON_METHODS, WALLET_METHODS, Method
from escrowd.monero.results_daemon import DaemonReply
from escrowd.monero.results_signing import PreparedMultisig
from escrowd.monero.results_wallet import Height, Nothing
from escrowd.monero.transport import CallRecord, Connections, Endpoint, HttpTransport, Login
from tests.unit.monero.http_server import Answer, Server, break_off, close, hang, reply_with, say_nothing, send

READING, CHANGING = WALLET_METHODS["get_height"], WALLET_METHODS["store"]
CANARY = "canary-4f1d"


def quick(method: Method) -> Method:
    """Return the method with a short time-out."""
    return dataclasses.replace(method, timeout=0.2)


async def failure_of(transport: HttpTransport, method: Method) -> MoneroError:
    """Return the error of a call that fails."""
    with pytest.raises(MoneroError) as caught:
        await transport.call(method, {}, Height)
    return caught.value


# --- what a call says and hears --------------------------------------------------------------------------------------


async def test_a_call_is_json_rpc_and_its_result_is_checked(transport: HttpTransport, server: Server) -> None:
    """The method and its parameters are sent, the result comes back as its type."""
    assert await transport.call(READING, {"a": [1]}, Height) == Height(height=7)
    assert json.loads(server.bodies[0]) == {"jsonrpc": "2.0", "id": "0", "method": "get_height", "params": {"a": [1]}}


async def test_an_older_method_is_sent_to_its_own_path(transport: HttpTransport, server: Server) -> None:
    """A method with a path of its own sends its bare parameters there."""
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.json_response({"status": "OK"})

    server.answer = answer
    await transport.call(DAEMON_METHODS["pop_blocks"], {"nblocks": 1}, DaemonReply)
    assert paths == ["/pop_blocks"]
    assert json.loads(server.bodies[0]) == {"nblocks": 1}


async def test_a_secret_is_readable_on_the_wire_only(transport: HttpTransport, server: Server) -> None:
    """A secret parameter is sent as its text, and a secret of the result comes back masked."""
    server.answer = reply_with(result={"multisig_info": CANARY})
    prepared = await transport.call(WALLET_METHODS["prepare_multisig"], {"password": Secret(CANARY)}, PreparedMultisig)
    assert json.loads(server.bodies[0])["params"] == {"password": CANARY}
    assert prepared.multisig_info.reveal() == CANARY
    assert CANARY not in repr(prepared)


async def test_what_is_no_parameter_is_not_sent(transport: HttpTransport, server: Server) -> None:
    """A value that JSON does not know is a bug of ours, and no guess at its text goes out."""
    with pytest.raises(NotImplementedError):
        await transport.call(READING, {"a": object()}, Height)
    assert server.bodies == []


async def test_each_call_is_recorded_with_its_outcome(
    transport: HttpTransport, server: Server, records: list[CallRecord]
) -> None:
    """Who observes the calls learns method, place and outcome, also of those that fail."""
    await transport.call(READING, {}, Height)
    server.answer = reply_with(error={"code": -13, "message": "No wallet file"})
    await failure_of(transport, READING)
    assert [(record.method, record.outcome) for record in records] == [
        ("get_height", "ok"),
        ("get_height", "NoWalletOpen"),
    ]
    assert all(record.endpoint == server.endpoint and record.seconds >= 0 for record in records)


# --- connection trouble ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [READING, CHANGING])
async def test_a_refused_connection_means_that_nothing_was_sent(connections: Connections, method: Method) -> None:
    """Where nobody listens the call may be made again, whatever it does."""
    transport = HttpTransport(connections, Endpoint("127.0.0.1", 1), WALLET_REFUSALS, one_at_a_time=True)
    error = await failure_of(transport, method)
    assert type(error) is Unreachable
    assert error.retry is Retry.SAFE


@pytest.mark.parametrize("trouble", [hang, break_off, say_nothing])
@pytest.mark.parametrize(("method", "meaning"), [(READING, ReplyLost), (CHANGING, OutcomeUnknown)])
async def test_a_lost_reply_is_harmless_only_to_a_call_that_reads(
    transport: HttpTransport, server: Server, trouble: Answer, method: Method, meaning: type[MoneroError]
) -> None:
    """When no whole reply comes in time, a reading call may be made again and a changing one is of unknown outcome."""
    server.answer = trouble
    error = await failure_of(transport, quick(method))
    assert type(error) is meaning
    assert method.name in str(error)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    "rubbish",
    [
        send(b"<html><body>It works!</body></html>"),
        send(b""),
        send(b"null"),
        send(b"[]"),
        send(b'{"jsonrpc": "2.0", "id": "0"}'),
        send(b'{"result": {"height": "seven"}}'),
        send(b'{"result": {"height": 7.5}}'),
        send(b'{"result": {}}'),
        send(b'{"result": {"height": 7}'),
        send(b"\xff\xfe\x00"),
        send(b"{}", status=500),
        send(b"{}", status=404),
        send(b"", status=204),
    ],
)
@pytest.mark.parametrize(("method", "meaning"), [(READING, RubbishReply), (CHANGING, RubbishOutcome)])
async def test_rubbish_is_never_taken_for_a_reply(
    transport: HttpTransport, server: Server, rubbish: Answer, method: Method, meaning: type[MoneroError]
) -> None:
    """What is no reply of the method is an error, and for a changing call the outcome is open."""
    server.answer = rubbish
    error = await failure_of(transport, method)
    assert type(error) is meaning
    assert error.retry is (Retry.UNKNOWN if method.changes_state else Retry.SAFE)


async def test_a_redirect_is_not_followed(transport: HttpTransport, server: Server) -> None:
    """A reply that points elsewhere does not make us send the call there."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    server.answer = answer
    assert type(await failure_of(transport, CHANGING)) is RubbishOutcome
    assert len(server.bodies) == 1


async def test_a_changing_call_is_sent_once_when_the_kept_connection_dies(
    transport: HttpTransport, server: Server
) -> None:
    """A connection that the server closes on the second call is no reason to send this call again by ourselves."""
    await transport.call(READING, {}, Height)
    server.answer = say_nothing
    assert type(await failure_of(transport, CHANGING)) is OutcomeUnknown
    assert len(server.bodies) == 2


async def test_a_connection_closed_while_idle_is_replaced(transport: HttpTransport, server: Server) -> None:
    """When the server has closed the kept connection, the next call makes a new one and is sent once."""

    async def answer_and_close(request: web.Request) -> web.StreamResponse:
        response = web.json_response({"result": {"height": 7}})
        await response.prepare(request)
        await response.write_eof()
        close(request)
        return response

    server.answer = answer_and_close
    await transport.call(READING, {}, Height)
    await asyncio.sleep(0.05)
    server.answer = reply_with(result={})
    await transport.call(CHANGING, {}, Nothing)
    assert len(server.bodies) == 2


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "meaning"), WALLET_REFUSALS.items())
async def test_each_code_of_the_wallet_has_its_error(
    transport: HttpTransport, server: Server, code: int, meaning: type[Refused]
) -> None:
    """A refusal becomes the error of its code and keeps method, code and reason."""
    server.answer = reply_with(error={"code": code, "message": "because"})
    error = await failure_of(transport, READING)
    assert type(error) is meaning
    assert isinstance(error, Refused)
    assert (error.method, error.code, error.reason) == ("get_height", code, "because")


async def test_the_daemon_has_a_table_of_its_own(connections: Connections, server: Server) -> None:
    """The same number means other things to wallet and daemon."""
    transport = HttpTransport(connections, server.endpoint, DAEMON_REFUSALS, one_at_a_time=False)
    server.answer = reply_with(error={"code": -2, "message": "too high"})
    assert type(await failure_of(transport, DAEMON_METHODS["get_block"])) is DAEMON_REFUSALS[-2]


async def test_the_unknown_error_means_what_the_method_says(transport: HttpTransport, server: Server) -> None:
    """The code -1 stands for anything, so each method tells what it stands for there."""
    server.answer = reply_with(error={"code": -1, "message": "disk full"})
    assert type(await failure_of(transport, CHANGING)) is WalletNotSaved
    assert type(await failure_of(transport, READING)) is Refused


async def test_a_code_that_nobody_knows_is_a_plain_refusal(transport: HttpTransport, server: Server) -> None:
    """A code of a later release is still a refusal, and nothing has happened."""
    server.answer = reply_with(error={"code": -999, "message": "new"})
    assert type(await failure_of(transport, CHANGING)) is Refused


# --- turns -----------------------------------------------------------------------------------------------------------


async def test_calls_to_one_wallet_process_never_overlap(transport: HttpTransport, server: Server) -> None:
    """With one_at_a_time a call is sent after the reply to the one before, failed or not."""
    running = most = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return web.json_response({"result": {"height": 7}} if len(server.bodies) % 3 else {"error": {"code": -13}})

    server.answer = answer
    calls = (transport.call(READING, {}, Height) for _ in range(9))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert most == 1
    assert len(server.bodies) == 9
    assert sum(isinstance(outcome, Refused) for outcome in outcomes) == 3


async def test_calls_to_the_daemon_run_side_by_side(connections: Connections, server: Server) -> None:
    """Without one_at_a_time a slow call holds up no other one."""
    transport = HttpTransport(connections, server.endpoint, DAEMON_REFUSALS, one_at_a_time=False)
    both = asyncio.Barrier(2)

    async def answer(request: web.Request) -> web.Response:
        await both.wait()
        return web.json_response({"result": {"height": 7}})

    server.answer = answer
    await asyncio.gather(*(transport.call(quick(READING), {}, Height) for _ in range(2)))


async def test_waiting_for_its_turn_is_not_part_of_a_calls_time(transport: HttpTransport, server: Server) -> None:
    """A time-out counts from the moment a call is sent, so a queue of slow calls makes none of them fail."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.15)
        return web.json_response({"result": {"height": 7}})

    server.answer = answer
    method = dataclasses.replace(READING, timeout=0.4)
    await asyncio.gather(*(transport.call(method, {}, Height) for _ in range(4)))


async def test_a_cancelled_call_gives_its_turn_back(
    transport: HttpTransport, server: Server, records: list[CallRecord]
) -> None:
    """Whoever is cancelled, in the queue or on the wire, does not block those behind."""
    server.answer = hang
    calls = [asyncio.create_task(transport.call(READING, {}, Height)) for _ in range(2)]
    await server.arrived.wait()
    for call in reversed(calls):
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
    server.answer = reply_with(result={"height": 7})
    assert await transport.call(READING, {}, Height) == Height(height=7)
    assert [record.outcome for record in records] == ["cancelled", "ok"]


# --- logins ----------------------------------------------------------------------------------------------------------


def with_login(connections: Connections, server: Server) -> HttpTransport:
    """Give a transport to the server that has a login."""
    endpoint = Endpoint("127.0.0.1", server.port, Login("operator", Secret(CANARY)))
    return HttpTransport(connections, endpoint, WALLET_REFUSALS, one_at_a_time=True)


def challenge(request: web.Request) -> web.Response:
    """Ask for the login, as Monero's server does (``http_auth.cpp``)."""
    nonce = msgspec.json.encode(id(request)).hex()
    header = f'Digest qop="auth",algorithm=MD5,realm="monero-rpc",nonce="{nonce}",stale=false'
    return web.Response(status=401, headers={"WWW-Authenticate": header})


async def test_the_login_follows_the_challenge(connections: Connections, server: Server) -> None:
    """A call that is asked for its login is made once with it, and the password itself is never sent."""
    accepted: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if "Authorization" not in request.headers:
            return challenge(request)
        accepted.append(request.headers["Authorization"])
        return web.json_response({"result": {}})

    server.answer = answer
    await with_login(connections, server).call(CHANGING, {}, Nothing)
    assert len(accepted) == 1
    assert 'username="operator"' in accepted[0]
    assert CANARY not in accepted[0]


@pytest.mark.parametrize("has_login", [True, False])
async def test_a_refused_login_is_an_error_of_its_own(
    connections: Connections, server: Server, transport: HttpTransport, *, has_login: bool
) -> None:
    """With a wrong login or none the method is not reached, and the error says so also for a changing call."""

    async def answer(request: web.Request) -> web.Response:
        return challenge(request)

    server.answer = answer
    error = await failure_of(with_login(connections, server) if has_login else transport, CHANGING)
    assert type(error) is LoginRefused
    assert error.retry is Retry.POINTLESS


@pytest.mark.parametrize(
    "trouble",
    [hang, break_off, say_nothing, send(b"<html>"), send(b"", status=401), reply_with(error={"code": -13})],
)
async def test_no_error_and_no_log_line_shows_the_login(
    connections: Connections, server: Server, trouble: Answer
) -> None:
    """Neither password nor user name is in an error's text, repr or traceback, in a repr of ours, or in the log."""
    server.answer = trouble
    transport = with_login(connections, server)
    with structlog.testing.capture_logs() as lines:
        error = await failure_of(transport, quick(CHANGING))
    shown = "".join(traceback.format_exception(error)) + repr(error) + repr(transport) + repr(lines)
    assert CANARY not in shown
    assert "operator" not in shown
    assert CANARY not in repr(transport.endpoint)


def test_connections_are_used_inside_async_with_only() -> None:
    """A call over connections that are not open is a bug of ours and says so."""
    with pytest.raises(RuntimeError, match="async with"):
        Connections().open(one_only=True)
