from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.sdk.server_events import ServerEvent, ServerEventReader

STREAM = (
    "\ufeff: welcome\n\n"
    'id: 1\nevent: escrow.funded\ndata: {"a":\ndata: 1}\n\n'
    ":keep-alive\r\n\r\n"
    "id:2\r\ndata:ünïcödé €\r\n\r\n"
    "data: no id of its own\rdata\rdata:  two spaces\r\r"
    "event: nothing without data\nid: 3\n\n"
    "unknown: field\nretry: 2500\nretry: soon\ndata: last\n\n"
    "id: 4\ndata: never ended"
).encode()

EVENTS = (
    ServerEvent("escrow.funded", '{"a":\n1}', "1"),
    ServerEvent("message", "ünïcödé €", "2"),
    ServerEvent("message", "no id of its own\n\n two spaces", "2"),
    ServerEvent("message", "last", "3"),
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_events_depend_on_how_the_stream_is_cut(cuts: list[int]) -> None:
    """However the bytes of a stream are cut into parts, the same events come out of it."""
    reader, places = ServerEventReader(), [0, *sorted(cuts), len(STREAM)]
    events = [each for a, b in pairwise(places) for each in reader.feed(STREAM[a:b])]
    assert (tuple(events), reader.last_id, reader.reconnect_after) == (EVENTS, "3", 2.5)


def test_event_is_not_given_as_soon_as_it_is_whole() -> None:
    """An event comes with the byte that ends it, and not with the next one."""
    reader = ServerEventReader()
    assert reader.feed(b"data: x\r") == ()
    assert reader.feed(b"\r") == (ServerEvent("message", "x", ""),)
    assert reader.feed(b"\ndata: y\n\n") == (ServerEvent("message", "y", ""),)


@pytest.mark.parametrize("line", [b"id: 7\0", b"ID: 7", b":id: 7", b" id: 7"])
def test_id_is_taken_from_a_line_that_has_none(line: bytes) -> None:
    """An id with NUL in it, and what only looks like one, leave the last id as it was."""
    reader = ServerEventReader("5")
    assert reader.feed(line + b"\ndata: x\n\n") == (ServerEvent("message", "x", "5"),)
    assert reader.last_id == "5"


def test_reading_goes_on_after_an_event_that_was_cut_off() -> None:
    """The id to go on with is that of the last whole event, not of one that was begun."""
    reader = ServerEventReader()
    reader.feed(b"id: 1\ndata: x\n\nid: 2\ndata: y\n")
    assert reader.last_id == "1"
