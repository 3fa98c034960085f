"""Time, as the clients need it. Tests have a clock of their own."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Measures how long something took, and lets time go by."""

    def now(self) -> float:
        """Return seconds since some moment."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let the thread wait."""
        ...

    async def asleep(self, seconds: float) -> None:
        """Let the task wait."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Return seconds since some moment. Never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let the thread wait."""
        time.sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        """Let the task wait."""
        await asyncio.sleep(seconds)
