"""What is wrong with settings, directories, keys and programs, brought about for real."""

import os
import resource
import socket
from pathlib import Path

import pytest

from escrowd.doctor.check import Thresholds
from escrowd.doctor.directories import file_system_of
from escrowd.doctor.machine import service_in
from escrowd.monero.versions import Release, risks
from escrowd.testing.ports import free_ports
from escrowd.wallets.registry import Registry
from tests.doctor_place import Place, StubDaemon, told, write_program

MOUNTS = """/dev/sda1 / ext4 rw 0 0
server:/export /srv/my\\040data nfs4 rw 0 0
tmpfs /srv tmpfs rw 0 0
/dev/sdb1 /srv/my\\040data/local xfs rw 0 0
"""


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "not toml"])
async def test_unreadable_settings_pass(place: Place, text: str | None) -> None:
    """A settings file that is missing or no TOML is told of, with where to find an example."""
    place.config.unlink()
    if text is not None:
        place.config.write_text(text)
    told((await place.report()).findings, "settings.unreadable", mend="deploy/escrowd.toml")


async def test_wrong_settings_pass(place: Place) -> None:
    """A setting that is unknown or cannot be is told of by its name."""
    place.write(api__prot=1)
    told((await place.report()).findings, "settings.wrong", mend="docs/reference/settings.md")


async def test_password_in_the_settings_is_for_everybody(place: Place) -> None:
    """A settings file with the password of the database must not be readable by everybody on the machine."""
    place.write(database__url="postgresql://escrowd:secret@127.0.0.1:1/escrowd")
    assert await place.look("the password of the database") == ()
    place.config.chmod(0o644)
    finding = told(await place.look("the password of the database"), "settings.password_readable", mend="chmod o-rwx")
    assert "secret" not in finding.what


# --- the data directory and its disk ---------------------------------------------------------------------------------


async def test_data_directory_is_missing(place: Place) -> None:
    """A data directory that is not there is told of, with the command that makes it."""
    place.write(data_directory=str(place.directory / "elsewhere"))
    told(await place.look("the data directory is there"), "data.missing", mend="install -d -m 700")


async def test_data_directory_cannot_be_written(place: Place) -> None:
    """A directory into which its owner may not write is told of, also to root, who may."""
    place.wallets.chmod(0o500)
    finding = told(await place.look("the data directory can be written"), "data.not_writable", mend="chmod u+rwx")
    assert str(place.wallets) in finding.what


async def test_data_directory_is_open_to_others(place: Place) -> None:
    """A data directory into which others may look is told of."""
    place.data.chmod(0o750)
    told(await place.look("the data directory is private"), "data.readable", mend="chmod 700")


async def test_sqlite_lies_on_a_network_file_system(place: Place) -> None:
    """SQLite on a file system that is somewhere else is told of; PostgreSQL does not lie in the data directory."""
    mounts = place.directory / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {place.directory} nfs4 rw 0 0\n")
    told(await place.look("SQLite is on a disk", mounts=mounts), "data.network_file_system", mend="use PostgreSQL")
    place.write(database__url="postgresql://127.0.0.1:1/escrowd")
    assert await place.look("SQLite is on a disk", mounts=mounts) == ()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/my data/escrowd.sqlite", "nfs4"),
        ("/srv/my data/local/escrowd.sqlite", "xfs"),
        ("/srv/escrowd.sqlite", "tmpfs"),
        ("/var/lib/escrowd/escrowd.sqlite", "ext4"),
    ],
)
def test_file_system_is_taken_for_another(path: str, kind: str) -> None:
    """A file is on the file system that is mounted nearest above it."""
    assert file_system_of(MOUNTS, Path(path)) == kind


async def test_disk_is_nearly_full(place: Place) -> None:
    """A disk with less room than a warning or a fault allows is told of."""
    check, most = "the disk has room", 2**62
    low, full = Thresholds(disk_low=most), Thresholds(disk_low=most, disk_full=most)
    told(await place.look(check, thresholds=low), "disk.low", mend="make room")
    told(await place.look(check, thresholds=full), "disk.full", mend="make room")
    few = Thresholds(inodes_low=most)
    told(await place.look(check, thresholds=few), "disk.inodes_low", mend="remove files")


# --- the vault key ---------------------------------------------------------------------------------------------------


