"""A wall clock that is set forward or back delays no work, and gives or takes no time of a deadline (finding W9)."""

import itertools
import random

import pytest

from escrowd.domain.service_clock import FURTHEST, LONGEST_GAP, ServiceClock
from escrowd.service.clock import BEAT_INTERVAL
from escrowd.service.worker import WorkerSettings

NOW = 1_700_000_000_000
SECOND = 1_000
DAY = 86_400 * SECOND
BEAT = int(BEAT_INTERVAL * SECOND)


def beaten(clock: ServiceClock, utc: int, *, beats: int = 1) -> ServiceClock:
    """Return the clock after beats of a service in sync, the first one now."""
    for number in range(beats):
        clock = clock.after_beat(utc + number * BEAT, counts=True)
    return clock


def test_work_clock_is_the_wall_clock_that_was_never_set_back() -> None:
    """Before the first beat and after any: what older versions stored by the wall clock is right."""
    clock = ServiceClock()
    assert clock.work_time(NOW) == NOW
    assert beaten(clock, NOW, beats=9).work_time(NOW + 60 * SECOND) == NOW + 60 * SECOND


def test_work_clock_stands_still_from_a_jump_back_to_the_next_beat() -> None:
    """What is woken meanwhile is due at once, and nothing that was due is waited for again."""
    clock = beaten(ServiceClock(), NOW)
    assert clock.work_time(NOW + 3 * SECOND - DAY) == NOW


def test_work_clock_goes_on_from_the_beat_after_a_jump_back() -> None:
    """What was due in a minute at the jump is due a minute after that beat."""
    clock = beaten(beaten(ServiceClock(), NOW), NOW + 3 * SECOND - DAY)
    assert clock.work_time(NOW + 63 * SECOND - DAY) == NOW + 60 * SECOND


def test_work_clock_goes_on_where_the_service_was_down_at_the_jump() -> None:
    """At a start the first beat sets it right; a machine may even begin in 1970, and be set to the time afterwards."""
    clock = beaten(ServiceClock(), NOW).after_beat(0, counts=False)
    assert clock.work_time(10 * SECOND) == NOW + 10 * SECOND
    clock = clock.after_beat(NOW, counts=True)
    assert clock.work_time(NOW + SECOND) - clock.work_time(NOW) == SECOND


def test_jump_forward_and_back_delays_nothing() -> None:
    """What was stored while the clock was wrong is due when it was to be, and not a day later."""
    clock = beaten(beaten(ServiceClock(), NOW), NOW + DAY)
    due = clock.work_time(NOW + DAY) + 60 * SECOND
    clock = beaten(clock, NOW + BEAT)
    assert clock.work_time(NOW + BEAT + 60 * SECOND) >= due


def test_work_clock_never_goes_back_from_beat_to_beat() -> None:
    """Whatever the wall clock does; and where it is read between beats it is never far from them."""
    chance = random.Random(9)
    clock, utc = ServiceClock().after_beat(NOW, counts=True), NOW
    for _ in range(2_000):
        last_beat = clock.last_beat or 0
        utc += chance.choice((1, SECOND, BEAT, DAY, -SECOND, -DAY, -30 * DAY))
        assert last_beat <= clock.work_time(utc) <= last_beat + FURTHEST
        if chance.random() < 0.5:
            clock = clock.after_beat(utc, counts=chance.random() < 0.9)
            assert (clock.last_beat or 0) >= last_beat
            assert clock.work_time(utc) == clock.last_beat


def test_jump_forward_and_back_between_two_beats_delays_by_a_minute_at_most() -> None:
    """Nothing but what was stored shows that there was such a jump."""
    clock = beaten(ServiceClock(), NOW)
    due = clock.work_time(NOW + DAY) + 60 * SECOND
    assert due <= clock.work_time(NOW) + 60 * SECOND + FURTHEST


def test_work_clock_waits_for_the_beat_of_a_service_that_was_down() -> None:
    """The first beat of the next run sets it to the time."""
    clock = beaten(ServiceClock(), NOW)
    assert clock.work_time(NOW + DAY) == NOW + FURTHEST
    assert beaten(clock, NOW + DAY).work_time(NOW + DAY) == NOW + DAY


def test_work_clock_outlasts_each_claim_without_a_beat() -> None:
    """Else an instance that was killed, the only one, would be shown as living until another one starts."""
    assert WorkerSettings().lease * SECOND + BEAT_INTERVAL * SECOND < FURTHEST


@pytest.mark.parametrize("jump", [-DAY, -3 * SECOND, DAY])
def test_running_clock_loses_one_beat_at_a_jump(jump: int) -> None:
    """Neither a jump back nor one beyond the longest gap adds anything; what follows counts as before."""
    before = beaten(ServiceClock(), NOW, beats=4)
    after = beaten(before, NOW + 4 * BEAT + jump, beats=4)
    gained = after.running - before.running
    assert 3 * BEAT <= gained <= 4 * BEAT


def test_running_clock_gains_no_more_than_the_longest_gap() -> None:
    """A jump forward that could be a slow beat counts as one: nothing shows the difference."""
    before = beaten(ServiceClock(), NOW, beats=2)
    gains = [beaten(before, NOW + BEAT + jump).running - before.running for jump in range(0, 2 * DAY, 7 * SECOND)]
    assert max(gains) <= LONGEST_GAP


def test_running_clock_counts_no_time_of_a_service_that_was_down() -> None:
    """Nor of one that was out of sync at either end of the time between two beats."""
    spans = ((0, True), (BEAT, True), (BEAT, False), (BEAT, True), (BEAT, True), (LONGEST_GAP + 1, True))
    clock, seen, utc = ServiceClock(), [], NOW
    for passed, counts in spans:
        utc += passed
        clock = clock.after_beat(utc, counts=counts)
        seen.append(clock.running)
    assert [after - before for before, after in itertools.pairwise(seen)] == [BEAT, 0, 0, BEAT, 0]
