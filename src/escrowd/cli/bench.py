"""``escrowd bench``: measures this machine."""

import logging
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from escrowd.bench.api import measure_api
from escrowd.bench.escrow import measure_escrows
from escrowd.bench.rows import all_hold, as_json, as_table
from escrowd.bench.sessions import measure_sessions
from escrowd.bench.watching import measure_watching
from escrowd.bootstrap import configure_logging
from escrowd.cli.interruption import run_until_interrupted

bench_app = typer.Typer(no_args_is_help=True, help="Measure this machine against the raw wallet RPC.")


@bench_app.callback()
def bench() -> None:
    """Measure this machine against the raw wallet RPC."""


@bench_app.command("sessions")
def bench_sessions(
    *,
    as_json_list: Annotated[bool, typer.Option("--json", help="Print a JSON list of rows.")] = False,
    sessions: Annotated[
        int | None,
        typer.Option("--sessions", min=1, help="Also open so many sessions at once, of three wallets each."),
    ] = None,
) -> None:
    """Compare wallet sessions with raw wallet RPC calls on a private chain; exit 1 where a goal does not hold.

    Takes about five minutes, most of it for opening wallets; with --sessions some seconds more for each session.
    """
    configure_logging(level=logging.ERROR, as_json=False)
    with _Shown(Console(stderr=True)) as shown:
        rows = run_until_interrupted(measure_sessions(crowd=sessions, tell=shown.tell), shown.stops)
    if as_json_list:
        typer.echo(as_json(rows))
    else:
        Console().print(as_table(rows, "wallet sessions beside the raw wallet RPC"))
    raise typer.Exit(0 if all_hold(rows) else 1)


@bench_app.command("watching")
def bench_watching(
    *,
    as_json_list: Annotated[bool, typer.Option("--json", help="Print a JSON list of rows.")] = False,
) -> None:
    """Compare the scan for payments with the one multiplication it needs; exit 1 where a goal does not hold.

    Takes about half a minute, and needs neither daemon nor wallets.
    """
    configure_logging(level=logging.ERROR, as_json=False)
    with _Shown(Console(stderr=True)) as shown:
        rows = measure_watching(tell=shown.tell)
    if as_json_list:
        typer.echo(as_json(rows))
    else:
        Console().print(as_table(rows, "watching by view key beside plain multiplications"))
    raise typer.Exit(0 if all_hold(rows) else 1)


@bench_app.command("escrow")
def bench_escrow(
    *,
    as_json_list: Annotated[bool, typer.Option("--json", help="Print a JSON list of rows.")] = False,
) -> None:
    """Compare whole escrows with the same steps by raw RPC calls on a private chain; exit 1 where a goal does not hold.

    Takes about five minutes.
    """
    configure_logging(level=logging.ERROR, as_json=False)
    with _Shown(Console(stderr=True)) as shown:
        rows = run_until_interrupted(measure_escrows(tell=shown.tell), shown.stops)
    if as_json_list:
        typer.echo(as_json(rows))
    else:
        Console().print(as_table(rows, "escrows beside the raw wallet RPC"))
    raise typer.Exit(0 if all_hold(rows) else 1)


@bench_app.command("api")
def bench_api(
    *,
    as_json_list: Annotated[bool, typer.Option("--json", help="Print a JSON list of rows.")] = False,
) -> None:
    """Compare the API with a bare route of its framework, on SQLite and PostgreSQL; exit 1 where a goal does not hold.

    Takes about two minutes, and needs no Monero. Without PostgreSQL its rows are left out.
    """
    configure_logging(level=logging.ERROR, as_json=False)
    with _Shown(Console(stderr=True)) as shown:
        rows = run_until_interrupted(measure_api(tell=shown.tell), shown.stops)
    if as_json_list:
        typer.echo(as_json(rows))
    else:
        Console().print(as_table(rows, "the API beside a bare route"))
    raise typer.Exit(0 if all_hold(rows) else 1)


# ---------------------------------------------------------------------------------------------------------------------


class _Shown:
    """Shows on standard error how far each measurement is."""

    def __init__(self, console: Console) -> None:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self._progress = Progress(*columns, console=console)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, what: str, done: int, total: int) -> None:
        """Show how much of a measurement is done."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what)
        self._progress.update(self._tasks[what], completed=done, total=total)

    def stops(self) -> None:
        """Show that the measurement was interrupted."""
        self.tell("stopping: everything that was started is being ended", 0, 1)
