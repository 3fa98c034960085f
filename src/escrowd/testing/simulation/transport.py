"""The way of a call to a simulated server, with everything that can happen to it on the way there and back."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from escrowd.monero.errors import MoneroError, OutcomeUnknown, ReplyLost, Unreachable
from escrowd.monero.methods import Method
from escrowd.testing.simulation.faults import Crashed, Faults, Life, Place, Trouble

ResultT = TypeVar("ResultT")

#: Answers one call, or raises what a real server would refuse it with.
Answer = Callable[[Mapping[str, object]], object]


class Server(Protocol):
    """What is at the other end."""

    @property
    def place(self) -> Place:
        """Which kind of server it is."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether it accepts connections."""
        ...

    def answer(self, method: str) -> Answer:
        """Return who answers the method."""
        ...

    def die(self) -> None:
        """End at once, and lose what is not on disk."""
        ...


class SimulatedTransport:
    """Calls a simulated server on behalf of one life of the service."""

    def __init__(self, server: Server, faults: Faults, life: Life) -> None:
        self._server = server
        self._faults = faults
        self._life = life

    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        """Call the method, unless something goes wrong. Raises as :class:`escrowd.monero.transport.HttpTransport`."""
        self._life.check()
        if not self._server.is_up:
            raise Unreachable("the simulated server accepts no connection")
        trouble = self._faults.struck(self._server.place, method.name)
        if trouble is None:
            return self._answered(method, params, result)
        return await self._troubled(trouble, method, params, result)

    async def _troubled(
        self, trouble: Trouble, method: Method, params: Mapping[str, object], result: type[ResultT]
    ) -> ResultT:
        match trouble:
            case Trouble.CRASH_BEFORE | Trouble.LOST_BEFORE | Trouble.DEATH_BEFORE:
                raise self._end(trouble, method)
            case Trouble.CRASH_AFTER | Trouble.LOST_AFTER | Trouble.DEATH_AFTER:
                self._run_in_vain(method, params, result)
                raise self._end(trouble, method)
            case Trouble.DAEMON_DOWN:
                self._faults.daemon_is_down = True
                if not self._server.is_up:
                    raise Unreachable("the simulated daemon went down")
            case Trouble.FREEZE:
                await self._faults.freeze()
                self._life.check()
            case Trouble.DISK_FULL:
                params = {**params, DISK_IS_FULL: True}
        return self._answered(method, params, result)

    def _run_in_vain(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> None:
        """Run a call whose answer nobody hears, a refusal no more than a result."""
        try:
            self._answered(method, params, result)
        except MoneroError:
            return

    def _end(self, trouble: Trouble, method: Method) -> BaseException:
        if trouble in (Trouble.CRASH_BEFORE, Trouble.CRASH_AFTER):
            self._life.is_over = True
            return Crashed()
        if trouble in (Trouble.DEATH_BEFORE, Trouble.DEATH_AFTER):
            self._server.die()
        lost = OutcomeUnknown if method.changes_state else ReplyLost
        return lost(f"{method.name}: {trouble}")

    def _answered(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        reply = self._server.answer(method.name)(params)
        if not isinstance(reply, result):
            raise TypeError(f"{method.name} is simulated with a {type(reply).__name__}, not a {result.__name__}")
        return reply


#: Tells a ``store`` that it cannot write.
DISK_IS_FULL = "the disk is full"
