"""When a process that a test has started ends: when it is told to, or when the test is not there any more."""

import asyncio
import os
import signal
from typing import Final

_LOOK_EVERY: Final = 0.5


async def until_told_or_orphaned() -> None:
    """Wait for SIGTERM, or until the process that started this one is gone, however that came about."""
    told, parent = asyncio.Event(), os.getppid()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    while not told.is_set() and os.getppid() == parent:
        try:
            async with asyncio.timeout(_LOOK_EVERY):
                await told.wait()
        except TimeoutError:
            continue
