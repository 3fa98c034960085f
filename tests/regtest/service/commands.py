"""Runs commands of escrowd as their users do, in processes of their own."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

#: Seconds that anything may take on a busy machine.
PATIENCE = 120.0


@asynccontextmanager
async def started(*arguments: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """Run a command until the end of the block, where it is told to stop if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "escrowd.cli.main",
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **(environment or {})},
        limit=2**20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            await process.communicate()


async def carried_out(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run a command to its end; return its exit code and what it wrote to standard output and standard error."""
    async with started(*arguments, environment=environment) as process, asyncio.timeout(PATIENCE):
        output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def line_with(stream: asyncio.StreamReader | None, text: str) -> str:
    """Read until a line holds a text, and return that line."""
    assert stream is not None
    said: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while line := (await stream.readline()).decode():
            if text in line:
                return line
            said.append(line)
    raise AssertionError(f"it ended without saying {text!r}: {''.join(said[-20:])}")


async def until(client: httpx.AsyncClient, path: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask until something holds of the answer, and return it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer: dict[str, Any] = (await client.get(path)).json()
        if holds(answer):
            return answer
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.05)


def wallet_processes(directory: Path) -> list[psutil.Process]:
    """Return the wallet processes whose files lie in a directory, whoever started them."""
    return [
        each
        for each in psutil.process_iter(["name", "cmdline"])
        if (each.info["name"] or "").startswith("monero-wallet")
        and any(str(directory) in part for part in each.info["cmdline"] or ())
    ]


def as_json(text: str) -> Any:
    """Read what a program is given on standard output."""
    return json.loads(text)
