import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from typing_extensions import override

from escrowd.service.webhooks.resolving import SystemLookUp
from escrowd.service.webhooks.sending import MOST_READ, WebhookSender
from escrowd.service.webhooks.settings import WebhookSettings
from escrowd.testing.receiver import LOOPBACK, Receiver, always
from tests.unit.service.webhooks.conftest import ALLOWED, CERTIFICATE, CLIENT_TLS, Names

HASTY = WebhookSettings(allowed_networks=LOOPBACK, timeout=0.5)


async def outcome_of(receiver: Receiver, settings: WebhookSettings = ALLOWED) -> tuple[int | None, str | None]:
    async with WebhookSender(settings, tls=CLIENT_TLS) as sender:
        outcome = await sender.send(receiver.url(), b'{"id":"evt_1"}', {"webhook-id": "evt_1"})
    assert outcome.is_ok == (outcome.error is None)
    return outcome.status, outcome.error


def close(request: web.BaseRequest) -> None:
    assert request.transport is not None
    request.transport.close()


async def hang(_request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def hang_in_the_middle(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "1000"})
    await response.prepare(request)
    await response.write(b"half")
    return await hang(request)


async def drip(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b".")
        await asyncio.sleep(0.01)


async def break_off(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "1000"})
    await response.prepare(request)
    await response.write(b"half")
    close(request)
    return response


async def say_nothing(request: web.BaseRequest) -> web.StreamResponse:
    close(request)
    return web.Response()


async def talk_nonsense(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    close(request)
    return web.Response()


LATE = "no whole answer within 0.5 s"
TROUBLES: dict[Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], tuple[int | None, str]] = {
    hang: (None, LATE),
    hang_in_the_middle: (200, LATE),
    drip: (200, LATE),
    break_off: (200, "the connection broke in the middle of the answer"),
    say_nothing: (None, "the connection was closed before an answer came"),
    talk_nonsense: (None, "what came back is no HTTP"),
}


@pytest.mark.parametrize("answer", TROUBLES, ids=lambda each: each.__name__)
async def test_trouble_has_no_result(
    receiver: Receiver, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
) -> None:
    """Whatever a receiver does instead of answering, the try ends in time with a result in plain words."""
    receiver.answer = answer
    async with asyncio.timeout(10):
        assert await outcome_of(receiver, HASTY) == TROUBLES[answer]
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_taken_event_failed(receiver: Receiver, status: int) -> None:
    """A whole answer with a status of 200 to 299 means that the event was taken."""
    receiver.reply = always(status)
    assert await outcome_of(receiver) == (status, None)
    assert receiver.received[0].body == b'{"id":"evt_1"}'


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
async def test_refused_event_was_taken(receiver: Receiver, status: int) -> None:
    """Any other status means that it was not."""
    receiver.reply = always(status)
    assert await outcome_of(receiver) == (status, f"the answer was {status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_followed(receiver: Receiver, status: int) -> None:
    """A redirect is a failure, and where it leads to hears nothing."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, headers={"location": other.url()})

    async with Receiver.listening() as other:
        receiver.answer = answer
        got, error = await outcome_of(receiver)
        assert (got, other.received) == (status, [])
    assert "redirects are not followed" in str(error)


async def test_endless_answer_is_read_to_its_end(receiver: Receiver) -> None:
    """Of a long answer a little is read; its status counts."""
    sent = 0

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(MOST_READ))
            sent += MOST_READ

    receiver.answer = answer
    assert await outcome_of(receiver) == (200, None)
    assert sent < 400 * MOST_READ  # what fits into the buffers on the way


async def test_compressed_answer_is_unpacked(receiver: Receiver) -> None:
    """An answer is not unpacked: a bomb stays as small as it came."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"no gzip at all", headers={"content-encoding": "gzip"})

    receiver.answer = answer
    assert await outcome_of(receiver) == (200, None)
    assert receiver.received[0].headers["accept-encoding"] == "identity"


async def test_environment_leads_elsewhere(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment is used, and no cookie comes back."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(headers={"set-cookie": "a=b"})

    async with Receiver.listening() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(path=""))
        receiver.answer = answer
        async with WebhookSender(ALLOWED, tls=CLIENT_TLS) as sender:
            outcomes = [await sender.send(receiver.url(), b"{}", {}) for _ in range(2)]
        assert [each.is_ok for each in outcomes] == [True, True]
        assert proxy.received == []
    assert not any("cookie" in each.headers for each in receiver.received)


async def test_closed_port_has_no_result() -> None:
    """Where nobody listens, the result says so."""
    async with Receiver.listening() as gone:
        pass
    status, error = await outcome_of(gone)
    assert (status, error) == (None, "the connection was refused, or there is no way to the host")


# --- names -----------------------------------------------------------------------------------------------------------


class NoNames(SystemLookUp):
    @override
    async def __call__(self, host: str) -> list[str]:
        raise OSError(-2, "Name or service not known")


class SlowNames(SystemLookUp):
    @override
    async def __call__(self, host: str) -> list[str]:
        await asyncio.Event().wait()
        return []


@pytest.mark.parametrize(
    ("look_up", "error"), [(NoNames(1), "the name of the host does not resolve"), (SlowNames(1), LATE)]
)
async def test_name_server_that_fails_has_no_result(look_up: SystemLookUp, error: str) -> None:
    """A name that does not resolve, or not in time, is a result like any other."""
    async with WebhookSender(HASTY, look_up, CLIENT_TLS) as sender:
        outcome = await sender.send("https://shop.example/hook", b"{}", {})
    assert (outcome.status, outcome.error) == (None, error)


# --- TLS -------------------------------------------------------------------------------------------------------------


async def test_certificate_of_nobody_is_believed(tls: ssl.SSLContext) -> None:
    """A certificate that no known authority signed is refused, before anything is sent."""
    async with Receiver.listening(tls=tls) as receiver:
        status, error = await outcome_of(receiver)
        assert receiver.received == []
    assert status is None
    assert str(error).startswith("the TLS certificate is not valid: self")


async def test_certificate_of_another_host_is_believed(tls: ssl.SSLContext) -> None:
    """A certificate counts for the host that the URL names, whatever address that has."""
    trusting = ssl.create_default_context(cafile=CERTIFICATE)
    async with (
        Receiver.listening(tls=tls) as receiver,
        WebhookSender(ALLOWED, Names(["127.0.0.1"]), trusting) as sender,
    ):
        right = await sender.send(receiver.url("receiver.test"), b"{}", {})
        wrong = await sender.send(receiver.url("other.test"), b"{}", {})
        assert len(receiver.received) == 1
    assert (right.status, right.error) == (204, None)
    assert "the TLS certificate is not valid" in str(wrong.error)


async def test_plain_server_is_taken_for_tls(receiver: Receiver) -> None:
    """A server without TLS behind an https URL is a failure, before anything is sent."""
    async with WebhookSender(ALLOWED, tls=CLIENT_TLS) as sender:
        outcome = await sender.send(receiver.url().replace("http:", "https:"), b"{}", {})
    assert (outcome.error, receiver.received) == ("no TLS connection could be agreed on", [])


async def test_url_is_told_to_others(receiver: Receiver) -> None:
    """No result repeats the URL, which may hold a secret of the receiver's."""
    async with WebhookSender(ALLOWED, Names(["127.0.0.1"]), CLIENT_TLS) as sender:
        for url in (receiver.url(path="/pa55?k=pa55"), "https://pa55.example:1/pa55", "http://pa55.example:1/?pa55"):
            receiver.answer = say_nothing
            assert "pa55" not in str((await sender.send(url, b"{}", {})).error)
