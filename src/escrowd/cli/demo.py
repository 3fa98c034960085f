"""``escrowd demo``: whole escrows, shown."""

import logging
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from escrowd.bootstrap import configure_logging
from escrowd.cli.interruption import run_until_interrupted
from escrowd.demo.display import JsonLines, Lines, Screen, conclusion, introduction
from escrowd.demo.story import Scenario, Step, tell
from escrowd.monero.programs import MoneroProgram, find_program, release_of


class Choice(StrEnum):
    """What ``--scenario`` takes."""

    RELEASE = "release"
    REFUND = "refund"
    SPLIT = "split"
    DISPUTE = "dispute"
    ALL = "all"


def demo(
    *,
    choice: Annotated[Choice, typer.Option("--scenario", help="How the escrow ends; all of them by default.")] = (
        Choice.ALL
    ),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line for each step.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of the service as well.")] = False,
) -> None:
    """Make, fund and pay out real escrows on a private chain of this machine. A minute for each of the first."""
    scenarios = tuple(Scenario) if choice is Choice.ALL else (Scenario(choice.value),)
    configure_logging(level=logging.INFO if verbose else logging.CRITICAL, as_json=as_json)
    if as_json:
        run_until_interrupted(tell(JsonLines(sys.stdout), scenarios), _say_stopping)
        return
    console = Console(highlight=False)
    console.print(introduction(scenarios, release_of(find_program(MoneroProgram.DAEMON))))
    # Log lines would tear a live display apart.
    is_live = console.is_terminal and not verbose
    try:
        steps = _told(console, scenarios, is_live=is_live)
    except typer.Exit:
        console.print("stopped: everything that was started has ended")
        raise
    console.print(conclusion(steps))


# ---------------------------------------------------------------------------------------------------------------------


def _told(console: Console, scenarios: Sequence[Scenario], *, is_live: bool) -> tuple[Step, ...]:
    if not is_live:
        return run_until_interrupted(tell(Lines(console), scenarios), _say_stopping)
    screen = Screen(console)

    async def told() -> tuple[Step, ...]:
        async with screen.shown():
            return await tell(screen, scenarios)

    return run_until_interrupted(told(), screen.stops)


def _say_stopping() -> None:
    sys.stderr.write("stopping: everything that was started is being ended\n")
