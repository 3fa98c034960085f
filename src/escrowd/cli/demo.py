"""``escrowd demo``: the story of wallet sessions, shown."""

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated

import typer
from rich.console import Console

from escrowd.bootstrap import configure_logging
from escrowd.cli.interruption import run_until_interrupted
from escrowd.demo.display import JsonLines, Lines, Screen, conclusion, introduction
from escrowd.demo.story import Reporter, tell


def demo(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line for each step.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of the service as well.")] = False,
) -> None:
    """Show on this machine, with a private chain, what wallet sessions do. Takes about a minute."""
    # Some steps break things on purpose; warnings about that would only disturb who watches.
    configure_logging(level=logging.INFO if verbose else logging.CRITICAL, as_json=as_json)
    if as_json:
        run_until_interrupted(tell(JsonLines(sys.stdout)), _say_stopping)
        return
    console = Console(highlight=False)
    console.print(introduction())
    reporter, shown, on_interrupt = _reporter(console, is_alone=not verbose)
    try:
        with shown:
            measured = run_until_interrupted(tell(reporter), on_interrupt)
    except typer.Exit:
        console.print("stopped: everything that was started has ended")
        raise
    console.print(conclusion(measured))


# ---------------------------------------------------------------------------------------------------------------------


def _reporter(console: Console, *, is_alone: bool) -> tuple[Reporter, AbstractContextManager[None], Callable[[], None]]:
    """Choose how to show the story. Log lines would tear a live display apart, so that one wants to be alone."""
    if not (console.is_terminal and is_alone):
        return Lines(console), nullcontext(), _say_stopping
    screen = Screen(console)
    return screen, screen.shown(), screen.stops


def _say_stopping() -> None:
    sys.stderr.write("stopping: everything that was started is being ended\n")
