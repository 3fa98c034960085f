"""A running process that cannot be mistaken for another one.

A process number alone is reused. A number together with the start time and the boot it belongs to is not, and it can be
written down and compared after a restart of the service. While we watch a process we hold its ``pidfd``, so a signal
can never reach a stranger who got the same number in between.
"""

import asyncio
import os
import select
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """What names a process for good.

    ``started`` is in clock ticks since boot (field 22 of ``/proc/PID/stat``, proc(5)), which no change of the wall
    clock moves. ``boot`` is the kernel's id of this boot.
    """

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Read the identity of a process, or ``None`` where none of this number runs (a zombie does not run)."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The command name stands in parentheses and may itself hold spaces and parentheses.
        fields = stat[stat.rindex(b")") + 2 :].split()
        state, started = fields[0], int(fields[19])
        return None if state in (b"Z", b"X") else cls(pid, started, _boot_id())


class RunningProcess:
    """A grip on one process: ask whether it lives, signal it, wait for its end. Close it when done.

    Closing gives up the grip and leaves the process alone.
    """

    def __init__(self, identity: ProcessIdentity, pidfd: int) -> None:
        self.identity = identity
        self._pidfd = pidfd

    @classmethod
    def grip(cls, identity: ProcessIdentity) -> Self | None:
        """Take hold of exactly this process, or return ``None`` where it has ended."""
        try:
            pidfd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return None
        # Compared after the pidfd is held: from here on the number cannot be given to another process unnoticed.
        if ProcessIdentity.of(identity.pid) != identity:
            os.close(pidfd)
            return None
        return cls(identity, pidfd)

    @classmethod
    def spawn(cls, command: Sequence[str], environment: Mapping[str, str], output: Path) -> Self:
        """Start a process of its own session, so that neither our end nor a Ctrl-C at the terminal ends it.

        ``command[0]`` is an absolute path. The process reads nothing and writes both streams to ``output``. Files it
        makes are readable by their owner only.

        Raises:
            OSError: the program could not be started.

        """
        previous = os.umask(0o077)
        try:
            pid = os.posix_spawn(
                command[0],
                list(command),
                dict(environment),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
            )
        finally:
            os.umask(previous)
        pidfd = os.pidfd_open(pid)  # our own child: until we reap it, the number is its own
        identity = ProcessIdentity.of(pid) or ProcessIdentity(pid, 0, _boot_id())
        return cls(identity, pidfd)

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        if self._pidfd < 0:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(0):
            return True
        _reap(self.identity.pid)
        return False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended is left alone."""
        if self.is_alive:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                return

    async def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the end of the process; return whether it has ended."""
        if not self.is_alive:
            return True
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        watched = os.dup(self._pidfd)
        loop.add_reader(watched, ended.set)
        try:
            async with asyncio.timeout(timeout):
                await ended.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(watched)
            os.close(watched)
        return not self.is_alive

    async def end(self, patience: float) -> None:
        """End the process: ask with SIGTERM, and after ``patience`` seconds make it with SIGKILL."""
        self.signal(signal.SIGTERM)
        if not await self.wait(patience):
            await self.kill()

    async def kill(self) -> None:
        """End the process at once, and return when it has ended."""
        self.signal(signal.SIGKILL)
        await self.wait(30)

    def close(self) -> None:
        """Give up the grip. The process lives on."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


# ---------------------------------------------------------------------------------------------------------------------


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _reap(pid: int) -> None:
    """Take the exit status of a process if it is our own child, so that no zombie stays."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
