"""An event loop whose time is simulated: a sleep takes no time, and what would hang is an error."""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from typing_extensions import override

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

ResultT = TypeVar("ResultT")
ArgumentsT = TypeVarTuple("ArgumentsT")


class NothingLeftToDo(Exception):
    """A task waits for something that will never happen: in the real world it would hang."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs tasks in one fixed order, and jumps to the next timer where all of them wait.

    No file and no thread takes part. ``slept`` is told how many seconds a jump took, so that the world's clock goes on.
    """

    def __init__(self, slept: Callable[[float], None] | None = None) -> None:
        self._now = 0.0
        super().__init__(_Sleeper(self._sleep))
        self._slept = slept

    @override
    def time(self) -> float:
        return self._now

    @override
    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*ArgumentsT], ResultT], *args: *ArgumentsT
    ) -> asyncio.Future[ResultT]:
        """Run it at once: threads would bring chance in that no seed decides."""
        future: asyncio.Future[ResultT] = self.create_future()
        future.set_result(func(*args))
        return future

    def _sleep(self, seconds: float) -> None:
        self._now += seconds
        if self._slept is not None:
            self._slept(seconds)


# ---------------------------------------------------------------------------------------------------------------------


class _Sleeper(selectors.BaseSelector):
    """Waits for no file: it lets simulated time pass instead."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._keys: dict[int, selectors.SelectorKey] = {}

    @override
    def register(self, fileobj: "FileDescriptorLike", events: int, data: object = None) -> selectors.SelectorKey:
        descriptor = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = self._keys[descriptor] = selectors.SelectorKey(fileobj, descriptor, events, data)
        return key

    @override
    def unregister(self, fileobj: "FileDescriptorLike") -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingLeftToDo
        if timeout > 0:
            self._sleep(timeout)
        return []

    @override
    def get_map(self) -> Mapping["FileDescriptorLike", selectors.SelectorKey]:
        return {key.fileobj: key for key in self._keys.values()}
