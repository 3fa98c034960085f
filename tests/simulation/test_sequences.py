"""Ten thousand worlds, and whether they were hostile enough to prove anything."""

import os
from contextlib import suppress

import pytest

from escrowd.domain.escrow.status import ENDED, Status
from escrowd.domain.escrow.table import TABLE
from escrowd.domain.payouts.records import AttemptStep
from escrowd.service.crash_points import CrashPoint
from escrowd.testing.simulation.driver import BrokenLaw, Report, run_world, run_worlds
from escrowd.testing.simulation.faults import Trouble

# In random order any of these may be the one that runs all worlds.
pytestmark = pytest.mark.timeout(1800)

#: Where the seeds begin. Set to the seed of a failure, the first world is that very one.
FIRST_SEED = int(os.environ.get("ESCROWD_SIMULATION_SEED", "0"))
BATCHES = 20
WORLDS = 500
#: What becomes of deposits, payouts and wallets, of which no world may be short.
HAPPENINGS = (
    "payout refused",
    "decided anew",
    "old payout mined",
    "rival mined instead",
    "part of a payout mined",
    "deposit double spent",
    "spent outside",
    "outside spend gone",
    "cache lost",
    "keys lost",
    "the_clock_is_set",
)


_reports: dict[int, Report | BrokenLaw] = {}


def report_of(batch: int) -> Report:
    """Run a batch of worlds once, for whichever test asks first."""
    if batch not in _reports:
        first = FIRST_SEED + batch * WORLDS
        try:
            _reports[batch] = run_worlds(range(first, first + WORLDS))
        except BrokenLaw as error:
            _reports[batch] = error
    report = _reports[batch]
    if isinstance(report, BrokenLaw):
        raise report
    return report


def whole_run() -> Report:
    """Put the reports of all batches together; one that found a broken law has a failed test of its own."""
    whole = Report()
    for batch in range(BATCHES):
        with suppress(BrokenLaw):
            whole.merge(report_of(batch))
    return whole


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_world_keeps_the_laws_and_comes_to_an_end(batch: int) -> None:
    """Whatever people, blocks, machines and chance do, all money goes once, where the right decision sends it."""
    assert report_of(batch).worlds == WORLDS


def test_same_seed_makes_the_same_world() -> None:
    """A world follows from its seed alone, to the last hash of its log."""
    hashes = [[entry.hash for log in run_world(7).memory.tables.log.values() for entry in log] for _ in range(2)]
    assert hashes[0] == hashes[1]
    assert hashes[0]


def test_broken_law_names_its_seed() -> None:
    """A broken law names the seed that breaks it again."""
    assert "seed 4711" in str(BrokenLaw(4711, ValueError("nothing")))


def test_every_row_of_the_table_is_taken() -> None:
    """In the whole run every row of the state table is taken: what is not tried is not shown."""
    rows = whole_run().rows
    missing = [
        f"{row.status} {row.sends.__name__} by {'/'.join(sorted(row.who))} if {row.provided.__name__}"
        for number, row in enumerate(TABLE)
        if not rows[number]
    ]
    assert missing == []


@pytest.mark.parametrize("trouble", Trouble)
def test_every_trouble_strikes_at_many_places(trouble: Trouble) -> None:
    """In the whole run every kind of trouble strikes many times, and at many places."""
    struck = {place: times for (kind, place), times in whole_run().struck.items() if kind == trouble}
    assert sum(struck.values()) >= 50
    assert len(struck) >= (1 if trouble is Trouble.DISK_FULL else 10)


@pytest.mark.parametrize("point", CrashPoint)
def test_every_crash_point_is_hit(point: CrashPoint) -> None:
    """In the whole run the service is killed at each place that has a name."""
    assert whole_run().struck[Trouble.CRASH_BEFORE, point] > 0


def test_services_recover_from_deaths() -> None:
    """In the whole run services are started after a death, and find attempts at payouts that they have to give up."""
    whole = whole_run()
    assert whole.happened["restart"] >= BATCHES * WORLDS
    assert whole.steps[AttemptStep.DISCARDED] >= 500
    assert whole.errors["LeaseLost"] >= 10
    assert whole.happened["older wallet restored"] >= 100


@pytest.mark.parametrize("happening", HAPPENINGS)
def test_every_reversal_happens(happening: str) -> None:
    """In the whole run payouts are refused, mined after all and mined in part; deposits, caches and keys are lost."""
    assert whole_run().happened[happening] >= 50


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.REFUNDED, Status.SPLIT, Status.EXPIRED, Status.CANCELLED])
def test_every_end_is_reached(status: Status) -> None:
    """In the whole run escrows come to every end there is."""
    assert whole_run().ends[status] >= 100


def test_escrow_has_no_end_only_where_two_keys_are_lost() -> None:
    """In the whole run some escrows lose two of three keys before their end, and no others are left open."""
    whole = whole_run()
    unended = sum(times for status, times in whole.ends.items() if Status(status) not in ENDED)
    assert 0 < unended <= whole.happened["keys lost"] // 2
