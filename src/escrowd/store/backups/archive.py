"""The file of a backup: a tar archive of the manifest, its seal, and one compressed file of JSON lines for each table.

``tar`` reads it. Here it is read byte by byte against what the manifest says it must be, so that no change goes
unnoticed, not even one that ``tar`` would pass over. Nothing is unpacked before it was found to be as it was written.
"""

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from escrowd.store.backups.errors import BackupDamaged, BackupExists, BackupNotWritten, BackupUnreadable
from escrowd.store.backups.manifest import SEAL_DIGITS, Manifest, TableEntry, opened, seal, written

MANIFEST: Final = "manifest.json"
SEAL: Final = "manifest.seal"
#: No manifest is as long as this, in bytes.
LONGEST_MANIFEST: Final = 2**20


class Spool:
    """The rows of one table on their way into the archive: compressed, in a file without a name.

    Whoever makes a spool writes lines, finishes it, and closes it.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self._name = name
        self._rows = 0
        with _writing():
            self._file = _nameless(directory)
            self._lines = gzip.GzipFile(filename="", fileobj=self._file, mode="wb", compresslevel=6, mtime=0)

    def write(self, lines: Sequence[bytes]) -> None:
        """Add rows. Raises BackupNotWritten."""
        with _writing():
            self._lines.write(b"".join(each + b"\n" for each in lines))
        self._rows += len(lines)

    def finish(self) -> TableEntry:
        """Return what the manifest says of the table. Raises BackupNotWritten."""
        with _writing():
            self._lines.close()
            size = self._file.tell()
            self._file.seek(0)
            digest = hashlib.sha256()
            while part := self._file.read(_PART):
                digest.update(part)
            return TableEntry(self._name, self._rows, size, digest.hexdigest())

    def copy_to(self, archive: IO[bytes]) -> None:
        """Write what was spooled."""
        self._file.seek(0)
        shutil.copyfileobj(self._file, archive)

    def close(self) -> None:
        """Let go of the file, and of what is in it."""
        self._file.close()


def check_free(path: Path) -> None:
    """Make sure that nothing lies where a backup is to be written.

    Raises:
        BackupExists: something does.
        BackupNotWritten: there is no such directory.

    """
    if not path.parent.is_dir():
        raise BackupNotWritten(f"there is no directory {path.parent} to write the backup to")
    if os.path.lexists(path):
        raise BackupExists(f"{path} exists already; a backup is never overwritten, so give another name")


def write_archive(path: Path, manifest: Manifest, spools: Sequence[Spool], key: bytes) -> None:
    """Write the archive so that it is there whole and forced to the medium, or not at all.

    Raises:
        BackupExists: there is a file of this name.
        BackupNotWritten: the disk is full, or the like.

    """
    check_free(path)
    partial = path.with_name(f"{path.name}.partial")
    with _partial(partial) as file:
        text = written(manifest)
        _add(file, MANIFEST, text)
        _add(file, SEAL, seal(text, key))
        for entry, spool in zip(manifest.tables, spools, strict=True):
            file.write(_header(file_of(entry), entry.size))
            spool.copy_to(file)
            file.write(_padding(entry.size))
        file.write(_END)
        file.flush()
        os.fsync(file.fileno())
        # Whoever else writes a backup of this name was stopped by the partial file.
        check_free(path)
        partial.rename(path)
        _force(path.parent)


class Archive:
    """An archive that was read once, and is as it was written. Use it with ``with``."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Open it and check every byte.

        Raises:
            BackupUnreadable, OtherVaultKey, BackupDamaged: it is not to be used.

        """
        with _reading(path):
            self._file = path.open("rb")
            try:
                self.manifest = self._checked_manifest(key)
                self._start = self._file.tell()
                for entry in self.manifest.tables:
                    self._check(entry)
                if self._file.read(len(_END) + 1) != _END:
                    raise BackupDamaged("the backup does not end where it should")
            except BaseException:
                self._file.close()
                raise
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def lines(self, entry: TableEntry) -> Iterator[bytes]:
        """Yield the rows of a table as they were written, one JSON object each. Raises BackupDamaged."""
        with _reading(self._path):
            before = self.manifest.tables[: self.manifest.tables.index(entry)]
            self._file.seek(self._start + sum(_room(each.size) for each in before))
            # Once more: who can change the file may have waited for the first check to be over.
            self._check(entry)
            self._file.seek(-_room(entry.size) + tarfile.BLOCKSIZE, os.SEEK_CUR)
            with gzip.GzipFile(fileobj=self._file, mode="rb") as unpacked:
                for _ in range(entry.rows):
                    yield unpacked.readline().removesuffix(b"\n")

    def _checked_manifest(self, key: bytes) -> Manifest:
        header = self._file.read(tarfile.BLOCKSIZE)
        try:
            size = tarfile.TarInfo.frombuf(header, "utf-8", "strict").size
        except (tarfile.HeaderError, UnicodeDecodeError) as error:
            raise BackupUnreadable(f"{self._file.name} is no backup of escrowd, or its beginning is damaged") from error
        if header != _header(MANIFEST, size) or size > LONGEST_MANIFEST:
            raise BackupUnreadable(f"{self._file.name} is no backup of escrowd, or its beginning is damaged")
        text = self._content(MANIFEST, size)
        self._expect(SEAL, SEAL_DIGITS)
        return opened(text, self._content(SEAL, SEAL_DIGITS), key)

    def _content(self, name: str, size: int) -> bytes:
        content = self._file.read(size)
        if len(content) != size or self._file.read(len(_padding(size))) != _padding(size):
            raise BackupDamaged(f"{name} in the backup is cut off or damaged")
        return content

    def _expect(self, name: str, size: int) -> None:
        if self._file.read(tarfile.BLOCKSIZE) != _header(name, size):
            raise BackupDamaged(f"{name} is not where it should be in the backup")

    def _check(self, entry: TableEntry) -> None:
        """Read over one table, and make sure that each byte of it is the one that was written."""
        name = file_of(entry)
        self._expect(name, entry.size)
        digest, left = hashlib.sha256(), entry.size
        while left and (part := self._file.read(min(left, _PART))):
            digest.update(part)
            left -= len(part)
        if left or digest.hexdigest() != entry.sha256:
            raise BackupDamaged(f"{name} in the backup is cut off or damaged")
        if self._file.read(len(_padding(entry.size))) != _padding(entry.size):
            raise BackupDamaged(f"something was written behind {name} in the backup")


def file_of(entry: TableEntry) -> str:
    """Name the file of a table in the archive."""
    return f"tables/{entry.name}.jsonl.gz"


# ---------------------------------------------------------------------------------------------------------------------

#: Two empty blocks end an archive.
_END: Final = bytes(2 * tarfile.BLOCKSIZE)
_PART: Final = 2**20


def _header(name: str, size: int) -> bytes:
    """Return the header of a file: the same for the same name and size, so that a changed one is known."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _room(size: int) -> int:
    """Return how many bytes a file takes in the archive, with its header."""
    return tarfile.BLOCKSIZE + size + len(_padding(size))


def _add(file: IO[bytes], name: str, content: bytes) -> None:
    file.write(_header(name, len(content)) + content + _padding(len(content)))


def _nameless(directory: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=directory)


@contextmanager
def _partial(path: Path) -> Iterator[IO[bytes]]:
    """Make a file that only its owner can read. If the block fails it is removed."""
    with _writing():
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise BackupExists(
                f"{path} is there: another backup is being written, or was interrupted; then remove that file"
            ) from None
        with os.fdopen(descriptor, "wb") as file:
            try:
                yield file
            except BaseException:
                path.unlink(missing_ok=True)
                raise


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BackupNotWritten(f"the backup could not be written: {error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError) as error:
        raise BackupUnreadable(f"the backup {path} cannot be read: {error}") from error


def _force(directory: Path) -> None:
    """Force the names in a directory to the medium."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
