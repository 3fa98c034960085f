"""What ``scripts/install-monero`` does before it needs an archive, and what its lock pins."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.unit.deploy.parsing import ROOT

SCRIPT: Final = ROOT / "scripts" / "install-monero"
LOCK: Final = ROOT / "requirements" / "monero.lock"
PINS: Final = [line.split() for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
#: What the script runs where the programs are there. There is no apt-get among them.
TOOLS: Final = ("awk", "bash", "cat", "dirname", "flock", "grep", "ln", "mkdir", "mv", "readlink")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """Make a directory for the ``PATH``: a machine without apt-get, whose architecture is amd64."""
    directory = tmp_path / "tools"
    directory.mkdir()
    for name in TOOLS:
        (directory / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is missing"))
    write_program(directory / "dpkg", "amd64")
    return directory


def write_program(path: Path, output: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "{output}"\n', encoding="utf-8")
    path.chmod(0o755)


def run(tools: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(tools), "HOME": str(tools), **variables}
    return subprocess.run(
        [SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=20, check=False
    )


def pin(use: str) -> tuple[str, str, str]:
    """Return the release, the version of the package and the SHA-256 that are pinned for amd64."""
    ((_, release, version, _, _, sha256),) = [row for row in PINS if row[0] == use and row[4] == "amd64"]
    return release, version, sha256


def install(base: Path, name: str, sha256: str) -> Path:
    """Make the directory of an installation that is whole, as far as the script reads it."""
    directory = base / name
    (directory / "bin").mkdir(parents=True)
    (directory / "packages").write_text(f"{sha256}  monero.deb\n", encoding="utf-8")
    return directory


def test_lock_pins_one_release_for_both_architectures() -> None:
    """Each use has one release and one package version, with a SHA-256 for amd64 and another for arm64."""
    assert {row[0] for row in PINS} == {"engine", "old"}
    for use in ("engine", "old"):
        rows = [row for row in PINS if row[0] == use]
        assert {row[4] for row in rows} == {"amd64", "arm64"}
        assert len({tuple(row[1:4]) for row in rows}) == 1
        assert len({row[5] for row in rows if re.fullmatch("[0-9a-f]{64}", row[5])}) == len(rows) == 2
        assert all(row[2].startswith(f"{row[1]}+") for row in rows)


def test_whole_directory_is_used_without_an_archive(tools: Path, tmp_path: Path) -> None:
    """Where the pinned release is there, its directory is printed, and ``current`` leads to it."""
    release, _, sha256 = pin("engine")
    directory = install(tmp_path / "monero", release, sha256)
    (tmp_path / "monero" / "current").symlink_to("0.18.4.6")
    done = run(tools, "--into", str(tmp_path / "monero"))
    assert (done.returncode, done.stdout) == (0, f"{directory}/bin\n")
    assert (tmp_path / "monero" / "current").readlink() == Path(release)


def test_old_engine_leaves_current_alone(tools: Path, tmp_path: Path) -> None:
    """The old engine lies in a directory of its own, also where the variable names other programs."""
    release, _, sha256 = pin("old")
    directory = install(tmp_path / "escrowd" / "monero", release, sha256)
    done = run(tools, "--old", XDG_DATA_HOME=str(tmp_path), ESCROWD_MONERO_DIR="/nowhere")
    assert (done.returncode, done.stdout) == (0, f"{directory}/bin\n")
    assert not (directory.parent / "current").is_symlink()


def test_directory_of_another_package_is_refused(tools: Path, tmp_path: Path) -> None:
    """A directory of the release's name that was made of another package is neither used nor written."""
    release, version, _ = pin("engine")
    directory = install(tmp_path / "monero", release, "0" * 64)
    done = run(tools, "--into", str(tmp_path / "monero"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{directory} was made of another package than the pinned one, {version}" in done.stderr
    assert not (tmp_path / "monero" / "current").is_symlink()


def test_untested_release_is_warned_of_at_each_run(tools: Path, tmp_path: Path) -> None:
    """The release taken in place of the pinned one is used with a warning that names both; strictly it is not."""
    release, version, _ = pin("engine")
    directory = install(tmp_path / "monero", "0.18.6.0+~0-1", "0" * 64)
    (directory / "in-place-of").write_text(f"{version}\n", encoding="utf-8")
    (tmp_path / "monero" / "current").symlink_to(directory.name)
    done = run(tools, "--into", str(tmp_path / "monero"))
    assert (done.returncode, done.stdout) == (0, f"{directory}/bin\n")
    assert f"no longer has Monero {release} (package {version})" in done.stderr
    assert "This is 0.18.6.0+~0-1" in done.stderr
    strictly = run(tools, "--strict", "--into", str(tmp_path / "monero"))
    assert (strictly.returncode, strictly.stdout) == (1, "")
    assert "this machine has no apt-get" in strictly.stderr


def test_own_programs_are_used_where_both_are_there(tools: Path, tmp_path: Path) -> None:
    """The directory that the variable names has to hold both programs; their version is shown, nothing is installed."""
    own = tmp_path / "own"
    write_program(own / "monero-wallet-rpc", "Monero 'Fluorine Fermi' (v0.18.5.1-release)")
    half = run(tools, ESCROWD_MONERO_DIR=str(own))
    assert (half.returncode, half.stdout) == (1, "")
    assert f"ESCROWD_MONERO_DIR is {own}, which has no program monerod" in half.stderr
    write_program(own / "monerod", "")
    whole = run(tools, ESCROWD_MONERO_DIR=str(own))
    assert (whole.returncode, whole.stdout) == (0, f"{own}\n")
    assert "v0.18.5.1-release" in whole.stderr
    assert sorted(tmp_path.iterdir()) == [own, tools]


@pytest.mark.parametrize("arguments", [("--into",), ("--newest",)])
def test_wrong_option_is_named(tools: Path, arguments: tuple[str, ...]) -> None:
    """An option that is unknown, or lacks its value, is named, and nothing is done."""
    done = run(tools, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert arguments[0] in done.stderr