async def test_vault_key_is_missing(place: Place) -> None:
    """A key file that is not there is told of, and so is a variable that is not set."""
    place.key.unlink()
    told(await place.look("the vault key is kept"), "vault.key_missing", mend="openssl rand -hex 32")
    place.write(vault__key_file=None)
    told(await place.look("the vault key is one"), "vault.key_missing", mend="bring back the key")


@pytest.mark.parametrize("text", ["", "ab" * 31, "no hexadecimal"])
async def test_vault_key_is_badly_formed(place: Place, text: str) -> None:
    """A key that is none is told of, and not quoted."""
    place.key.write_text(text)
    finding = told(await place.look("the vault key is one"), "vault.key_malformed", mend="64 hexadecimal digits")
    assert not text or text not in finding.what


async def test_vault_key_is_readable(place: Place) -> None:
    """A key that others may read is told of, and so is a passphrase."""
    place.key.chmod(0o640)
    told(await place.look("the vault key is kept"), "vault.key_readable", mend="chmod 600")
    place.write(vault__key_file=None, vault__passphrase_file=str(place.key))
    told(await place.look("the vault key is kept"), "vault.key_readable", mend="chmod 600")


async def test_vault_key_lies_in_the_data_directory(place: Place) -> None:
    """A key beside what it seals is told of."""
    inside = place.data / "vault.key"
    place.key.rename(inside)
    place.write(vault__key_file=str(inside))
    told(await place.look("the vault key is kept"), "vault.key_in_data_directory", mend="/etc/escrowd")


async def test_vault_key_has_two_sources(place: Place) -> None:
    """Settings that contradict each other about the key are told of."""
    place.write(vault__passphrase_file=str(place.key))
    told(await place.look("the vault key is kept"), "vault.two_keys", mend="remove the one")


async def test_passphrase_is_salted_by_the_doctor(place: Place) -> None:
    """A passphrase without a salt is in order before anything is sealed, and the doctor makes none."""
    place.key.write_text("a passphrase that is long enough")
    place.write(vault__key_file=None, vault__passphrase_file=str(place.key))
    assert (await place.report()).findings == ()
    assert not place.key.with_name(f"{place.key.name}.salt").exists()


# --- the wallet program and the wallet files -------------------------------------------------------------------------


async def test_missing_wallet_program_is_found(place: Place) -> None:
    """The finding of a wallet program that is missing names its path, and the script that installs it."""
    place.program.unlink()
    finding = told(
        await place.look("the wallet program is there"), "wallet_program.missing", mend="scripts/install-monero"
    )
    assert str(place.program) in finding.what


async def test_wallet_program_cannot_be_executed(place: Place) -> None:
    """A wallet program that may not be executed is told of."""
    place.program.chmod(0o600)
    told(await place.look("the wallet program is there"), "wallet_program.not_executable", mend="chmod +x")


async def test_wallet_program_is_another_one(place: Place) -> None:
    """A program that does not say a version of Monero is told of."""
    write_program(place.program, "GNU coreutils")
    told(await place.look("the wallet program runs"), "wallet_program.not_monero", mend="monero-wallet-rpc")


async def test_wallet_program_and_daemon_differ(place: Place, daemon: StubDaemon) -> None:
    """A wallet program of another release than the daemon's is told of."""
    daemon.info["version"] = "0.18.4.6-release"
    finding = told(await place.look("wallet program and daemon"), "wallet_program.other_version", mend="same release")
    assert "0.18.5.3" in finding.what
    assert "0.18.4.6" in finding.what


async def test_each_risk_of_a_release_is_a_fault_with_real_money(place: Place) -> None:
    """On mainnet each risk of the wallet program's release is a fault; without real money there is no risk."""
    check = "the wallet program is fit"
    write_program(place.program, "Monero 'Fluorine Fermi' (v0.18.0.0-unknown)")
    assert await place.look(check) == ()
    place.write(network="mainnet")
    found = await place.look(check)
    known = risks(Release(0, 18, 0, 0))
    assert len(known) >= 3
    for finding, risk in zip(found, known, strict=True):
        told([finding], "wallet_program.at_risk", mend="Upgrading Monero")
        assert risk.what in finding.what
        assert finding.severity == "fault"


