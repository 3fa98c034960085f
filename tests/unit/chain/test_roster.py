from escrowd.chain.ports import Lane, WatchedAddress
from escrowd.chain.roster import Roster
from escrowd.chain.watched_keys import WatchedKeys
from escrowd.chain.watcher import WatcherSettings
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.outputs import SPENDABLE_AGE
from escrowd.domain.secret import Secret


def roster(*addresses: tuple[str, Lane, int | None]) -> Roster:
    """Return a roster of addresses by name, lane and own cursor."""
    made = Roster()
    for name, lane, scanned in addresses:
        escrow = EscrowId(name)
        made.put(WatchedAddress(escrow, "4", Secret("0"), 0, lane, scanned), WatchedKeys(escrow, b"", {}))
    return made


def names(keys: tuple[WatchedKeys, ...]) -> list[str]:
    return [each.escrow for each in keys]


def catching_up(roster: Roster, height: int, every: int = 60) -> tuple[int, int, list[str]] | None:
    behind = roster.behind(height, every)
    return None if behind is None else (behind.start, behind.end, names(behind.keys))


def test_address_that_is_behind_is_skipped() -> None:
    """Only who has seen all blocks below the cursor goes on with it; the others would miss some."""
    watched = roster(
        ("in step", Lane.ACTIVE, None),
        ("there", Lane.ACTIVE, 100),
        ("ahead", Lane.ACTIVE, 120),
        ("behind", Lane.ACTIVE, 99),
        ("resting", Lane.RESTING, 100),
    )
    assert names(watched.in_step(100)) == ["in step", "there", "ahead"]
    assert watched.joining(100) == {"there": None, "ahead": None}
    assert names(watched.active()) == ["in step", "there", "ahead", "behind"]


def test_addresses_never_meet() -> None:
    """Who is furthest behind goes first, and no further than the next one, so that both go on together."""
    watched = roster(("a", Lane.ACTIVE, 10), ("b", Lane.ACTIVE, 40), ("c", Lane.ACTIVE, 10), ("d", Lane.ACTIVE, None))
    assert catching_up(watched, 100) == (10, 40, ["a", "c"])
    watched.apply({EscrowId("a"): 40, EscrowId("c"): 40}, None)
    assert catching_up(watched, 100) == (40, 100, ["a", "b", "c"])
    watched.apply(dict.fromkeys(map(EscrowId, "abc"), 100), None)
    assert catching_up(watched, 100) is None


def test_resting_address_is_looked_for_too_often() -> None:
    """Who rests is looked for when it is so many blocks behind, and after everybody who is active."""
    watched = roster(("resting", Lane.RESTING, 41), ("active", Lane.ACTIVE, 90))
    assert catching_up(watched, 100) == (90, 100, ["active"])
    watched.apply({EscrowId("active"): None}, None)
    assert catching_up(watched, 100) is None
    assert catching_up(watched, 101) == (41, 101, ["resting"])


def test_archived_address_is_scanned_by_the_time_its_money_can_be_spent() -> None:
    """W15: a late deposit in block 100 can be spent at a height of 110, and is found then, with the usual settings."""
    every = WatcherSettings(Network.REGTEST).resting_every
    watched = roster(("archived", Lane.RESTING, 100))
    assert catching_up(watched, 100 + SPENDABLE_AGE - 1, every) is None
    assert catching_up(watched, 100 + SPENDABLE_AGE, every) == (100, 100 + SPENDABLE_AGE, ["archived"])


def test_first_block_is_asked_for() -> None:
    """The first block of a chain pays nobody, and is passed over."""
    assert catching_up(roster(("a", Lane.ACTIVE, 0)), 1) == (1, 1, ["a"])
    assert catching_up(roster(("a", Lane.ACTIVE, 0)), 5) == (1, 5, ["a"])


def test_rollback_leaves_cursors_in_the_air() -> None:
    """Cursors above a rollback go back to it; the common cursor is not theirs."""
    watched = roster(("above", Lane.RESTING, 90), ("below", Lane.RESTING, 10), ("in step", Lane.ACTIVE, None))
    watched.apply({}, 50)
    scanned = {name: each.scanned for name in ("above", "below", "in step") if (each := watched.get(EscrowId(name)))}
    assert scanned == {"above": 50, "below": 10, "in step": None}
