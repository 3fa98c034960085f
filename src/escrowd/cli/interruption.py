"""Runs a coroutine for a command, and lets it end what it has started when it is interrupted."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

import typer

from escrowd.domain.errors import EscrowdError

ResultT = TypeVar("ResultT")

#: Ctrl-C, a polite kill, and the closing of the terminal. The processes that we start notice none of them themselves.
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: What shells add to the number of the signal that ended a command.
EXIT_BASE: Final = 128


def run_until_interrupted(work: Coroutine[Any, Any, ResultT], on_interrupt: Callable[[], None]) -> ResultT:
    """Run a coroutine to its end and return its result. A signal cancels it, once, and its clean-up is waited for.

    ``on_interrupt`` is called when the signal comes. Further signals change nothing: a clean-up that is cut short
    would leave processes behind.

    Raises:
        typer.Exit: it was interrupted; the exit code is the one that shells expect, 130 for Ctrl-C.

    """
    return asyncio.run(_watched(work, on_interrupt))


# ---------------------------------------------------------------------------------------------------------------------


async def _watched(work: Coroutine[Any, Any, ResultT], on_interrupt: Callable[[], None]) -> ResultT:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    received: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        if not received:
            on_interrupt()
            task.cancel()
        received.append(number)

    for number in SIGNALS:
        # Whoever started us may have told us to ignore it, as nohup does.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, interrupt, number)
    try:
        return await task
    except (asyncio.CancelledError, EscrowdError):
        # What was cut off half-way may have failed with an error of its own, which nobody needs to hear of.
        if received:
            raise typer.Exit(EXIT_BASE + received[0]) from None
        raise