async def test_last_release_is_fit_for_real_money(place: Place) -> None:
    """Monero 0.18.5.3 has no known risk, and 0.18.5.1 still stops at outputs that it cannot read."""
    check = "the wallet program is fit"
    place.write(network="mainnet")
    write_program(place.program, "Monero 'Fluorine Fermi' (v0.18.5.1-release)")
    (finding,) = await place.look(check)
    assert "0.18.5.3 or newer" in finding.what
    write_program(place.program, "Monero 'Fluorine Fermi' (v0.18.5.3-release)")
    assert await place.look(check) == ()


async def test_wallet_files_are_readable(place: Place) -> None:
    """Wallet files that others may read are told of, with how many they are."""
    for name in ("one.keys", "two.keys"):
        (place.wallets / name).touch(mode=0o644)
    finding = told(await place.look("the wallet files are private"), "wallets.files_readable", mend="chmod -R go-rwx")
    assert ": 2, " in finding.what


# --- the machine -----------------------------------------------------------------------------------------------------


async def test_too_few_files_may_be_open(place: Place) -> None:
    """More sessions than this process may have files for are told of."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    place.write(sessions__most=hard)
    told(await place.look("enough files may be open"), "machine.open_files", mend="LimitNOFILE")
    place.write(sessions__most=1)
    assert await place.look("enough files may be open") == ()


async def test_memory_is_too_little(place: Place) -> None:
    """More sessions than there is memory for are told of, with how many there is room for."""
    place.write(sessions__most=10**7)
    told(await place.look("the memory is enough"), "machine.memory", mend="set sessions.most to")


async def test_port_is_taken(place: Place) -> None:
    """A port on which another program listens is told of; the own service is no other program."""
    check = "the API has its port"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place.write(api__port=taken.getsockname()[1])
        told(await place.look(check), "api.port_taken", mend="ss -ltnp")
        with Registry(place.data / "run").owned():
            assert await place.look(check) == ()


async def test_address_is_somewhere_else(place: Place) -> None:
    """An address that no interface of this machine has is told of."""
    place.write(api__host="192.0.2.1")
    told(await place.look("the API has its port"), "api.cannot_listen", mend="ip address")


def test_running_service_is_not_seen(place: Place) -> None:
    """A service that owns the run directory is seen, by its process id, and none where nobody owns it."""
    run = place.data / "run"
    assert service_in(run) is None
    with Registry(run).owned():
        assert service_in(run) == os.getpid()
    assert service_in(run) is None


async def test_api_is_open_without_encryption(place: Place) -> None:
    """An API that others reach must be reached by https; on loopback nothing is said."""
    check = "the API is not reached"
    assert await place.look(check) == ()
    place.write(api__host="0.0.0.0")  # noqa: S104 - the very thing that is warned of
    told(await place.look(check), "api.in_the_clear", mend="proxy with TLS")
    place.write(api__public_url="https://escrow.example.org")
    assert await place.look(check) == ()


async def test_webhooks_reach_this_machine(place: Place) -> None:
    """Receivers on this machine are allowed for trying things, and warned of where there is real money."""
    check = "webhooks stay outside"
    place.write(webhooks__allowed_networks=["10.0.0.0/8", "127.0.0.0/30"])
    assert await place.look(check) == ()
    place.write(network="mainnet")
    finding = told(await place.look(check), "webhooks.private_allowed", mend="receivers alone")
    assert "10.0.0.0" not in finding.what


# --- the database --------------------------------------------------------------------------------------------------


async def test_database_is_of_another_kind(place: Place) -> None:
    """A URL that names no database of ours is told of, without quoting it."""
    for url in ("mysql://root:secret@db/escrowd", "no url at all"):
        place.write(database__url=url)
        finding = told(await place.look("the database answers"), "database.url_unknown", mend="postgresql://USER")
        assert "secret" not in finding.what


async def test_database_is_not_there_yet(place: Place, tmp_path: Path) -> None:
    """An SQLite file that does not exist is told of as what it is before the first start: nothing to mend."""
    path = tmp_path / "new.sqlite"
    place.write(database__url=f"sqlite+aiosqlite:///{path}")
    finding = told(await place.look("the database answers"), "database.new", mend="before the first start")
    assert finding.severity == "warning"
    assert not path.exists()


async def test_database_is_out_of_reach(place: Place) -> None:
    """A server that does not answer is told of, without the password."""
    place.write(database__url=f"postgresql://escrowd:secret@127.0.0.1:{free_ports(1)[0]}/escrowd")
    finding = told(await place.look("the database answers"), "database.out_of_reach", mend="database server runs")
    assert "secret" not in finding.what


async def test_file_is_no_database(place: Place, tmp_path: Path) -> None:
    """A file that is no SQLite database is told of."""
    path = tmp_path / "rubbish.sqlite"
    path.write_bytes(b"not a database at all " * 100)
    place.write(database__url=f"sqlite+aiosqlite:///{path}")
    told(await place.look("the database answers"), "database.unreadable", mend="restore the newest backup")


# --- the daemon ------------------------------------------------------------------------------------------------------


async def test_daemon_is_not_there(place: Place, daemon: StubDaemon) -> None:
    """A daemon that does not answer is told of."""
    place.write(daemon__port=1)
    told(await place.look("the daemon answers"), "daemon.out_of_reach", mend="start monerod")


async def test_daemon_is_silent(place: Place, daemon: StubDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that takes a call and does not answer it is out of reach, after some seconds."""
    monkeypatch.setattr("escrowd.doctor.daemon._PATIENCE", 0.1)
    daemon.is_silent = True
    told(await place.look("the daemon answers"), "daemon.out_of_reach", mend="start monerod")


