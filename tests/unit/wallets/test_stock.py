import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import KeySet
from escrowd.testing.keying import KeySets, MemoryShelf
from escrowd.wallets import stock as module
from escrowd.wallets.stock import Capacity, Stock, StockSettings, is_filling, sets_to_start
from tests.unit.wallets.conftest import settle

IDLE = Capacity(cores=2, idle_cores=2, processes=100, is_pressed=False)

numbers = st.integers(min_value=0, max_value=20)
capacities = st.builds(
    Capacity, cores=st.integers(1, 16), idle_cores=st.integers(0, 16), processes=numbers, is_pressed=st.booleans()
)
settings = st.builds(StockSettings, size=numbers, low_water=numbers, at_once=st.integers(1, 4))


class FakeMaker:
    """Makes sets when the test lets it."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked: list[EscrowId] = []
        self.withdrawn: list[EscrowId] = []
        self.fails: EscrowdError | None = None

    async def make(self, escrow: EscrowId) -> KeySet:
        self.asked.append(escrow)
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        return KeySet(escrow, "4fake", "sealed", 0, "transcript", ())

    async def withdraw(self, escrow: EscrowId) -> None:
        self.withdrawn.append(escrow)


Stocking = Callable[..., AbstractAsyncContextManager[Stock]]


@pytest.fixture
def maker() -> FakeMaker:
    return FakeMaker()


@pytest.fixture
def shelf() -> MemoryShelf:
    return MemoryShelf(KeySets())


@pytest.fixture
def stocking(maker: FakeMaker, shelf: MemoryShelf) -> Stocking:
    names = (EscrowId(f"esc_{number}") for number in count())

    @asynccontextmanager
    async def make(capacity: Callable[[], Capacity] = lambda: IDLE, **changes: float) -> AsyncIterator[Stock]:
        values: dict[str, float] = {"size": 2, "low_water": 2, "pause": 0, "check_interval": 0.01} | changes
        made = StockSettings(**values)  # type: ignore[arg-type] # names and types are the test's
        async with Stock(shelf, maker, capacity, lambda: next(names), made) as stock:
            await settle()
            yield stock

    return make


@given(ready=numbers, making=numbers, capacity=capacities, wanted=settings, was_filling=st.booleans())
def test_stock_takes_what_others_need(
    ready: int, making: int, capacity: Capacity, wanted: StockSettings, *, was_filling: bool
) -> None:
    """Sets begin only below the mark, within size, number at once, idle cores and processes, and never under load."""
    filling = is_filling(ready, making, wanted, was_filling=was_filling)
    started = sets_to_start(ready, making, capacity, wanted, filling=filling)
    assert started >= 0
    if started:
        assert ready + making + started <= wanted.size
        assert making + started <= wanted.at_once
        assert started * 3 <= capacity.processes
        assert started * min(3, capacity.cores) <= capacity.idle_cores
        assert not capacity.is_pressed
        assert was_filling or ready + making < wanted.low_water


@given(ready=numbers, wanted=settings)
def test_idle_machine_leaves_the_stock_empty(ready: int, wanted: StockSettings) -> None:
    """On an idle machine a stock below its low-water mark is filled."""
    filling = is_filling(ready, 0, wanted, was_filling=False)
    started = sets_to_start(ready, 0, IDLE, wanted, filling=filling)
    assert (started > 0) == (ready < min(wanted.size, wanted.low_water))


def test_filling_ends_at_the_low_water_mark() -> None:
    """Filling begins below the low-water mark and goes on until the stock is full."""
    wanted = StockSettings(size=5, low_water=2)
    assert is_filling(1, 0, wanted, was_filling=False)
    assert is_filling(3, 1, wanted, was_filling=True)
    assert not is_filling(3, 1, wanted, was_filling=False)
    assert not is_filling(4, 1, wanted, was_filling=True)


async def test_taken_set_is_not_replaced(stocking: Stocking, maker: FakeMaker, shelf: MemoryShelf) -> None:
    """The stock fills up to its size, one set at a time, stops, and goes on when a set is taken."""
    async with stocking() as stock:
        assert (len(maker.asked), shelf.making) == (1, maker.asked)
        maker.gate.set()
        await reach(lambda: len(shelf.sets) == 2)
        await settle()
        assert (len(maker.asked), stock.stats().made, shelf.making) == (2, 2, [])
        taken = shelf.take()
        stock.taken()
        await reach(lambda: len(shelf.sets) == 2)
    assert taken is not None
    assert taken.escrow not in shelf.sets
    assert len(maker.asked) == 3


async def test_full_machine_is_loaded_further(stocking: Stocking, maker: FakeMaker) -> None:
    """While somebody waits for a lease or a core is busy, no set is begun; when that is over, one is."""
    now = Capacity(cores=2, idle_cores=2, processes=100, is_pressed=True)
    async with stocking(lambda: now):
        await asyncio.sleep(0.03)
        assert maker.asked == []
        now = Capacity(cores=2, idle_cores=1, processes=100, is_pressed=False)
        await asyncio.sleep(0.03)
        assert maker.asked == []
        now = IDLE
        await reach(lambda: len(maker.asked) == 1)


async def test_leftover_of_a_killed_run_stays_in_the_making(
    stocking: Stocking, maker: FakeMaker, shelf: MemoryShelf
) -> None:
    """Sets that an earlier run left unfinished are stored as failed first, and their files put aside then."""
    left = EscrowId("esc_left")
    await shelf.begin(left)
    async with stocking():
        await reach(lambda: maker.withdrawn == [left])
        assert left in shelf.failures
        assert left not in shelf.making


async def test_stopping_counts_as_a_failure(stocking: Stocking, maker: FakeMaker, shelf: MemoryShelf) -> None:
    """A set under way when the service stops is given up, and cleaned up by the next start."""
    async with stocking():
        (begun,) = maker.asked
    assert shelf.making == [begun]
    async with stocking():
        await reach(lambda: maker.withdrawn == [begun])


async def test_failing_sets_follow_each_other_at_once(
    stocking: Stocking, maker: FakeMaker, shelf: MemoryShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a set that failed nothing is begun for a while; then it is tried again."""
    monkeypatch.setattr(module, "LONGEST_BACKOFF", 0.1)
    maker.fails = EscrowdError("the disk is full")
    maker.gate.set()
    async with stocking() as stock:
        await reach(lambda: stock.stats().failed == 1)
        await asyncio.sleep(0.03)
        assert len(maker.asked) == 1
        assert maker.withdrawn == maker.asked
        assert list(shelf.failures.values()) == ["the disk is full"]
        maker.fails = None
        await reach(lambda: len(shelf.sets) == 2)


async def test_store_outage_loses_a_finished_set(
    stocking: Stocking, maker: FakeMaker, shelf: MemoryShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished set that could not be stored is stored as soon as the store answers again."""
    monkeypatch.setattr(module, "LONGEST_BACKOFF", 0.02)
    ready = shelf.ready

    async def fail(keys: KeySet) -> None:
        raise EscrowdError(f"no answer for {keys.escrow}")

    monkeypatch.setattr(shelf, "ready", fail)
    maker.gate.set()
    async with stocking(size=1, low_water=1):
        await asyncio.sleep(0.05)
        assert shelf.sets == {}
        monkeypatch.setattr(shelf, "ready", ready)
        await reach(lambda: len(shelf.sets) == 1)
    assert list(shelf.sets) == maker.asked[:1]
    assert maker.withdrawn == []


async def reach(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)
