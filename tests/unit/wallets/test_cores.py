import asyncio
from functools import partial

import pytest

from escrowd.wallets.cores import Cores
from tests.unit.wallets.conftest import settle


async def test_more_works_than_cores_run_at_once() -> None:
    """Of works that need one core each, as many run as there are cores; the others wait their turn."""
    cores = Cores(2)
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        async with cores.one():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(work() for _ in range(7)))
    assert most == 2
    assert cores.idle == 2


async def test_set_of_works_waits_for_itself() -> None:
    """Works that go together begin together, on all cores, and give cores back as they end."""
    cores = Cores(2)
    gates = [asyncio.Event() for _ in range(3)]
    begun: list[int] = []

    async def work(number: int) -> int:
        begun.append(number)
        await gates[number].wait()
        return number

    together = asyncio.create_task(cores.together([partial(work, number) for number in range(3)]))
    await settle()
    assert (begun, cores.idle) == ([0, 1, 2], 0)
    single = asyncio.create_task(hold(cores))
    gates[0].set()
    await settle()
    assert not single.done()  # two works still run on two cores
    gates[1].set()
    await settle()
    assert single.done()
    gates[2].set()
    assert await together == [0, 1, 2]
    assert cores.idle == 2


async def hold(cores: Cores) -> None:
    async with cores.one():
        await asyncio.sleep(0)


async def test_two_sets_hold_half_the_cores_each() -> None:
    """Sets take turns: two at the same time both end."""
    cores = Cores(2)

    async def work() -> None:
        await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await asyncio.gather(*(cores.together([work] * 3) for _ in range(5)))
    assert cores.idle == 2


async def test_failed_or_cancelled_set_keeps_its_cores() -> None:
    """A set of which one work fails, or that is cancelled at any point, gives every core back and leaves no work."""
    cores = Cores(2)
    ended: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("wait")

    with pytest.raises(ValueError, match="no"):
        await cores.together([wait, fail, wait])
    assert (ended, cores.idle) == (["wait", "wait"], 2)

    async with cores.one():
        waiting = asyncio.create_task(cores.together([wait, wait, wait]))
        await settle()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert (ended, cores.idle) == (["wait", "wait"], 2)
    running = asyncio.create_task(cores.together([wait, wait, wait]))
    await settle()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (len(ended), cores.idle) == (5, 2)
