"""Which wallet processes of ours run, on disk, so that the next start of the service finds them.

One small file per process, replaced atomically. A file is written *before* its process is started and removed after
its end, so a crash at any point leaves a file without a process (harmless) and never a process without a file. The
directory belongs to one running service at a time.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.wallets.errors import AlreadyInUse
from escrowd.wallets.running import ProcessIdentity

log = structlog.get_logger()

_SUFFIX: Final = ".process.json"

#: How many logs of processes that had to be ended are kept, and how many bytes of the end of each file.
MAX_KEPT_LOGS: Final = 20
MAX_KEPT_BYTES: Final = 512 * 1024

#: Seconds that the lock of a dead owner may last. A child that it was just starting holds the lock, too, between its
#: fork and its exec; once the lock is free, that child can be recognised by its command line.
_DEAD_OWNERS_CHILD: Final = 5.0


class Holding(msgspec.Struct, frozen=True):
    """The wallet that a process holds open."""

    escrow: EscrowId
    role: WalletRole
    filename: str
    address: str


class ProcessRecord(msgspec.Struct, frozen=True):
    """One wallet process. ``identity`` is unknown only between the writing of the record and the start."""

    name: str
    port: int
    sealed_login: str
    identity: ProcessIdentity | None = None
    holding: Holding | None = None


class Registry:
    """The records of one run directory."""

    def __init__(self, directory: Path) -> None:
        # Absolute: it marks our processes in their command lines, and must mark nobody else's.
        self.directory = directory.resolve()
        self._ports: dict[str, int] = {}

    @property
    def ports(self) -> frozenset[int]:
        """The ports of the processes that were recorded through this object, bound already or not yet."""
        return frozenset(self._ports.values())

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Own the directory, made where it is missing, until the end of the block or of this process.

        Raises:
            AlreadyInUse: another living process owns it.

        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.directory / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def write(self, record: ProcessRecord) -> None:
        """Write or replace the record of one process."""
        path = self._path(record.name)
        draft = path.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(record))
        draft.replace(path)
        self._ports[record.name] = record.port

    def keep_log(self, name: str) -> None:
        """Keep the end of the log of a process, for the operator to read; only the newest logs are kept."""
        kept = self.kept_log(name)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        # What it printed comes first: the reason of a failed start stands there.
        parts = (_end_of(path) for path in (self.output_file(name), self.log_file(name)))
        kept.touch(mode=0o600)
        kept.write_bytes(b"".join(parts))
        newest_last = sorted(kept.parent.glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
        for path in newest_last[:-MAX_KEPT_LOGS]:
            path.unlink(missing_ok=True)

    def kept_log(self, name: str) -> Path:
        """Return where the log of a process is kept after it had to be ended."""
        return self.directory / "kept" / f"{name}.log"

    def forget(self, name: str) -> None:
        """Remove the record and the logs of a process that has ended."""
        self._ports.pop(name, None)
        for path in (self._path(name), self.log_file(name), self.output_file(name)):
            path.unlink(missing_ok=True)

    def records(self) -> tuple[ProcessRecord, ...]:
        """Return all records. An unreadable one is dropped: its process then counts as unknown."""
        return tuple(record for path in sorted(self.directory.glob("*" + _SUFFIX)) if (record := _read(path)))

    def log_file(self, name: str) -> Path:
        """Return where a process writes its log. The path stands in its command line and marks it as ours."""
        return self.directory / f"{name}.log"

    def output_file(self, name: str) -> Path:
        """Return where what a process prints goes; the reason of a failed start stands there."""
        return self.directory / f"{name}.out"

    def unknown_processes(self) -> tuple[ProcessIdentity, ...]:
        """Find running processes that were started for this directory and stand in no record."""
        known = {record.identity for record in self.records()}
        running = (_identity_if_ours(entry, self.directory) for entry in Path("/proc").iterdir())
        return tuple(identity for identity in running if identity is not None and identity not in known)

    def _lock(self, descriptor: int) -> None:
        patience = time.monotonic() + _DEAD_OWNERS_CHILD
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                lives = not owner.isdecimal() or ProcessIdentity.of(int(owner)) is not None
                if lives or time.monotonic() > patience:
                    raise AlreadyInUse(f"{self.directory} is in use by the service with process id {owner}") from None
                time.sleep(0.01)
            else:
                return

    def _path(self, name: str) -> Path:
        return self.directory / (name + _SUFFIX)


# ---------------------------------------------------------------------------------------------------------------------


def _end_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MAX_KEPT_BYTES))
            return file.read()
    except FileNotFoundError:
        return b""


def _read(path: Path) -> ProcessRecord | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ProcessRecord)
    except (OSError, msgspec.DecodeError) as error:
        log.warning("registry.unreadable_record", path=str(path), error=str(error))
        path.unlink(missing_ok=True)
        return None


def _identity_if_ours(entry: Path, directory: Path) -> ProcessIdentity | None:
    """Return the identity of the process behind ``/proc/PID`` if its log file lies in the directory."""
    if not entry.name.isdecimal():
        return None
    try:
        arguments = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    log_file = b"--log-file=" + os.fsencode(directory) + b"/"
    if any(argument.startswith(log_file) for argument in arguments):
        return ProcessIdentity.of(int(entry.name))
    return None
