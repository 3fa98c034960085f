"""Shows the story: to people at a terminal, to readers of a log, and to programs."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, TextIO

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from escrowd.demo.stage import Facts
from escrowd.demo.story import Act, Reporter, Scenario, Step
from escrowd.monero.versions import Release

#: Seconds between two frames of the live display.
_REFRESH_INTERVAL: Final = 0.1
#: Acts whose times are put together at the end.
_SHOWN: Final = ("create", "fund", "payout")
#: Columns that the tick and the blank after it take; what belongs to a step is indented so far.
_INDENT: Final = 2


class JsonLines(Reporter):
    """One JSON object per line for each act that was played."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    @override
    def begins(self, act: Act) -> None:
        return None

    @override
    def says(self, what: str) -> None:
        return None

    @override
    def ends(self, step: Step) -> None:
        """Write the line at once, so that whoever reads a pipe sees it when it happens."""
        line = {"name": step.name, "title": step.title, "seconds": round(step.seconds, 3), "facts": step.facts}
        self._output.write(msgspec.json.encode(line).decode() + "\n")
        self._output.flush()


class Lines(Reporter):
    """Plain lines that only ever grow, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @override
    def begins(self, act: Act) -> None:
        self._console.print(Text(f"{act.title} ..."))

    @override
    def says(self, what: str) -> None:
        return None

    @override
    def ends(self, step: Step) -> None:
        self._console.print(_indented(_seconds(step.seconds)), _facts(step.facts))


class Screen(Reporter):
    """A live display: finished acts stay on the screen, the present one moves below them. Use :meth:`shown`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._act: Act | None = None
        self._began = 0.0
        self._activity = ""
        self._stops = False
        self._spinner = Spinner("dots", style="cyan")
        # Without its own thread: one that draws while another prints a finished act was seen to tear lines apart.
        self._live = Live(get_renderable=self._present, console=console, auto_refresh=False, transient=True)
        self._tick = Text("+" if console.options.ascii_only else "✔", style="green")

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[None]:
        """Keep the present act moving on the screen until the end of the block."""
        with self._live:
            moving = asyncio.create_task(self._keep_moving())
            try:
                yield
            finally:
                moving.cancel()
                await asyncio.gather(moving, return_exceptions=True)

    @override
    def begins(self, act: Act) -> None:
        self._act, self._began, self._activity = act, time.monotonic(), ""
        self._live.refresh()

    @override
    def says(self, what: str) -> None:
        if not self._stops:
            self._activity = what

    @override
    def ends(self, step: Step) -> None:
        self._act = None
        self._live.refresh()
        heading = _heading(self._tick, Text(step.title, style="bold"), step.seconds)
        self._console.print(heading, _facts(step.facts))

    def stops(self) -> None:
        """Show that the story was interrupted and that its processes are being ended."""
        self._activity, self._stops = "stopping: everything that was started is being ended", True
        self._live.refresh()

    async def _keep_moving(self) -> None:
        while True:
            self._live.refresh()
            await asyncio.sleep(_REFRESH_INTERVAL)

    def _present(self) -> RenderableType:
        if self._act is None:
            return Text()
        heading = _heading(self._spinner, Text(self._act.title, style="bold"), time.monotonic() - self._began)
        activity = Text(self._activity or " ", style="dim", no_wrap=True, overflow="ellipsis")
        return Group(heading, _indented(activity))


def introduction(scenarios: Sequence[Scenario], release: Release) -> RenderableType:
    """Announce the scenarios, and the release of Monero that they run on."""
    return Text.assemble(
        ("escrowd demo", "bold"),
        f": {', '.join(scenarios)}, on this machine alone\n",
        (f"Real Monero {release}, real 2-of-3 wallets, a private chain; its money is worth nothing.\n", "dim"),
    )


def conclusion(steps: Sequence[Step]) -> RenderableType:
    """Say what every escrow took, and where to go next."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("Seconds", *_SHOWN):
        table.add_column(name, justify="left" if name == "Seconds" else "right")
    seconds = {step.name: step.seconds for step in steps}
    for scenario in Scenario:
        if f"{scenario}.create" in seconds:
            table.add_row(scenario, *(f"{seconds[f'{scenario}.{name}']:.1f}" for name in _SHOWN))
    return Group(
        Text(),
        table,
        Text(),
        Text.assemble(
            "Every amount was checked from outside, to the piconero. Next: ",
            ("make test", "bold"),
            ", ",
            ("escrowd bench escrow", "bold"),
            ", docs/lifecycle.md",
        ),
    )


# ---------------------------------------------------------------------------------------------------------------------


def _heading(mark: RenderableType, title: Text, seconds: float) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column(width=_INDENT)
    grid.add_column(ratio=1)
    grid.add_column(justify="right")
    grid.add_row(mark, title, _seconds(seconds))
    return grid


def _facts(facts: Facts) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    # Folded where it is longer than the line: no digit of a transaction id may be lost.
    grid.add_column(overflow="fold")
    for name, fact in facts.items():
        grid.add_row(name.replace("_", " "), Text(fact))
    return _indented(grid)


def _indented(content: RenderableType) -> RenderableType:
    # Not filled up to the width: the "^C" that a terminal echoes behind it would wrap and shift the next frame.
    return Padding(content, (0, 0, 0, _INDENT), expand=False)


def _seconds(seconds: float) -> Text:
    return Text(f"{seconds:.1f} s", style="cyan")
