"""The synchronous client: the calls and plans, bound to a line that blocks."""

from collections.abc import Callable, Generator
from dataclasses import replace
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, final

import httpx
from typing_extensions import override

from escrowd.sdk import courses, escrow_calls, event_calls, node_calls, sandbox_calls, streaming, webhook_calls
from escrowd.sdk.binding import dressed
from escrowd.sdk.calls import AnswerT, Call
from escrowd.sdk.clock import Clock, SystemClock
from escrowd.sdk.exchange import exchange
from escrowd.sdk.http import HEADERS, Bearer, base_of
from escrowd.sdk.line import Caller
from escrowd.sdk.retries import Retries
from escrowd.sdk.steps import Course, ItemT, ResultT, Series

P = ParamSpec("P")


class CallGroup:
    """Calls that belong together, made by one synchronous client."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller


def _makes(build: Callable[P, Call[AnswerT]]) -> Callable[Concatenate[CallGroup, P], AnswerT]:
    def method(group: CallGroup, /, *args: P.args, **kwargs: P.kwargs) -> AnswerT:
        caller = group._caller  # noqa: SLF001 - this becomes its method
        return caller.result(exchange(build(*args, **kwargs), caller.retries))

    return dressed(method, build)


def _follows(
    plan: Callable[Concatenate[Retries, P], Course[ResultT]],
) -> Callable[Concatenate[CallGroup, P], ResultT]:
    def method(group: CallGroup, /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        caller = group._caller  # noqa: SLF001 - this becomes its method
        return caller.result(plan(caller.retries, *args, **kwargs))

    return dressed(method, plan, leaves_out=1)


def _iterates(
    plan: Callable[Concatenate[Retries, P], Series[ItemT]],
) -> Callable[Concatenate[CallGroup, P], Generator[ItemT, None, None]]:
    def method(group: CallGroup, /, *args: P.args, **kwargs: P.kwargs) -> Generator[ItemT, None, None]:
        caller = group._caller  # noqa: SLF001 - this becomes its method
        return caller.items(plan(caller.retries, *args, **kwargs))

    return dressed(method, plan, leaves_out=1)


class Webhooks(CallGroup):
    """Endpoints that events are sent to."""

    create = _makes(webhook_calls.create_webhook)
    list = _makes(webhook_calls.all_webhooks)
    get = _makes(webhook_calls.get_webhook)
    update = _makes(webhook_calls.update_webhook)
    delete = _makes(webhook_calls.delete_webhook)
    rotate_secret = _makes(webhook_calls.rotate_secret)
    deliveries = _iterates(courses.deliveries)
    delivery_page = _makes(webhook_calls.delivery_page)
    redeliver = _makes(webhook_calls.redeliver)


class Sessions(CallGroup):
    """The wallet sessions of the node that answers, for its operator."""

    list = _makes(node_calls.all_sessions)
    stats = _makes(node_calls.session_stats)
    close = _makes(node_calls.close_session)


class Sandbox(CallGroup):
    """What only a sandbox can do: its chain is private, and its clock can be put forward."""

    mine = _makes(sandbox_calls.mine)
    fund = _makes(sandbox_calls.fund)
    advance_clock = _makes(sandbox_calls.advance_clock)


@final
class EscrowClient(CallGroup):
    """A synchronous client of the API. Use it in ``with``, or close it.

    >>> with EscrowClient("https://escrow.example", api_key) as client:
    ...     escrow = client.create_escrow(amount=10**12, refund_address="4…", payout_address="8…")
    ...     client.wait(escrow.id, until="funded")

    Threads may share it. Each changing call has one idempotency key, the caller's or a new one, and
    keeps it over all its tries; ``retries`` says how many there are.

    Raises:
        ValueError: the address or the key cannot be one.

    """

    def __init__(
        self,
        api_url: str,
        api_key: str,
        *,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        retries = retries or Retries()
        token, base = Bearer(api_key), base_of(api_url)
        http = httpx.Client(base_url=base, headers=HEADERS, transport=transport)
        self._begin(Caller(http, token, retries, clock or SystemClock()), owns_connections=True)

    create_escrow = _makes(escrow_calls.create_escrow)
    get = _makes(escrow_calls.get)
    wait = _follows(courses.wait)
    escrows = _iterates(courses.escrows)
    escrow_page = _makes(escrow_calls.escrow_page)
    deliver = _makes(escrow_calls.deliver)
    release = _makes(escrow_calls.release)
    refund = _makes(escrow_calls.refund)
    cancel = _makes(escrow_calls.cancel)
    resume = _makes(escrow_calls.resume)
    dispute = _makes(escrow_calls.dispute)
    rule = _makes(escrow_calls.rule)
    split = _makes(escrow_calls.split)
    settle = _makes(escrow_calls.settle)
    propose_split = _makes(escrow_calls.propose_split)
    accept_split = _makes(escrow_calls.accept_split)
    preview = _makes(escrow_calls.preview)
    links = _makes(escrow_calls.links)
    rotate_link = _makes(escrow_calls.rotate_link)
    log = _iterates(courses.log)
    log_page = _makes(event_calls.log_page)
    events = _iterates(courses.events)
    event_page = _makes(event_calls.event_page)
    stream = _iterates(streaming.stream)
    is_alive = _follows(courses.is_alive)
    is_ready = _follows(courses.is_ready)

    def as_party(self, token: str) -> Self:
        """Return a client that calls as the party whose token this is, over the same connections.

        It ends with this client, and closing it does nothing.

        >>> client.as_party(vendor_token).deliver(escrow_id)
        """
        party = type(self).__new__(type(self))
        party._begin(replace(self._caller, token=Bearer(token)), owns_connections=False)  # noqa: SLF001 - of this class
        return party

    def close(self) -> None:
        """Close the connections."""
        if self._owns_connections:
            self._caller.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @override
    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._caller.http.base_url)!r})"

    def _begin(self, caller: Caller, *, owns_connections: bool) -> None:
        super().__init__(caller)
        self._owns_connections = owns_connections
        self.webhooks = Webhooks(caller)
        self.sessions = Sessions(caller)
        self.sandbox = Sandbox(caller)
