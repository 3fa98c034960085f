import json
from dataclasses import fields, replace
from typing import Any

import pytest

from escrowd.domain.escrow.endings import wrong_end
from escrowd.domain.escrow.events import DepositSeen, PayoutConfirmed, Released, SplitProposed
from escrowd.domain.escrow.facts import DepositFacts
from escrowd.domain.escrow.history import NO_HASH, LogEntry, broken_links, chained, data_of, types_of
from escrowd.domain.escrow.machine import create, step
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.records import PayoutKind
from tests.unit.domain.escrow.world import AMOUNT, HALF, ID, START, TERMS, reached


def history(length: int = 4) -> list[LogEntry]:
    """Return the first entries of an escrow, each with the hash of the one before."""
    entries: list[LogEntry] = []
    for number in range(1, length + 1):
        previous = entries[-1].hash if entries else NO_HASH
        entry = LogEntry(
            number * 7, f"evt_{number}", ID, number, number, "deposit.seen", "chain", 5, "{}", previous, ""
        )
        entries.append(replace(entry, hash=chained(entry)))
    return entries


def test_whole_history_is_called_broken() -> None:
    """A history in which each entry follows from the one before is whole, and so is an empty one."""
    assert broken_links(history()) == ()
    assert broken_links([]) == ()


@pytest.mark.parametrize("name", [each.name for each in fields(LogEntry) if each.name not in ("cursor", "cause")])
def test_forged_entry_goes_unnoticed(name: str) -> None:
    """Whatever an entry tells of its escrow shows when it is changed; cursor and cause are our own, and not hashed."""
    forged = history()
    old = getattr(forged[1], name)
    changed: dict[str, Any] = {name: old + 1 if isinstance(old, int) else f"{old}x"}
    forged[1] = replace(forged[1], **changed)
    assert broken_links(forged)
    assert broken_links([replace(each, cursor=each.cursor + 1) for each in history()]) == ()


def test_forged_hash_hides_a_forged_entry() -> None:
    """An entry that was changed together with its own hash does not fit the next one."""
    forged = history()
    changed = replace(forged[1], data='{"amount":"2"}')
    forged[1] = replace(changed, hash=chained(changed))
    assert broken_links(forged) == (3,)


def test_missing_entry_goes_unnoticed() -> None:
    """An entry that was taken out, or two that changed places, break the chain there."""
    entries = history()
    assert broken_links(entries[1:])[0] == 2
    assert broken_links([entries[0], *entries[2:]])[0] == 3
    assert broken_links([entries[0], entries[2], entries[1], entries[3]]) == (3, 2, 4)


def test_silent_step_leaves_no_entry() -> None:
    """A step that tells the outside nothing is in the history all the same, under an inner type."""
    funded = reached(Status.FUNDED)
    assert types_of(step(funded, SplitProposed(HALF), Who.BUYER, START)) == ("inner.SplitProposed",)
    paid = PayoutConfirmed("pay_1", PayoutKind.RELEASE, ("t1", "t2"), reached(Status.PAYING).order)
    taken = step(reached(Status.PAYING), paid, Who.SERVICE, START)
    assert types_of(taken) == ("payout.confirmed", "escrow.completed")
    assert data_of(taken) == (
        '{"details":{"kind":"release","order":{"by":"buyer","kind":"release","vendor_share":"1000000000000",'
        '"version":"6"},"payout":"pay_1","txids":["t1","t2"]},'
        '"event":"PayoutConfirmed","reference":"","status":"completed","status_before":"paying"}'
    )
    assert json.loads(data_of(step(funded, Released(), Who.BUYER, START)))["details"] == {}


def test_terms_are_written_with_numbers() -> None:
    """Amounts are strings in the history, since readers lose digits of large numbers; what is not given is null."""
    created = create(ID, replace(TERMS, metadata={"order": "7"}), Who.INTEGRATOR, START)
    content = json.loads(data_of(created))
    assert content["status_before"] is None
    terms = content["details"]["terms"]
    assert (terms["amount"], terms["metadata"], terms["fee"]) == (str(AMOUNT), {"order": "7"}, None)
    assert terms["custody"] == {"buyer": "hosted", "vendor": "hosted", "arbiter": "hosted"}


def test_entry_of_a_version_that_listed_no_payments_holds() -> None:
    """What an older version wrote stays as it was hashed, and is followed by entries that say more (W12)."""
    data = (
        '{"details":{"deposit":{"confirmed":"0","late_seen":"0","late_spendable":"0","seen":"5","uncounted":"0"}},'
        '"event":"DepositSeen","status":"awaiting_funding","status_before":"awaiting_funding"}'
    )
    older = LogEntry(1, "evt_1", ID, 1, 3, "deposit.seen", "chain", 5, data, NO_HASH, "")
    older = replace(older, hash=chained(older))
    assert wrong_end([older], 3, "awaiting_funding") == ""
    seen = step(reached(Status.AWAITING_FUNDING), DepositSeen(DepositFacts(seen=6)), Who.CHAIN, START)
    newer = LogEntry(2, "evt_2", ID, 2, 4, "deposit.seen", "chain", 5, data_of(seen), older.hash, "")
    newer = replace(newer, hash=chained(newer))
    assert broken_links([older, newer]) == ()
    assert wrong_end([older, newer], 4, "awaiting_funding") == ""
