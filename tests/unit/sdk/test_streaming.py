import json
from collections.abc import Mapping

import pytest

from escrowd.sdk.errors import ConnectionFailed, EscrowClientError, ServerError, Unauthorised, UnreadableAnswer
from escrowd.sdk.retries import Retries
from escrowd.sdk.steps import Outcome
from escrowd.sdk.streaming import SILENCE, stream
from tests.unit.sdk.driving import drive
from tests.unit.sdk.samples import answered, event, lost, not_sent, problem

THREE = Retries(tries=3)
OPEN = Outcome(status=200, headers={"content-type": "text/event-stream; charset=utf-8"})
ALIVE = Outcome(body=b": keep-alive\n\n")
END = Outcome()


def said(*numbers: int) -> Outcome:
    """Return a part of the stream with these events."""
    texts = (f"id: {n}\nevent: escrow.funded\ndata: {json.dumps(event(n))}\n\n" for n in numbers)
    return Outcome(body="".join(texts).encode())


def asked(query: tuple[tuple[str, str], ...], headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return from where a request wants the stream, as its query and as its header say it."""
    return dict(query).get("after"), headers.get("Last-Event-ID")


def test_stream_does_not_go_on_where_it_broke() -> None:
    """After each kind of break, the stream is asked for from the last event that was given."""
    run = drive(
        stream(THREE, after="4"), OPEN, said(5, 6), lost(), not_sent(), OPEN, END, OPEN, ALIVE, said(7), END, OPEN
    )
    assert [each.cursor for each in run.given] == ["5", "6", "7"]
    places = [asked(each.query, each.headers) for each in run.requests]
    assert places == [("4", "4"), ("6", "6"), ("6", "6"), ("6", "6"), ("7", "7")]


def test_stream_from_the_beginning_names_a_place() -> None:
    """Without a cursor, the stream is asked for from its beginning."""
    run = drive(stream(THREE), OPEN)
    assert asked(run.requests[0].query, run.requests[0].headers) == (None, None)


def test_stream_of_some_types_becomes_one_of_all() -> None:
    """The types that were asked for are asked for again after a break."""
    run = drive(stream(THREE, types=("escrow.held", "escrow.funded")), OPEN, said(1), END, OPEN)
    wanted = (("type", "escrow.held"), ("type", "escrow.funded"))
    assert [each.query for each in run.requests] == [wanted, (("after", "1"), *wanted)]


def test_event_that_was_cut_off_is_lost() -> None:
    """What a break cut off is not given, and asked for again."""
    run = drive(stream(THREE), OPEN, said(1), Outcome(body=b"id: 2\ndata: {"), lost(), OPEN, said(2))
    assert ([each.cursor for each in run.given], run.query(1)) == (["1", "2"], {"after": "1"})


@pytest.mark.parametrize(
    ("outcomes", "kind", "tries"),
    [
        ([not_sent()], ConnectionFailed, 3),
        ([lost()], ConnectionFailed, 3),
        ([OPEN, END], ConnectionFailed, 3),
        ([answered(problem(503, "busy", "safe"), 503)], ServerError, 3),
        ([answered(problem(401, "no_such_key"), 401)], Unauthorised, 1),
        ([answered({}, headers={"content-type": "application/json"})], UnreadableAnswer, 1),
    ],
)
def test_stream_that_never_comes_is_waited_for(
    outcomes: list[Outcome], kind: type[EscrowClientError], tries: int
) -> None:
    """After as many tries in a row as patience has, or at once where it is refused, the stream ends with an error."""
    run = drive(stream(THREE), *outcomes * 5)
    assert (type(run.error), len(run.requests)) == (kind, tries)


def test_quiet_stream_is_taken_for_a_failing_one() -> None:
    """A connection over which anything came, a comment even, lets the count of failures begin anew."""
    run = drive(stream(THREE), *[OPEN, ALIVE, END] * 20)
    assert (run.error, len(run.requests)) == (None, 20)


def test_wish_of_the_server_for_a_pause_is_not_heeded() -> None:
    """The pause before the next connection is the one that the stream itself named, or the refusal of it."""
    run = drive(stream(THREE), OPEN, Outcome(body=b"retry: 9000\n\n"), END)
    assert [pause.least for pause in run.pauses] == [9.0]
    run = drive(stream(THREE), answered(status=503, headers={"retry-after": "11"}))
    assert [pause.least for pause in run.pauses] == [11.0]


def test_event_that_is_none_is_passed_over() -> None:
    """What cannot be read as an event ends the stream with an error, without the text of it."""
    run = drive(stream(THREE), OPEN, Outcome(body=b'data: {"token": "CANARY"}\n\n'))
    assert isinstance(run.error, UnreadableAnswer)
    assert "CANARY" not in f"{run.error!r} {run.error.__cause__!r}"


def test_dead_connection_is_listened_to() -> None:
    """Every connection is given up after a time without a sign of life."""
    run = drive(stream(THREE), OPEN)
    assert getattr(run.steps[0], "silence", None) == SILENCE
