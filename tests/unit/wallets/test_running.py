import asyncio
import os
import signal
from pathlib import Path

import pytest

from escrowd.wallets.running import ProcessIdentity, RunningProcess

SLEEP = ["/bin/sleep", "60"]


async def test_spawned_process_lives_until_it_is_ended(tmp_path: Path) -> None:
    """A spawned process has the identity that the kernel tells, lives, and is gone after its end, no zombie."""
    running = RunningProcess.spawn(SLEEP, {}, tmp_path / "out")
    assert ProcessIdentity.of(running.identity.pid) == running.identity
    assert running.is_alive
    assert not await running.wait(0.01)
    await running.end(patience=5)
    assert await running.wait(0)
    assert not Path(f"/proc/{running.identity.pid}").exists()
    running.close()


async def test_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """A process that does not end when asked is ended all the same."""
    ready = tmp_path / "out"
    running = RunningProcess.spawn(["/bin/sh", "-c", "trap '' TERM; echo ready; sleep 60 & wait; wait"], {}, ready)
    while "ready" not in ready.read_text():
        assert not await running.wait(0.01)
    await running.end(patience=0.05)
    assert not running.is_alive
    running.close()


@pytest.mark.parametrize("steps", range(6))
async def test_cancellation_that_comes_as_the_process_ends_is_not_lost(tmp_path: Path, steps: int) -> None:
    """A wait that is cancelled so many steps of the event loop after the process ended raises CancelledError."""
    running = RunningProcess.spawn(SLEEP, {}, tmp_path / "out")
    waiting = asyncio.create_task(running.wait(5))
    await asyncio.sleep(0)
    running.signal(signal.SIGKILL)
    os.waitid(os.P_PID, running.identity.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - the event loop must stand still
    for _ in range(steps):
        await asyncio.sleep(0)
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:
        assert await waiting
    assert not running.is_alive
    running.close()


async def test_process_outlives_its_grip(tmp_path: Path) -> None:
    """Giving up the grip leaves the process alone, in a session of its own; it can be gripped again."""
    running = RunningProcess.spawn(SLEEP, {}, tmp_path / "out")
    identity = running.identity
    running.close()
    assert not running.is_alive
    assert os.getsid(identity.pid) == identity.pid
    again = RunningProcess.grip(identity)
    assert again is not None
    assert again.is_alive
    await again.kill()
    again.close()


async def test_other_process_of_the_same_number_is_not_gripped(tmp_path: Path) -> None:
    """A process id that belongs to another process by now, or to none, gives no grip, and nobody is signalled."""
    running = RunningProcess.spawn(SLEEP, {}, tmp_path / "out")
    mine = running.identity
    assert RunningProcess.grip(ProcessIdentity(mine.pid, mine.started + 1, mine.boot)) is None
    assert RunningProcess.grip(ProcessIdentity(mine.pid, mine.started, "another boot")) is None
    assert running.is_alive
    await running.kill()
    assert RunningProcess.grip(mine) is None
    running.signal(signal.SIGTERM)  # to nobody
    running.close()


async def test_files_of_a_spawned_process_are_its_owners_only(tmp_path: Path) -> None:
    """What a spawned process writes can be read by its owner only, whatever our own mask; and ours stays as it was."""
    before = os.umask(0o022)
    try:
        running = RunningProcess.spawn(["/bin/sh", "-c", f"echo x > {tmp_path}/made"], {}, tmp_path / "out")
        await running.wait(5)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    running.close()
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("made", "out")] == [0o600, 0o600]


def test_missing_program_is_an_error(tmp_path: Path) -> None:
    """A program that is not there is an OSError, not a process."""
    with pytest.raises(FileNotFoundError):
        RunningProcess.spawn(["/nowhere/program"], {}, tmp_path / "out")


def test_number_of_no_process_has_no_identity() -> None:
    """Where no process runs, there is no identity."""
    assert ProcessIdentity.of(2**22 + 1) is None
