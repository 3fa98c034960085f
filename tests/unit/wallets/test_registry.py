import fcntl
import os
import sys
import threading
from pathlib import Path

import pytest

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.wallets.errors import AlreadyInUse
from escrowd.wallets.registry import MAX_KEPT_BYTES, MAX_KEPT_LOGS, Holding, ProcessRecord, Registry
from escrowd.wallets.running import ProcessIdentity, RunningProcess

HOLDING = Holding(EscrowId("esc_a"), WalletRole.BUYER, "esc_a-buyer", "4address")
RECORD = ProcessRecord("wallet-1", 18000, "sealed", ProcessIdentity(1, 2, "boot"), HOLDING)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "run")
    with registry.owned():
        pass
    return registry


def test_record_survives_a_restart(registry: Registry) -> None:
    """What was written is what the next start reads, until it is forgotten."""
    registry.write(RECORD)
    registry.write(ProcessRecord("wallet-2", 18001, "sealed"))
    again = Registry(registry.directory)
    assert again.records() == (RECORD, ProcessRecord("wallet-2", 18001, "sealed"))
    again.forget("wallet-1")
    again.forget("wallet-1")
    assert [record.name for record in registry.records()] == ["wallet-2"]


def test_record_is_replaced_whole(registry: Registry) -> None:
    """A record is never half written: a draft beside it is not read, and an unreadable record is dropped."""
    registry.write(RECORD)
    (registry.directory / "wallet-1.process.new").write_text("{")
    (registry.directory / "wallet-3.process.json").write_text("{")
    assert registry.records() == (RECORD,)
    assert not (registry.directory / "wallet-3.process.json").exists()


def test_directory_has_one_owner(registry: Registry) -> None:
    """While one service owns the directory another one is refused, and afterwards it may have it."""
    with registry.owned():
        with pytest.raises(AlreadyInUse, match=f"process id {os.getpid()}"), Registry(registry.directory).owned():
            pass
        with pytest.raises(AlreadyInUse, match=f"process id {os.getpid()}"), Registry(registry.directory).owned():
            pass
    with Registry(registry.directory).owned():
        pass


def test_lock_that_outlives_its_owner_for_a_moment_is_waited_for(registry: Registry) -> None:
    """A lock still held by a child of a dead owner is no other service: the next start waits until it is free."""
    descriptor = os.open(registry.directory / "owner.lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{2**22 + 1}\n".encode(), 0)  # the number of no process
    threading.Timer(0.1, os.close, (descriptor,)).start()
    with registry.owned():
        assert (registry.directory / "owner.lock").read_text() == f"{os.getpid()}\n"


def test_directory_is_its_owners_only(registry: Registry) -> None:
    """Others can neither list nor read the run directory."""
    assert registry.directory.stat().st_mode & 0o777 == 0o700


async def test_only_processes_of_this_directory_are_unknown_to_it(registry: Registry, tmp_path: Path) -> None:
    """A running process is ours by its log file in our directory, and unknown if it stands in no record."""
    code = "import time; time.sleep(60)"
    ours, known, strange = (
        RunningProcess.spawn(
            [sys.executable, "-c", code, f"--log-file={directory / name}.log"], dict(os.environ), tmp_path / "out"
        )
        for directory, name in (
            (registry.directory, "lost"), (registry.directory, "known"), (tmp_path / "run2", "lost")
        )
    )  # fmt: skip
    try:
        registry.write(ProcessRecord("known", 1, "sealed", known.identity))
        assert registry.unknown_processes() == (ours.identity,)
    finally:
        for running in (ours, known, strange):
            await running.kill()
            running.close()


def test_log_is_kept_within_bounds_until_it_was_read(registry: Registry) -> None:
    """The end of what a process printed and logged outlives it; old logs make room for new ones."""
    for number in range(MAX_KEPT_LOGS + 2):
        name = f"wallet-{number}"
        registry.output_file(name).write_text("it printed this\n")
        registry.log_file(name).write_bytes(b"x" * MAX_KEPT_BYTES + b"it failed\n")
        registry.keep_log(name)
        registry.forget(name)
        os.utime(registry.kept_log(name), (number, number))
        assert not registry.log_file(name).exists()
    kept = sorted(registry.kept_log("wallet-0").parent.iterdir())
    assert kept == sorted(registry.kept_log(f"wallet-{number}") for number in range(2, MAX_KEPT_LOGS + 2))
    content = kept[0].read_bytes()
    assert content.startswith(b"it printed this\n")
    assert content.endswith(b"it failed\n")
    assert len(content) <= 2 * MAX_KEPT_BYTES
    assert kept[0].stat().st_mode & 0o777 == 0o600


def test_log_of_a_process_without_one_is_kept_as_empty(registry: Registry) -> None:
    """A process that wrote nothing leaves an empty log, and no error."""
    registry.keep_log("wallet-1")
    assert registry.kept_log("wallet-1").read_bytes() == b""
