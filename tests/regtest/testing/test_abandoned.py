import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from escrowd.testing.abandoned import processes_in, remove_abandoned_labs
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_process import start_wallet_process
from escrowd.wallets.running import ProcessIdentity

SCRIPT = """
import asyncio, sys
from pathlib import Path
from escrowd.testing.lab import RegtestLab

async def main():
    keep_in = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    async with RegtestLab.start(keep_in=keep_in) as lab:
        await lab.start_wallet_process()
        print("lab in", lab.directory, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@asynccontextmanager
async def running_lab(temporary: Path, *arguments: str) -> AsyncIterator[tuple[Path, Callable[[], None]]]:
    """Run a lab in another process; give its directory and what kills it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        *arguments,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            if line.startswith(b"lab in "):
                yield Path(line.decode().removeprefix("lab in ").strip()), process.kill
                break
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def running(identities: list[ProcessIdentity]) -> list[ProcessIdentity]:
    """Return those of the processes that still run."""
    return [each for each in identities if ProcessIdentity.of(each.pid) == each]


def make_old(directory: Path) -> None:
    """Let a directory look as if nothing had happened in it for long."""
    os.utime(directory, (0, 0))


async def test_killed_lab_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a lab that was killed left behind is ended and removed; one that still lives is left alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with running_lab(tmp_path) as (directory, kill):
        processes = processes_in(directory)
        make_old(directory)
        await remove_abandoned_labs()
        assert running(processes) == processes
        assert len(processes) == 2
        kill()
    assert running(processes) == processes
    await remove_abandoned_labs()
    assert running(processes) == []
    assert not directory.exists()


async def test_killed_lab_goes_on_where_it_is_kept(tmp_path: Path) -> None:
    """A kept lab that was killed starts again in its place, on a daemon of its own."""
    async with running_lab(tmp_path, str(tmp_path / "kept")) as (directory, kill):
        processes = processes_in(directory)
        kill()
    async with RegtestLab.start(keep_in=tmp_path / "kept") as lab:
        assert running(processes) == []
        assert (await lab.daemon.get_info()).height > 1


async def test_lab_ends_what_a_killed_service_left_in_it() -> None:
    """A lab that closes ends every Monero process that runs inside its directory, whoever started it."""
    async with RegtestLab.start() as other:
        house = other.directory / "house"
        process = await start_wallet_process(other.connections, other.daemon_endpoint, house / "wallets", house / "run")
        process.running.close()  # as if who started it had been killed
        before = processes_in(other.directory)
        assert len(before) == 2
    assert running(before) == []
