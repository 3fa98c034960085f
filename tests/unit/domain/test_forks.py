"""When a hard fork that is announced is near, and how long an escrow can take."""

from dataclasses import replace

import pytest

from escrowd.domain.escrow.events import ForkApproaching
from escrowd.domain.escrow.machine import IllegalMove, step
from escrowd.domain.escrow.status import ENDED, PublicEvent, Status, Who
from escrowd.domain.escrow.terms import DAY, HOUR, DeadlineTerms
from escrowd.domain.forks import AnnouncedFork, notice_of
from tests.unit.domain.escrow.world import START, reached

HEIGHT = 1_000_000
FORK = AnnouncedFork(17, HEIGHT)


@pytest.mark.parametrize(
    ("blocks_left", "within_days"),
    [(21_601, None), (21_600, 30), (10_081, 30), (10_080, 14), (2_161, 14), (2_160, 3), (1, 3), (0, None), (-5, None)],
)
def test_notice_is_that_of_the_last_threshold_passed(blocks_left: int, within_days: int | None) -> None:
    """30, 14 and 3 days are 720 blocks each; a fork that is past is approached no more."""
    notice = notice_of(FORK, HEIGHT - blocks_left)
    assert notice == (None if within_days is None else ForkApproaching(17, HEIGHT, within_days, blocks_left))


def test_fork_is_expected_by_blocks_of_two_minutes() -> None:
    """The time left is the blocks left, two minutes each."""
    assert FORK.seconds_left(HEIGHT - 720) == DAY
    assert FORK.days_left(HEIGHT - 1080) == 1.5
    assert FORK.seconds_left(HEIGHT + 1) == 0


def test_longest_escrow_lets_the_arbiter_have_two_periods() -> None:
    """The last deadline is the second one to rule."""
    assert DeadlineTerms().longest == HOUR + DAY + 14 * DAY + 3 * DAY + 2 * 7 * DAY


@pytest.mark.parametrize("status", sorted(set(Status) - ENDED))
def test_open_escrow_has_each_notice_once_and_stays_as_it_is(status: Status) -> None:
    """A notice changes neither status nor deadline nor decision, and the same one is refused a second time."""
    before = reached(status)
    first = ForkApproaching(17, HEIGHT, 30, 21_000)
    taken = step(before, first, Who.CHAIN, START)
    assert taken.tells == (PublicEvent.FORK_APPROACHING,)
    assert taken.effects == ()
    after = replace(taken.after, version=before.version, returns_to=before.returns_to, fork_notices=())
    assert after == before
    with pytest.raises(IllegalMove, match="it had this notice already"):
        step(taken.after, replace(first, blocks_left=20_000), Who.CHAIN, START)
    assert step(taken.after, replace(first, within_days=14), Who.CHAIN, START).tells


def test_two_daemons_that_announce_different_heights_cause_two_notices_at_most() -> None:
    """The heights of two daemons in turns: each has its notice once."""
    escrow = reached(Status.FUNDED)
    ours, theirs = ForkApproaching(17, HEIGHT, 30, 9), ForkApproaching(17, HEIGHT + 1, 30, 10)
    for notice in (ours, theirs):
        escrow = step(escrow, notice, Who.CHAIN, START).after
    for notice in (ours, theirs):
        with pytest.raises(IllegalMove):
            step(escrow, notice, Who.CHAIN, START)


@pytest.mark.parametrize("status", sorted(ENDED))
def test_ended_escrow_has_no_notice(status: Status) -> None:
    """An escrow that has ended has nothing to settle before a fork."""
    with pytest.raises(IllegalMove):
        step(reached(status), ForkApproaching(17, HEIGHT, 3, 9), Who.CHAIN, START)