@pytest.mark.parametrize("rubbish", [(200, b"<html>"), (404, b""), (401, b""), (200, b'{"result": {}}')])
async def test_daemon_is_something_else(place: Place, daemon: StubDaemon, rubbish: tuple[int, bytes]) -> None:
    """What answers as no monerod does is told of."""
    daemon.rubbish = rubbish
    told(await place.look("the daemon answers"), "daemon.not_monero", mend="RPC port")


async def test_daemon_follows_another_network(place: Place, daemon: StubDaemon) -> None:
    """A daemon of another network is told of, and nothing else is asked of it."""
    daemon.info["nettype"] = "mainnet"
    report = await place.report()
    told(report.findings, "daemon.wrong_network", mend='network = "mainnet"')
    assert report.left_out


async def test_daemon_is_not_well(place: Place, daemon: StubDaemon) -> None:
    """Each thing that a daemon says of itself and that is in our way is told of, alone."""
    check, healthy = "the daemon is well", dict(daemon.info)
    daemon.info |= {"restricted": True, "version": "", "outgoing_connections_count": 0, "free_space": 2**64 - 1}
    told(await place.look(check), "daemon.restricted", mend="unrestricted port")
    daemon.info = healthy | {"untrusted": True}
    told(await place.look(check), "daemon.untrusted", mend="--bootstrap-daemon-address")
    daemon.info = healthy | {"target_height": 2000}
    told(await place.look(check), "daemon.out_of_sync", mend="wait until")
    daemon.info = healthy | {"synchronized": False}
    told(await place.look(check), "daemon.out_of_sync", mend="wait until")
    daemon.info = healthy | {"outgoing_connections_count": 0}
    told(await place.look(check), "daemon.no_peers", mend="--offline")
    daemon.info = healthy | {"free_space": 2**30}
    told(await place.look(check), "daemon.disk_low", mend="--prune-blockchain")


async def test_chain_and_clock_are_apart(place: Place, daemon: StubDaemon) -> None:
    """A chain that stands still is told of, and a clock that is behind the chain."""
    check, clock = "the daemon's chain is up to date", lambda: float(daemon.block_time)
    daemon.block_time -= 3 * 60 * 60
    told(await place.look(check), "daemon.stale", mend="has peers")
    daemon.block_time += 6 * 60 * 60
    told(await place.look(check), "clock.chain", mend="time service")
    assert await place.look(check, clock=clock) == ()


async def test_daemon_is_far_away(place: Place) -> None:
    """A daemon that is reached over the public internet is warned of: nothing is encrypted, and all is believed."""
    place.write(daemon__host="8.8.8.8")
    told(await place.look("the daemon is reached safely"), "daemon.in_the_clear", mend="tunnel")


async def test_daemon_of_a_regtest_chain_is_lonely(place: Place, daemon: StubDaemon) -> None:
    """A private chain has no peers and stands still, and nothing is wrong with that."""
    daemon.info |= {"nettype": "fakechain", "outgoing_connections_count": 0}
    daemon.block_time = 0
    place.write(network="regtest")
    assert (await place.report()).findings == ()
