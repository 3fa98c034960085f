import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing

import httpx
import pytest
from typing_extensions import override

from escrowd.sdk import (
    AsyncEscrowClient,
    ConnectionFailed,
    EscrowClient,
    EscrowClientError,
    Forbidden,
    OutcomeUnknown,
    Retries,
    UnreadableAnswer,
)
from escrowd.wire.events import Event
from tests.unit.sdk.samples import ESCROW, KEY, TOKEN, URL, created, escrow, event
from tests.unit.sdk.stub_clock import StubClock

Answering = Callable[[httpx.Request], httpx.Response]


def client_of(answering: Answering, clock: StubClock | None = None, url: str = URL) -> EscrowClient:
    """Return a synchronous client whose requests are answered by a function. Its key comes as from a file."""
    return EscrowClient(url, f"{KEY}\n", transport=httpx.MockTransport(answering), clock=clock or StubClock())


def async_client_of(answering: Answering, clock: StubClock | None = None) -> AsyncEscrowClient:
    """Return an asynchronous client whose requests are answered by a function."""
    return AsyncEscrowClient(URL, KEY, transport=httpx.MockTransport(answering), clock=clock or StubClock())


class Recorder:
    """Answers with one response or error after the other, and keeps what was asked."""

    def __init__(self, *answers: httpx.Response | httpx.RequestError) -> None:
        self.asked: list[httpx.Request] = []
        self._answers = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, httpx.RequestError):
            raise answer
        return answer

    @property
    def headers(self) -> list[tuple[str | None, str | None]]:
        """Who asked with which key, for each request."""
        return [(each.headers.get("Authorization"), each.headers.get("Idempotency-Key")) for each in self.asked]


