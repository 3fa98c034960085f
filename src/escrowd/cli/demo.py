"""``escrowd demo``: the story of wallet sessions, shown."""

import logging
import sys
from typing import Annotated

import typer
from rich.console import Console

from escrowd.bootstrap import configure_logging
from escrowd.cli.interruption import run_until_interrupted
from escrowd.demo.display import JsonLines, Lines, Screen, conclusion, introduction
from escrowd.demo.stage import Measured
from escrowd.demo.story import tell


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
    # Log lines would tear a live display apart.
    is_live = console.is_terminal and not verbose
    try:
        measured = _tell_live(console) if is_live else run_until_interrupted(tell(Lines(console)), _say_stopping)
    except typer.Exit:
        console.print("stopped: everything that was started has ended")
        raise
    console.print(conclusion(measured))


# ---------------------------------------------------------------------------------------------------------------------


def _tell_live(console: Console) -> Measured:
    screen = Screen(console)

    async def told() -> Measured:
        async with screen.shown():
            return await tell(screen)

    return run_until_interrupted(told(), screen.stops)


def _say_stopping() -> None:
    sys.stderr.write("stopping: everything that was started is being ended\n")
