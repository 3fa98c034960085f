"""The fee rate that previews, commands and new escrows are judged by: polled apart, and known without an RPC."""

import asyncio
from collections.abc import Iterator

from typing_extensions import override

from escrowd.domain.payouts.fees import FeeRate
from escrowd.monero.errors import Unreachable
from escrowd.service.payouts.rates import FeeRates

CHEAP, DEAR = FeeRate(20_000), FeeRate(80_000)


class Daemon:
    """Answers in this order, and counts the calls; ``None`` is a daemon that does not answer."""

    def __init__(self, *answers: FeeRate | None) -> None:
        self._answers: Iterator[FeeRate | None] = iter(answers)
        self.calls = 0

    async def __call__(self) -> FeeRate:
        self.calls += 1
        rate = next(self._answers)
        if rate is None:
            raise Unreachable("connection refused")
        return rate


class Clock:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_rate_is_known_without_a_call_to_the_daemon() -> None:
    """W11: database transactions read the rate; only polls call the daemon, once at the start."""
    daemon = Daemon(CHEAP)
    async with FeeRates(daemon) as rates:
        assert [rates.normal() for _ in range(3)] == [CHEAP] * 3
    assert daemon.calls == 1


async def test_rate_follows_the_daemon() -> None:
    """The newest answer counts, and polling ends with the block."""
    daemon = Daemon(CHEAP, DEAR, *[DEAR] * 1000)
    async with FeeRates(daemon, interval=0.001) as rates, asyncio.timeout(5):
        while rates.normal() != DEAR:
            await asyncio.sleep(0)
    calls = daemon.calls
    await asyncio.sleep(0.01)
    assert daemon.calls == calls


async def test_last_rate_is_used_for_a_bounded_time_while_the_daemon_is_silent() -> None:
    """A rate that is older than the limit is not known: then nothing is judged by it."""
    clock = Clock()
    rates = FeeRates(Daemon(CHEAP, None, DEAR), max_age=600, clock=clock)
    assert rates.normal() is None
    await rates.poll()
    clock.now += 600
    await rates.poll()
    assert rates.normal() == CHEAP
    clock.now += 1
    assert rates.normal() is None
    await rates.poll()
    assert rates.normal() == DEAR


async def test_polling_goes_on_after_a_failure() -> None:
    """A daemon that answers again is noticed, whatever went wrong before, a bug included."""

    class Broken(Daemon):
        @override
        async def __call__(self) -> FeeRate:
            if self.calls == 1:
                self.calls += 1
                raise RuntimeError("bug")
            return await super().__call__()

    async with FeeRates(Broken(None, CHEAP, *[CHEAP] * 1000), interval=0.001) as rates, asyncio.timeout(5):
        while rates.normal() is None:
            await asyncio.sleep(0)
