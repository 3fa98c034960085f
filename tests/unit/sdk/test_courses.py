from datetime import UTC, datetime, timedelta, timezone

import pytest

from escrowd.sdk import courses
from escrowd.sdk.errors import ENDED, ConnectionFailed, EndedOtherwise, Invalid, NotFound, StillWaiting
from escrowd.sdk.retries import Retries
from escrowd.wire.escrows import Status
from tests.unit.sdk.driving import drive
from tests.unit.sdk.samples import ESCROW, answered, escrow, event, lost, problem

TWO = Retries(tries=2)


def test_waiting_ends_too_early_or_too_late() -> None:
    """Waiting looks once, then asks to be told of a later version, until the status is one of those wanted."""
    run = drive(
        courses.wait(TWO, ESCROW, until={"funded", "delivered"}),
        answered(escrow("awaiting_funding", 1)),
        answered(escrow("awaiting_funding", 1), seconds=25),
        lost(),
        answered(escrow("confirming", 2)),
        answered(escrow("delivered", 5)),
    )
    assert run.result is not None
    assert (run.result.status, run.result.version) == ("delivered", 5)
    assert [dict(each.query) for each in run.requests] == [
        {},
        {"wait": "25", "after_version": "1"},
        {"wait": "25", "after_version": "1"},
        {"wait": "25", "after_version": "1"},
        {"wait": "25", "after_version": "2"},
    ]


def test_waiting_goes_on_after_its_time() -> None:
    """Waiting ends after its time with the escrow as it was seen last, and asks for no longer than is left."""
    run = drive(
        courses.wait(TWO, ESCROW, until="funded", timeout=30),
        answered(escrow("confirming", 2), seconds=1),
        *[answered(escrow("confirming", 2), seconds=25), answered(escrow("confirming", 2), seconds=4)] * 3,
    )
    assert isinstance(run.error, StillWaiting)
    assert run.error.escrow is not None
    assert (run.error.escrow.version, [run.query(n).get("wait") for n in range(3)]) == (2, [None, "25", "4"])
    assert len(run.requests) == 3


@pytest.mark.parametrize("status", sorted(ENDED))
def test_waiting_for_what_cannot_come_goes_on(status: Status) -> None:
    """An escrow that ended in another status is waited for no longer; one that ended as wanted is the result."""
    run = drive(courses.wait(TWO, ESCROW, until="funded"), answered(escrow(status)))
    assert isinstance(run.error, EndedOtherwise)
    assert run.error.escrow is not None
    assert run.error.escrow.status == status
    run = drive(courses.wait(TWO, ESCROW, until=ENDED), answered(escrow(status)))
    assert run.result is not None


def test_server_that_holds_nothing_back_is_asked_without_a_breath() -> None:
    """Where the server answers at once though it was asked to wait, there is a pause before it is asked again."""
    at_once = answered(escrow("confirming", 2), seconds=0.01)
    run = drive(courses.wait(TWO, ESCROW, until="funded"), at_once, at_once, at_once)
    assert run.pauses == [courses.BREATH] * 2
    empty = answered({"items": [], "next": "9", "more": False}, seconds=0.01)
    assert drive(courses.events(TWO), empty, empty).pauses == [courses.BREATH] * 2


@pytest.mark.parametrize("until", ["fundet", {"funded", "paid"}, (), ""])
def test_status_that_does_not_exist_is_waited_for(until: Status) -> None:
    """A status that is none is refused before anything is sent, with those that exist."""
    run = drive(courses.wait(TWO, ESCROW, until=until))
    assert isinstance(run.error, Invalid)
    assert ("awaiting_funding" in str(run.error), run.requests) == (True, [])


def test_page_is_left_out_or_comes_twice() -> None:
    """All pages come, in order, each asked for with the same filters and the cursor of the one before."""
    plan = courses.escrows(TWO, status=("held", "disputed"), reference="order-1", page_size=2)
    run = drive(
        plan,
        answered({"items": [escrow(version=1), escrow(version=2)], "next": "c1"}),
        lost(),
        answered({"items": [], "next": "c2"}),
        answered({"items": [escrow(version=3)], "next": None}),
    )
    assert ([each.version for each in run.given], run.error) == ([1, 2, 3], None)
    filters = (("status", "held"), ("status", "disputed"), ("reference", "order-1"))
    cursors = ((), (("cursor", "c1"),), (("cursor", "c1"),), (("cursor", "c2"),))
    assert [each.query for each in run.requests] == [(*filters, *cursor, ("limit", "2")) for cursor in cursors]


