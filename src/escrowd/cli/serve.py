"""``escrowd serve``: the service, until it is told to stop."""

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated

import structlog
import typer

from escrowd.api.app import build_app
from escrowd.api.parts import ApiParts
from escrowd.bootstrap import configure_logging
from escrowd.bootstrap.api import api_over
from escrowd.bootstrap.engine_gate import check_engine
from escrowd.bootstrap.from_settings import (
    api_limits_of,
    api_settings_of,
    engine_settings_of,
    house_of,
)
from escrowd.bootstrap.service import open_service
from escrowd.bootstrap.serving import served
from escrowd.bootstrap.systemd import tell_systemd
from escrowd.bootstrap.tracing import traces_to
from escrowd.settings.loading import Settings, load_settings

log = structlog.get_logger()

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="The file of the settings; /etc/escrowd/escrowd.toml by default.")
]


def serve(
    *,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Where the API listens.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="At which port.")] = None,
    node: Annotated[str | None, typer.Option("--node", help="The name of this process on a shared database.")] = None,
) -> None:
    """Run the service: API, workers, watcher and wallet sessions, until SIGTERM or Ctrl-C."""
    settings = load_settings(config, {"api.host": host, "api.port": port, "node": node})
    logs = settings.model.logs
    configure_logging(level=logging.getLevelNamesMapping()[logs.level.upper()], as_json=logs.as_json)
    asyncio.run(serve_until_told(settings))


async def serve_until_told(settings: Settings) -> None:
    """Run the service until the process is told to stop; then steps in hand are finished and wallets saved."""
    told = told_to_stop()
    with traces_to(settings.model.tracing.endpoint, settings.model.node) as observe:
        house = house_of(settings)
        await check_engine(house.program, engine_settings_of(settings))
        async with open_service(house, observe=observe) as running:
            with api_over(running, api_settings_of(settings), api_limits_of(settings), observe) as parts:
                await _serve(parts, settings, told)
    log.info("service.stopped")


def told_to_stop() -> asyncio.Event:
    """Return what is set when the process is told to stop, by a signal."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    return told


# ---------------------------------------------------------------------------------------------------------------------


async def _serve(parts: ApiParts, settings: Settings, told: asyncio.Event) -> None:
    api = settings.model.api
    async with served(build_app(parts), api.host, api.port, api.stop_patience, api.trusted_proxies) as port:
        log.info("service.started", network=settings.model.network, host=api.host, port=port)
        tell_systemd("READY=1")
        await told.wait()
        tell_systemd("STOPPING=1")
        log.info("service.stopping")
        # Before the server ends: it waits for those who wait for events.
        parts.changes.end()