class Parts(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of an answer in parts, which breaks at its end. ``is_closed`` says whether it was closed."""

    def __init__(self, *parts: bytes, breaks: bool = True, each: Callable[[], None] = lambda: None) -> None:
        self.parts, self.breaks, self.each, self.is_closed = parts, breaks, each, False

    @override
    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            self.each()
            yield part
        if self.breaks:
            raise httpx.ReadError("broken")

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part

    @override
    def close(self) -> None:
        self.is_closed = True

    @override
    async def aclose(self) -> None:
        self.is_closed = True


def failing_then_good() -> Recorder:
    """Answer well after a time-out, a busy server and a connection that was refused."""
    return Recorder(
        httpx.ReadTimeout("timed out"),
        httpx.Response(503, headers={"Retry-After": "3"}),
        httpx.ConnectError("refused"),
        httpx.Response(200, json=escrow("paying")),
    )


def test_tries_have_different_keys() -> None:
    """All tries of a call have one key and one body, and what the server asks for is slept."""
    answers, clock = failing_then_good(), StubClock()
    with client_of(answers, clock) as client:
        assert client.rule(ESCROW, vendor_share=10**18).status == "paying"
    assert len(set(answers.headers)) == 1
    assert len(answers.headers[0][1] or "") >= 32
    assert {each.content for each in answers.asked} == {b'{"vendor_share":"1000000000000000000"}'}
    assert (len(clock.slept), 3 <= clock.slept[1] <= 4) == (3, True)


async def test_awaited_tries_have_different_keys() -> None:
    """The asynchronous client does what the synchronous one does."""
    answers, clock = failing_then_good(), StubClock()
    async with async_client_of(answers, clock) as client:
        assert (await client.rule(ESCROW, vendor_share=10**18)).status == "paying"
    assert len(set(answers.headers)) == 1
    assert {each.content for each in answers.asked} == {b'{"vendor_share":"1000000000000000000"}'}
    assert (len(clock.slept), 3 <= clock.slept[1] <= 4) == (3, True)


def test_calls_share_a_key() -> None:
    """Two calls have two keys; a caller's own key is the one that is sent."""
    answers = Recorder(*(httpx.Response(200, json=escrow()) for _ in range(3)))
    with client_of(answers) as client:
        client.release(ESCROW)
        client.release(ESCROW)
        client.release(ESCROW, idempotency_key="order-1234-release")
    keys = [key for _, key in answers.headers]
    assert (len(set(keys)), keys[2]) == (3, "order-1234-release")


def test_party_calls_with_the_key_of_the_site() -> None:
    """A party's calls carry its token, go over the same connections, and end nobody's when they are closed."""
    answers = Recorder(httpx.Response(201, json=created()), *(httpx.Response(200, json=escrow()) for _ in range(3)))
    with client_of(answers) as client:
        new = client.create_escrow(amount=10**12, refund_address="4B", payout_address="4C")
        with client.as_party(new.links[1].token) as vendor:
            vendor.deliver(new.id)
        client.get(new.id)
        vendor.get(new.id)
    tokens = [f"Bearer {each}" for each in (KEY, f"{TOKEN}-vendor", KEY, f"{TOKEN}-vendor")]
    assert [token for token, _ in answers.headers] == tokens


def _stream_answers() -> tuple[Recorder, Parts, Parts]:
    texts = [f"id: {n}\nevent: x\ndata: {json.dumps(event(n))}\n\n".encode() for n in (1, 2, 3)]
    first, second = Parts(texts[0], texts[1][:50]), Parts(texts[1], texts[2])
    kind = {"Content-Type": "text/event-stream"}
    streams = (httpx.Response(200, headers=kind, stream=each) for each in (first, second))
    return Recorder(*streams), first, second


def test_stream_is_left_open() -> None:
    """A stream goes on after a break, and is closed when nobody listens any more."""
    answers, first, second = _stream_answers()
    heard: list[Event] = []
    with client_of(answers) as client, closing(client.stream()) as stream:
        while len(heard) < 2:
            heard.append(next(stream))
        assert (first.is_closed, second.is_closed) == (True, False)
    assert ([each.cursor for each in heard], second.is_closed) == (["1", "2"], True)
    assert answers.asked[1].headers["Last-Event-ID"] == "1"


async def test_awaited_stream_is_left_open() -> None:
    """The asynchronous client's stream goes on after a break, and is closed when nobody listens any more."""
    answers, first, second = _stream_answers()
    heard: list[Event] = []
    async with async_client_of(answers) as client, aclosing(client.stream()) as stream:
        while len(heard) < 2:
            heard.append(await anext(stream))
        assert (first.is_closed, second.is_closed) == (True, False)
    assert ([each.cursor for each in heard], second.is_closed) == (["1", "2"], True)
    assert answers.asked[1].headers["Last-Event-ID"] == "1"


async def test_pages_differ_between_the_clients() -> None:
    """Both clients give the same items of the same pages."""

    def answering(request: httpx.Request) -> httpx.Response:
        page = {"items": [escrow(version=1)], "next": None if "cursor" in request.url.params else "c"}
        return httpx.Response(200, json=page)

    with client_of(answering) as client:
        assert len(list(client.escrows(status="funded"))) == 2
    async with async_client_of(answering) as awaited:
        assert len([each async for each in awaited.escrows(status="funded")]) == 2


def test_slow_drip_keeps_a_call_for_ever() -> None:
    """An answer that comes byte by byte is given up when the time of the try is over."""
    clock = StubClock()
    slow = (httpx.Response(200, stream=Parts(*[b" "] * 1000, each=lambda: clock.sleep(5))) for _ in range(9))
    answers = Recorder(*slow)
    with client_of(answers, clock) as client, pytest.raises(ConnectionFailed, match="in time"):
        client.get(ESCROW)
    assert len(answers.asked) in (3, 4)


async def test_awaited_slow_drip_keeps_a_call_for_ever() -> None:
    """The asynchronous client gives up an answer that comes byte by byte, too."""
    clock = StubClock()
    slow = (httpx.Response(200, stream=Parts(*[b" "] * 1000, each=lambda: clock.sleep(5))) for _ in range(9))
    answers = Recorder(*slow)
    async with async_client_of(answers, clock) as client:
        with pytest.raises(ConnectionFailed, match="in time"):
            await client.get(ESCROW)
    assert len(answers.asked) in (3, 4)


async def test_refused_stream_is_listened_to() -> None:
    """A stream that is refused raises what the server says, in both clients, and health is told by both."""
    refusal = {"title": "no", "status": 403, "code": "not_permitted", "detail": "no"}
    with client_of(lambda _: httpx.Response(403, json=refusal)) as client:
        with pytest.raises(Forbidden, match="not_permitted"):
            next(client.stream())
        with pytest.raises(Forbidden):
            client.is_ready()
    async with async_client_of(lambda _: httpx.Response(403, json=refusal)) as awaited:
        with pytest.raises(Forbidden, match="not_permitted"):
            await anext(awaited.stream())
    async with async_client_of(lambda _: httpx.Response(503)) as awaited:
        assert await awaited.is_ready() is False


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_address_is_read_wrongly(suffix: str) -> None:
    """The address of the API may have a path, and may or may not end with the version."""
    answers = Recorder(httpx.Response(200, json=escrow()), httpx.Response(200, text="ok"))
    with client_of(answers, url=f"https://shop.example/escrow{suffix}") as client:
        client.get(ESCROW)
        assert client.is_alive()
    assert [str(each.url) for each in answers.asked] == [
        f"https://shop.example/escrow/v1/escrows/{ESCROW}",
        "https://shop.example/escrow/healthz",
    ]


@pytest.mark.parametrize(
    "url", ["", "escrow.example", "ftp://h", f"https://me:{KEY}@h", "https://h?x=1", "https://h#x"]
)
def test_address_that_is_none_is_taken(url: str) -> None:
    """What is no address of a service is refused, without showing what may be in it."""
    with pytest.raises(ValueError, match="address of the service") as caught:
        EscrowClient(url, KEY)
    assert KEY not in repr(caught.value)


@pytest.mark.parametrize("token", ["", "a b", f"{KEY}\r\nX-Evil: 1", f"{KEY}ü", "\n"])
def test_token_that_is_none_is_shown(token: str) -> None:
    """What cannot be a token is refused before the HTTP library shows it."""
    with pytest.raises(ValueError, match="key or token") as caught:
        EscrowClient(URL, token)
    assert KEY not in f"{caught.value!r} {caught.value.__context__!r}"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadTimeout("timed out"),
        httpx.Response(401, json={"title": "no", "status": 401, "code": "no_such_key", "detail": "no"}),
        httpx.Response(500, text=f"{TOKEN} in a page"),
        httpx.Response(200, json={"links": [{"token": TOKEN}]}),
        httpx.Response(200, text=f"<html>{TOKEN}"),
    ],
)
async def test_secret_shows_in_an_error(answer: httpx.Response | httpx.RequestError) -> None:
    """Neither the client nor any error of it, nor what caused it, shows a key, or a token in an answer."""
    client = async_client_of(Recorder(*[answer] * 9))
    with pytest.raises(EscrowClientError) as caught:
        await client.create_escrow(amount=1, refund_address="4B", payout_address="4C")
    shown = [repr(client), repr(vars(client)), repr(client.as_party(f"{TOKEN}-buyer"))]
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    assert [text for text in shown if KEY in text or TOKEN in text] == []
    await client.aclose()