def test_one_status_is_taken_for_a_list_of_letters() -> None:
    """One status or type alone is one, not each of its letters."""
    assert drive(courses.escrows(TWO, status="held"), answered({"items": []})).query(0) == {"status": "held"}
    page = answered({"items": [], "next": "1", "more": False})
    run = drive(courses.events(TWO, types="escrow.held", follow=False), page)
    assert run.query(0) == {"type": "escrow.held"}


def test_time_without_zone_is_sent() -> None:
    """A time is sent with its zone, and one that has none is refused before anything is sent."""
    here = datetime(2026, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2)))
    run = drive(courses.escrows(TWO, created_after=here), answered({"items": []}))
    assert run.query(0) == {"created_after": "2026-01-02T03:04:00+02:00"}
    naive = datetime.now(UTC).replace(tzinfo=None)
    assert type(drive(courses.escrows(TWO, created_before=naive)).error) is Invalid


def test_log_does_not_come_whole() -> None:
    """The log comes to its present end, each page from where the one before said."""
    run = drive(
        courses.log(TWO, ESCROW),
        answered({"items": [event(1), event(2)], "next": 2, "more": True}),
        answered({"items": [event(3)], "next": 3, "more": False}),
    )
    assert [each.sequence for each in run.given] == [1, 2, 3]
    assert [run.query(n) for n in range(2)] == [{"after": "0"}, {"after": "2"}]


def test_deliveries_do_not_come_whole() -> None:
    """All deliveries of an endpoint come, page by page."""
    sent = {"id": "dlv_1", "event": "evt_1", "type": "escrow.funded", "escrow": ESCROW, "status": "pending"}
    item = {**sent, "attempts": 0, "created_at": "2026-01-02T03:04:05.678Z"}
    run = drive(
        courses.deliveries(TWO, "whk_1", status="pending"),
        answered({"items": [item], "next": "c1"}),
        answered({"items": [item]}),
    )
    assert (len(run.given), run.query(1)) == (2, {"status": "pending", "cursor": "c1"})


def test_following_ends_with_the_last_event() -> None:
    """Following goes on from the cursor of each page, and does not end; without it, the end is the end."""
    pages = [
        answered({"items": [event(1)], "next": "1", "more": True}),
        answered({"items": [event(2)], "next": "2", "more": False}),
        answered({"items": [], "next": "2", "more": False}, seconds=25),
        answered({"items": [event(3)], "next": "3", "more": False}),
    ]
    run = drive(courses.events(TWO, after="0"), *pages)
    assert [each.cursor for each in run.given] == ["1", "2", "3"]
    assert [run.query(n) for n in range(4)] == [{"after": n, "wait": "25"} for n in ("0", "1", "2", "2")]
    run = drive(courses.events(TWO, follow=False), *pages)
    assert ([each.cursor for each in run.given], run.query(0)) == (["1", "2"], {})


def test_following_hides_that_the_server_is_gone() -> None:
    """Following ends with an error when a call was tried to its end, after all that came before."""
    run = drive(courses.events(TWO), answered({"items": [event(1)], "next": "1", "more": False}), lost(), lost())
    assert (type(run.error), [each.cursor for each in run.given]) == (ConnectionFailed, ["1"])


def test_health_is_told_wrongly() -> None:
    """Health is asked once: a good answer means yes, a bad one or none means no, and a refusal is an error."""
    assert drive(courses.is_ready(TWO), answered({"anything": 1})).result is True
    assert drive(courses.is_alive(TWO), answered()).result is True
    for no in (answered(status=503), lost()):
        run = drive(courses.is_ready(TWO), no)
        assert (run.result, len(run.requests)) == (False, 1)
    assert type(drive(courses.is_ready(TWO), answered(problem(404, "not_found"), 404)).error) is NotFound
