"""Checks of the data directory and the disk under it."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from escrowd.doctor.check import Check, Need, Surroundings, is_root, others_may
from escrowd.doctor.findings import Finding, Kind, warning

MISSING: Final = Kind(
    "data.missing",
    "the data directory {path} is not there",
    "make it as the user of the service: install -d -m 700 {path}; or name another one as data_directory",
)
NOT_WRITABLE: Final = Kind(
    "data.not_writable",
    "nothing can be written into {path}",
    "let it belong to the user of the service, and run: chmod u+rwx {path}; its file system must not be read-only",
)
READABLE: Final = Kind(
    "data.readable",
    "others than its owner may look into {path} (mode {mode})",
    "run: chmod 700 {path}",
)
NETWORK_FILE_SYSTEM: Final = Kind(
    "data.network_file_system",
    "the SQLite file {path} lies on {kind}, whose locks and commits cannot be relied on",
    "move the data directory to a disk of this machine, or use PostgreSQL: set database.url",
)
DISK_FULL: Final = Kind(
    "disk.full",
    "{path} has {free} MiB left; a wallet that cannot be saved lets no payout go out",
    "make room on that file system, or move the data directory to a larger one",
)
DISK_LOW: Final = warning(
    "disk.low",
    "{path} has {free} MiB left",
    "make room on that file system before it is full, or move the data directory to a larger one",
)
INODES_LOW: Final = Kind(
    "disk.inodes_low",
    "the file system of {path} can take {free} files more",
    "remove files from that file system: many small ones fill it before its bytes do",
)

#: What the kernel calls file systems that are somewhere else.
NETWORK_FILE_SYSTEMS: Final = frozenset(
    ("9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "lustre", "nfs", "nfs4", "smb3", "smbfs")
)


def file_system_of(mounts: str, path: Path) -> str | None:
    """Return the kind of the file system that a path is on, by the table of mounts (proc(5)), or ``None``."""
    kinds: dict[Path, str] = {}
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) >= 3:
            # The later one of two mounts in one place is the one that is seen.
            kinds[Path(_unescaped(fields[1]))] = fields[2]
    above = (path, *path.parents)
    return next((kinds[each] for each in above if each in kinds), None)


# ---------------------------------------------------------------------------------------------------------------------

MEBIBYTE: Final = 2**20


def _unescaped(text: str) -> str:
    """Read the blanks of a mount point, which the kernel writes as octal numbers."""
    return text.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")


async def _there(around: Surroundings) -> Iterable[Finding]:
    path = around.settings.data_directory
    return () if path.is_dir() else (MISSING.found(path=path),)


async def _writable(around: Surroundings) -> Iterable[Finding]:
    settings = around.settings
    places = (settings.data_directory, settings.wallet_directory, settings.run_directory)
    return tuple(NOT_WRITABLE.found(path=path) for path in places if path.is_dir() and not _may_write(path))


def _may_write(path: Path) -> bool:
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        return False
    if is_root():
        # Root may do anything; what counts is its owner, who is the one that the service runs as.
        return path.stat().st_mode & stat.S_IRWXU == stat.S_IRWXU
    return os.access(path, os.R_OK | os.W_OK | os.X_OK)


async def _private(around: Surroundings) -> Iterable[Finding]:
    path = around.settings.data_directory
    mode = others_may(path)
    return () if mode is None else (READABLE.found(path=path, mode=mode),)


async def _local(around: Surroundings) -> Iterable[Finding]:
    return _far_away(around)


def _far_away(around: Surroundings) -> Iterator[Finding]:
    if around.sqlite_file is None:
        return
    path = around.sqlite_file.resolve()
    kind = file_system_of(around.mounts.read_text(encoding="utf-8", errors="replace"), path)
    if kind in NETWORK_FILE_SYSTEMS:
        yield NETWORK_FILE_SYSTEM.found(path=path, kind=kind)


async def _room(around: Surroundings) -> Iterable[Finding]:
    return _short_of_room(around)


def _short_of_room(around: Surroundings) -> Iterator[Finding]:
    path, least = around.settings.data_directory, around.thresholds
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    if free < least.disk_low:
        yield (DISK_FULL if free < least.disk_full else DISK_LOW).found(path=path, free=free // MEBIBYTE)
    # Some file systems have no bound for the number of files, and tell of none at all.
    if disk.f_files and disk.f_favail < least.inodes_low:
        yield INODES_LOW.found(path=path, free=disk.f_favail)


_THERE: Final = frozenset({Need.DATA_DIRECTORY})

CHECKS: Final = (
    Check("the data directory is there", _there, (MISSING,), gives=Need.DATA_DIRECTORY),
    Check("the data directory can be written", _writable, (NOT_WRITABLE,), _THERE),
    Check("the data directory is private", _private, (READABLE,), _THERE),
    Check("SQLite is on a disk of this machine", _local, (NETWORK_FILE_SYSTEM,), _THERE),
    Check("the disk has room", _room, (DISK_FULL, DISK_LOW, INODES_LOW), _THERE),
)
