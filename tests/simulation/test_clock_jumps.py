"""A world whose wall clock is set: no time passes by it, and no work is delayed by it (finding W9)."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from escrowd.testing.simulation.loop import SimulatedLoop
from escrowd.testing.simulation.memory import LEASE
from escrowd.testing.simulation.world import BEAT, World

DAY = 86_400


def run(story: Coroutine[Any, Any, None]) -> None:
    loop = SimulatedLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(story)


async def world_with_an_escrow(seed: int = 1) -> World:
    world = World(seed)
    await world.create()
    return world


@pytest.mark.parametrize("jump", [-DAY, DAY])
def test_jump_of_the_clock_passes_no_time(jump: float) -> None:
    """The chain goes on by its own time, and the running clock neither gains nor loses more than a beat."""

    async def story() -> None:
        world = await world_with_an_escrow()
        now, running = world.now, world.memory.tables.clock.running
        world.jump_clock(jump)
        assert (world.now, world.wall_clock) == (now, now + jump * 1000)
        world.beat()
        assert 0 <= world.memory.tables.clock.running - running <= BEAT
        world.mine()
        assert world.chain.blocks[-1].time == world.now // 1000

    run(story())


@pytest.mark.parametrize("jumps", [(-DAY,), (DAY, -DAY), (-DAY, -DAY, 3 * DAY)])
def test_timer_and_claim_end_in_time_where_the_clock_jumps(jumps: tuple[float, ...]) -> None:
    """Neither a jump nor several of them let a claim last longer than its lease, by the time that passes."""

    async def story() -> None:
        world = await world_with_an_escrow()
        (escrow,) = world.memory.tables.escrows
        claim = await world.service.store.claim(escrow, "dead")
        assert claim is not None
        for jump in jumps:
            world.jump_clock(jump)
            world.pass_time(1)
        with_time_left = LEASE / 1000 - len(jumps) - 1
        claim.check()
        if sum(jumps) < 0:
            assert await world.service.store.claim(escrow, "other") is None
        world.pass_time(with_time_left + 2)
        assert await world.service.store.claim(escrow, "other") is not None

    run(story())
