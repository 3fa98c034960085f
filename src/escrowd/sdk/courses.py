"""What takes several calls: waiting for a status, going through pages, following events. Plans, without I/O."""

import math
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final, Literal, get_args

from escrowd.sdk.calls import AnswerT, Call, several
from escrowd.sdk.errors import ENDED, ConnectionFailed, EndedOtherwise, Invalid, ServerError, StillWaiting
from escrowd.sdk.escrow_calls import escrow_page, get
from escrowd.sdk.event_calls import event_page, log_page
from escrowd.sdk.exchange import exchange, timed_exchange
from escrowd.sdk.node_calls import health, readiness
from escrowd.sdk.retries import Retries
from escrowd.sdk.steps import Course, Give, Pause, Series
from escrowd.sdk.webhook_calls import delivery_page
from escrowd.wire.escrows import Escrow, Status
from escrowd.wire.events import Event
from escrowd.wire.webhooks import Delivery


def wait(
    retries: Retries, escrow_id: str, *, until: Status | Collection[Status], timeout: float | None = None
) -> Course[Escrow]:
    """Wait until an escrow has a status, or one of several, and return it. Without ``timeout``, as long as it takes.

    A status that comes and goes between two looks is not seen: name those that follow as well, as in
    ``until={"funded", "delivered"}``.

    >>> client.wait(escrow.id, until="funded", timeout=3600)

    Raises:
        StillWaiting: so many seconds went by.
        EndedOtherwise: the escrow ended in another status.

    """
    wanted = _statuses(until)
    spent, version, call = 0.0, 0, get(escrow_id)
    while True:
        answered = yield from timed_exchange(call, retries)
        escrow, spent = answered.answer, spent + answered.seconds
        if escrow.status in wanted:
            return escrow
        if escrow.status in ENDED:
            raise EndedOtherwise(f"{escrow_id} is {escrow.status}, and will never be {_named(wanted)}", escrow)
        left = LONGEST_WAIT if timeout is None else min(LONGEST_WAIT, timeout - spent)
        if left <= 0:
            raise StillWaiting(f"{escrow_id} is {escrow.status} after {timeout} s, and not {_named(wanted)}", escrow)
        if escrow.version == version and _came_at_once(call, answered.seconds):
            spent += (yield BREATH).seconds
        version, call = escrow.version, get(escrow_id, wait=math.ceil(left), after_version=escrow.version)


def escrows(
    retries: Retries,
    *,
    status: Status | Iterable[Status] = (),
    reference: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    page_size: int | None = None,
) -> Series[Escrow]:
    """Go through all escrows that fit, the newest first, page by page.

    >>> [escrow.id for escrow in client.escrows(status=("disputed", "held"))]
    """
    cursor: str | None = None
    chosen = several(status)
    while True:
        page = yield from exchange(
            escrow_page(
                status=chosen,
                reference=reference,
                created_after=created_after,
                created_before=created_before,
                cursor=cursor,
                limit=page_size,
            ),
            retries,
        )
        yield Give(page.items)
        if page.next is None:
            return
        cursor = page.next


def deliveries(
    retries: Retries,
    webhook_id: str,
    *,
    status: Literal["pending", "delivered"] | None = None,
    page_size: int | None = None,
) -> Series[Delivery]:
    """Go through what was sent to an endpoint or is to be, the newest first, page by page."""
    cursor: str | None = None
    while True:
        page = yield from exchange(delivery_page(webhook_id, status=status, cursor=cursor, limit=page_size), retries)
        yield Give(page.items)
        if page.next is None:
            return
        cursor = page.next


def log(retries: Retries, escrow_id: str, *, after: int = 0, page_size: int | None = None) -> Series[Event]:
    """Go through an escrow's history as it is now, from the entry after this sequence, inner events included.

    >>> assert verify_chain(client.log(escrow.id)) == ()
    """
    while True:
        page = yield from exchange(log_page(escrow_id, after=after, limit=page_size), retries)
        yield Give(page.items)
        if not page.more:
            return
        after = page.next


def events(
    retries: Retries,
    *,
    after: str | None = None,
    types: str | Iterable[str] = (),
    follow: bool = True,
    page_size: int | None = None,
) -> Series[Event]:
    """Go through the events after a cursor, or all, and then wait for the next, without end.

    With ``follow=False`` it ends with the last one that is there. Keep the ``cursor`` of each event that was dealt
    with, and begin after it next time.

    >>> for event in client.events(after=cursor):
    ...     handle(event)
    ...     cursor = event.cursor
    """
    chosen, held = several(types), LONGEST_WAIT if follow else None
    while True:
        call = event_page(after=after, types=chosen, limit=page_size, wait=held)
        answered = yield from timed_exchange(call, retries)
        page, after = answered.answer, answered.answer.next
        if page.items:
            yield Give(page.items)
        elif not page.more and _came_at_once(call, answered.seconds):
            yield BREATH
        if not page.more and not follow:
            return


def is_alive(retries: Retries) -> Course[bool]:
    """Return whether the service answers at all. Asked once."""
    return (yield from _succeeds(health(), retries))


def is_ready(retries: Retries) -> Course[bool]:
    """Return whether the service can do its work: with its database, and a daemon that is in sync. Asked once."""
    return (yield from _succeeds(readiness(), retries))


# ---------------------------------------------------------------------------------------------------------------------

#: For how many seconds the server is asked to hold an answer back: proxies like to cut what is silent for 30 s or more.
LONGEST_WAIT: Final = 25
#: Before asking again where the server did not hold its answer back, though it was asked to.
BREATH: Final = Pause(0.5, 1.0)
_AT_ONCE: Final = 0.5


def _came_at_once(call: Call[AnswerT], seconds: float) -> bool:
    return call.held_seconds > 0 and seconds < _AT_ONCE


def _succeeds(call: Call[None], retries: Retries) -> Course[bool]:
    once = Retries(tries=1, seconds=retries.try_seconds, try_seconds=retries.try_seconds)
    try:
        yield from exchange(call, once)
    except (ConnectionFailed, ServerError):
        return False
    return True


def _statuses(until: Status | Collection[Status]) -> frozenset[str]:
    wanted: frozenset[str] = frozenset(several(until))
    unknown = wanted.difference(get_args(Status))
    if unknown or not wanted:
        raise Invalid(f"{_named(unknown) or 'nothing'} is no status; there are {', '.join(get_args(Status))}")
    return wanted


def _named(statuses: Collection[str]) -> str:
    return " or ".join(sorted(statuses))
