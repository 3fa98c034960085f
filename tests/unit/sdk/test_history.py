from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.escrow.history import LogEntry, broken_links, chained
from escrowd.domain.identifiers import EscrowId
from escrowd.sdk.history import NO_HASH, hash_of, verify_chain
from escrowd.wire.events import Event
from escrowd.wire.values import timestamp
from tests.unit.sdk.samples import ESCROW

JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**63), 2**64 - 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def entry(number: int, previous: str, data: dict[str, Any], at: int) -> LogEntry:
    """Return an entry as the store writes it."""
    text = msgspec.json.encode(data, order="deterministic").decode()
    blank = LogEntry(
        number,
        f"evt_{number}",
        EscrowId(ESCROW),
        number,
        number,
        "inner.X",
        "chain",
        at,
        text,
        previous,
        "",
    )
    return replace(blank, hash=chained(blank))


def on_the_wire(each: LogEntry) -> Event:
    """Return an entry as it comes from the API."""
    shown = Event(
        id=each.id,
        type=each.type,
        timestamp=timestamp(each.at),
        escrow=each.escrow,
        cursor=str(each.cursor),
        sequence=each.sequence,
        version=each.version,
        who=each.who,
        data=msgspec.json.decode(each.data),
        previous_hash=each.previous_hash,
        hash=each.hash,
    )
    return Event.model_validate_json(shown.model_dump_json())


def history(length: int) -> list[Event]:
    """Return the log of an escrow."""
    entries: list[LogEntry] = []
    for number in range(1, length + 1):
        data = {"z": "é€\u007f\u2028", "event": f"Number{number}", "a": {"b": [None, True], "a": str(2**64)}}
        entries.append(entry(number, entries[-1].hash if entries else NO_HASH, data, 1_767_323_045_678 + number))
    assert broken_links(entries) == ()
    return [on_the_wire(each) for each in entries]


@given(st.dictionaries(st.text(), JSON, max_size=5), st.integers(0, 4_102_444_800_000))
def test_client_and_service_hash_differently(data: dict[str, Any], at: int) -> None:
    """Whatever an entry says and whenever, the client computes the hash that the service did."""
    written = entry(1, NO_HASH, data, at)
    assert hash_of(on_the_wire(written)) == written.hash


def test_whole_log_is_found_broken() -> None:
    """A log as the service wrote it is whole, from its beginning or from an entry that was checked before."""
    log = history(5)
    assert verify_chain(log) == ()
    assert verify_chain(log[2:], after=log[1]) == ()
    assert verify_chain([]) == ()


CHANGES: list[dict[str, object]] = [
    {"data": {"event": "Other"}},
    {"type": "escrow.funded"},
    {"who": "operator"},
    {"version": 9},
    {"id": "evt_9"},
    {"escrow": "esc_0000000000000000000000000b"},
    {"timestamp": timestamp(1_767_323_045_682)},
    {"hash": "0" * 64},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_changed_entry_is_not_found(change: dict[str, object]) -> None:
    """Whatever is changed in an entry, it is found."""
    log = history(5)
    log[2] = log[2].model_copy(update=change)
    assert 3 in verify_chain(log)


def test_missing_or_moved_entry_is_not_found() -> None:
    """An entry that was left out, moved, repeated, or taken from another escrow breaks the chain where it should be."""
    log = history(5)
    assert verify_chain([*log[:2], *log[3:]]) == (4,)
    assert verify_chain(log[1:]) == (2,)
    assert 3 in verify_chain([log[0], log[2], log[1], *log[3:]])
    assert verify_chain([*log[:3], log[2], *log[3:]]) == (3,)
    stranger = log[0].model_copy(update={"escrow": "esc_0000000000000000000000000b"})
    assert verify_chain(log[1:], after=stranger.model_copy(update={"hash": log[0].hash})) == (2, 3, 4, 5)
