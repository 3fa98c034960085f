"""Runs worlds, one for each seed, and says what they saw and which law was broken."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final, cast

from escrowd.service.crash_points import CrashPoint, hit_by
from escrowd.testing.simulation.checks import check_always, check_money
from escrowd.testing.simulation.drawing import deadlines_pass, something_happens, trade_is_under_way
from escrowd.testing.simulation.healing import heal
from escrowd.testing.simulation.loop import SimulatedLoop
from escrowd.testing.simulation.world import Listener, World

#: Events of one world before it heals.
EVENTS: Final = (10, 15, 25)


@dataclass(slots=True)
class Report:
    """What all worlds of a run saw together."""

    worlds: int = 0
    #: How often each row of the state table was taken, by its place in the table.
    rows: Counter[int] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    #: How often each trouble struck at each place.
    struck: Counter[tuple[str, str]] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    #: In which status escrows ended.
    ends: Counter[str] = field(default_factory=Counter)
    steps: Counter[str] = field(default_factory=Counter)

    def add(self, world: World) -> None:
        """Add what one world saw."""
        self.worlds += 1
        self.rows += world.tally.rows
        self.happened += world.tally.happened
        self.errors += world.tally.errors
        self.struck += Counter({(str(trouble), name): times for (trouble, name), times in world.faults.fired.items()})
        self.passed += world.faults.passed
        self.ends += Counter(str(escrow.status) for escrow in world.escrows)
        self.steps += Counter(str(attempt.step) for attempt in world.memory.tables.attempts.values())

    def merge(self, other: "Report") -> None:
        """Add what other worlds saw."""
        self.worlds += other.worlds
        for mine, theirs in zip(self.counters(), other.counters(), strict=True):
            mine.update(theirs)

    def counters(self) -> tuple[Counter[object], ...]:
        """Return all counts, in a fixed order."""
        return cast(
            "tuple[Counter[object], ...]",
            (self.rows, self.happened, self.errors, self.struck, self.passed, self.ends, self.steps),
        )


class BrokenLaw(AssertionError):
    """A law was broken in the world of this seed. The same seed breaks it again."""

    def __init__(self, seed: int, error: BaseException) -> None:
        super().__init__(f"seed {seed}: {type(error).__name__}: {error}")
        self.seed = seed


def run_worlds(seeds: Iterable[int]) -> Report:
    """Run one world for each seed.

    Raises:
        BrokenLaw: at the first world that breaks a law; its cause is what broke.

    """
    report = Report()
    for seed in seeds:
        report.add(run_world(seed))
    return report


def run_world(seed: int, listener: Listener = lambda _world, _event: None) -> World:
    """Run the world of a seed from its beginning until it has healed. Raises BrokenLaw."""
    world = World(seed)
    world.listener = listener
    loop = SimulatedLoop(world.sleep)
    loop.set_exception_handler(lambda _loop, _context: None)
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner(loop_factory=lambda: loop))
        stack.enter_context(hit_by(lambda point: _hit(world, point)))
        try:
            runner.run(_history(world))
        except Exception as error:
            raise BrokenLaw(seed, error) from error
    return world


# ---------------------------------------------------------------------------------------------------------------------


def _hit(world: World, point: CrashPoint) -> None:
    world.faults.pass_named(world.running, point)


async def _history(world: World) -> None:
    await trade_is_under_way(world)
    for _ in range(world.chance.choice(EVENTS)):
        await something_happens(world)
        check_always(world)
    await deadlines_pass(world)
    await heal(world)
    check_money(world)