def test_answer_of_something_else_is_taken() -> None:
    """What is not the API, or sends elsewhere, is told as such; the call is not sent to where it points."""
    answers = Recorder(
        httpx.Response(200, text="<html>"), httpx.Response(308, headers={"Location": "http://evil.example"})
    )
    with client_of(answers) as client:
        with pytest.raises(UnreadableAnswer, match="no answer of the API"):
            client.get(ESCROW)
        with pytest.raises(UnreadableAnswer, match="308"):
            client.release(ESCROW)
    assert {each.url.host for each in answers.asked} == {"escrow.example"}


def test_clients_differ_in_what_they_can() -> None:
    """Both clients and their groups have the same methods, with the same arguments and words."""

    def looks(client: object) -> dict[str, tuple[str, str | None]]:
        public = ((name, getattr(client, name)) for name in dir(client) if not name.startswith("_"))
        return {name: (str(inspect.signature(each)), each.__doc__) for name, each in public if callable(each)}

    with client_of(Recorder()) as client:
        awaited = async_client_of(Recorder())
        ours, theirs = looks(client), looks(awaited)
        theirs["close"] = theirs.pop("aclose")
        assert {name: each[0] for name, each in ours.items()} == {name: each[0] for name, each in theirs.items()}
        for group in ("webhooks", "sessions", "sandbox"):
            assert looks(getattr(client, group)) == looks(getattr(awaited, group))
        assert str(inspect.signature(client.release)) == "(escrow_id: str, *, idempotency_key: str | None = None)"


def test_unknown_outcome_cannot_be_carried_on() -> None:
    """The same call with the key of an unknown outcome is the same request."""
    answers = Recorder(httpx.ReadTimeout(""), httpx.ReadTimeout(""), httpx.Response(200, json=escrow("paying")))
    patience = Retries(tries=2)
    with EscrowClient(URL, KEY, retries=patience, transport=httpx.MockTransport(answers), clock=StubClock()) as client:
        with pytest.raises(OutcomeUnknown) as caught:
            client.release(ESCROW)
        assert client.release(ESCROW, idempotency_key=caught.value.idempotency_key).status == "paying"
    assert len(set(answers.headers)) == 1
