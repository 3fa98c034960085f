"""``escrowd sandbox``: the whole service on a private chain, until it is told to stop."""

import asyncio
import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from escrowd.bootstrap import configure_logging
from escrowd.cli.serve import told_to_stop
from escrowd.sandbox.running import Sandbox
from escrowd.sandbox.running import sandbox as running_sandbox


def sandbox(
    *,
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Where its data are kept from run to run.", file_okay=False)
    ] = Path("escrowd-sandbox"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where the API listens; 0: any free port.")] = (
        8080
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Say nothing but the line of JSON.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the log of the service as well.")] = False,
) -> None:
    """Run the whole service on a private chain, for integrators: prints one line of JSON when it is ready."""
    configure_logging(level=logging.INFO if verbose else logging.ERROR, as_json=as_json)
    asyncio.run(_until_told(data_dir.absolute(), port, is_quiet=as_json))


async def _until_told(directory: Path, port: int, *, is_quiet: bool) -> None:
    told = told_to_stop()

    def tell(what: str) -> None:
        if not is_quiet:
            sys.stderr.write(f"{what}\n")

    async with running_sandbox(directory, port, tell) as running:
        typer.echo(json.dumps(dataclasses.asdict(running)))
        sys.stdout.flush()
        tell(_hints(running, directory))
        await told.wait()
        tell("stopping: everything that was started is being ended")


def _hints(running: Sandbox, directory: Path) -> str:
    return (
        f"\nready. Try requests at {running.web_url}, or:\n"
        f"  curl {running.api_url}/v1/escrows -H 'Authorization: Bearer {running.api_key}'\n"
        f"  escrowd escrows list --config {directory / 'escrowd.toml'}\n"
        "Ctrl-C ends it; its data stay."
    )
