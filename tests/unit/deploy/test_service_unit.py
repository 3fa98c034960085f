import shutil
import subprocess
from pathlib import Path

import pytest

from escrowd.service.worker import WorkerSettings
from escrowd.settings.loading import load_settings
from escrowd.settings.model import SettingsModel
from escrowd.wallets.pool import END_PATIENCE
from escrowd.wallets.settings import AtExit, SessionSettings
from tests.unit.deploy.commands import unknown
from tests.unit.deploy.parsing import DEPLOY, seconds, unit_settings

UNIT = DEPLOY / "escrowd.service"
SETTINGS = unit_settings(UNIT)


def one(name: str) -> str:
    """Return the value of a setting that stands in the unit once."""
    (value,) = SETTINGS[name]
    return value


def test_unit_starts_a_command_that_there_is_not() -> None:
    """The unit runs a command of escrowd, with flags that it has."""
    program, *words = one("Service.ExecStart").split()
    assert program.endswith("/bin/escrowd")
    assert unknown(words) is None


def test_unit_sets_what_is_no_setting() -> None:
    """Every variable of the unit is a setting of escrowd, and none is a secret itself."""
    variables = dict(pair.split("=", 1) for pair in SETTINGS["Service.Environment"])
    model = load_settings(environment=variables).model
    assert str(model.vault.key_file) == "%d/vault.key"
    assert model.vault.passphrase_file is None


def test_stop_is_cut_off() -> None:
    """The unit waits longer than requests, steps, leases and the saving of wallets may take, one after the other."""
    patience = (
        SettingsModel().api.stop_patience
        + WorkerSettings().stop_patience
        + SessionSettings().stop_patience
        + END_PATIENCE
    )
    assert seconds(one("Service.TimeoutStopSec")) > 2 * patience


def test_wallets_left_open_are_ended_by_systemd() -> None:
    """What the service leaves open at its end, by default, systemd leaves alone."""
    assert SessionSettings().at_exit is AtExit.LEAVE
    assert one("Service.KillMode") == "process"
    assert one("Service.OOMPolicy") == "continue"


def test_key_lies_where_the_data_lies() -> None:
    """The unit takes the vault key from outside the state directory, which is the data directory of the settings."""
    name, _, source = one("Service.LoadCredential").partition(":")
    assert name == "vault.key"
    state = f"/var/lib/{one('Service.StateDirectory')}"
    assert str(SettingsModel().data_directory) == state
    assert not source.startswith(state)
    assert one("Service.StateDirectoryMode") == "0700"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("MemoryDenyWriteExecute", "yes"),
        ("CapabilityBoundingSet", ""),
        ("UMask", "0077"),
        ("LimitCORE", "0"),
        ("User", "escrowd"),
    ],
)
def test_unit_is_open_where_it_was_shut(name: str, value: str) -> None:
    """The hardening of the unit stays."""
    assert one(f"Service.{name}") == value


def test_calls_that_wallets_need_are_forbidden() -> None:
    """Limits of open files are raised by the service, and wallets lock their keys into memory: both stay allowed."""
    allowed, forbidden = SETTINGS["Service.SystemCallFilter"]
    assert allowed == "@system-service"
    assert forbidden.startswith("~")
    assert {"@resources", "@memlock"} & set(forbidden.removeprefix("~").split()) == set()


def test_systemd_does_not_understand_the_unit(tmp_path: Path) -> None:
    """The tools of systemd find nothing wrong with the unit, where its tools are at hand."""
    analyze = shutil.which("systemd-analyze")
    known = {"Unit", "Service", "Install"}
    assert {name.partition(".")[0] for name in SETTINGS} == known
    if analyze is None:
        return
    copy = tmp_path / UNIT.name
    # The program is not installed where tests run, and verify insists on one that is.
    copy.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/escrowd/bin/escrowd", "/bin/true"), encoding="utf-8")
    found = subprocess.run([analyze, "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
