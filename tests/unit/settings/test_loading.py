"""Settings come from a file, the environment and flags, and none is passed over in silence."""

from pathlib import Path

import pytest

from escrowd.settings.errors import InvalidSettings
from escrowd.settings.loading import load_settings
from escrowd.wallets.vault_key import make_key_file

PASSWORD = "correct-horse"


def written(directory: Path, text: str) -> Path:
    path = directory / "escrowd.toml"
    path.write_text(text)
    return path


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    """The later source wins, and each setting tells where it comes from."""
    file = written(tmp_path, 'network = "regtest"\nnode = "a"\n[api]\nport = 1\nhost = "::1"\n')
    settings = load_settings(file, {"api.port": 3}, {"ESCROWD_API__PORT": "2", "ESCROWD_NODE": "b"})
    shown = {each.name: (each.value, each.origin) for each in settings.shown()}
    assert shown["api.port"] == ("3", "flag --api.port")
    assert shown["node"] == ("b", "ESCROWD_NODE")
    assert shown["api.host"] == ("::1", str(file))
    assert shown["stock.size"] == ("6", "default")


@pytest.mark.parametrize(
    ("text", "environment", "says"),
    [
        ("[api]\nprot = 1\n", {}, "did you mean api.port?"),
        ("prot = 1\n", {}, "is no setting"),
        ("[api]\nport = 'x'\n", {}, "api.port"),
        ("[escrows]\nconfirmations = 3\n", {}, "greater than or equal to 10"),
        ("[escrows]\nunderpayment_tolerance = -1\n", {}, "greater than or equal to 0"),
        ("[escrows]\nmin_fee_multiple = 1\n", {}, "greater than or equal to 2"),
        ("api = 3\n", {"ESCROWD_API__PORT": "3"}, "api is a single setting"),
        ("", {"ESCROWD_API__PROT": "1"}, "did you mean ESCROWD_API__PORT?"),
        ("", {"ESCROWD_API__PORT": "99999"}, "(from ESCROWD_API__PORT)"),
        ("", {"ESCROWD_WEBHOOKS__ALLOWED_NETWORKS": '["10.0.0.300/8"]'}, "webhooks.allowed_networks"),
        ("[retention]\nanswers_days = 0\n", {}, "retention.answers_days"),
        ("[retention]\ndeliveries_days = 0.5\n", {}, "retention.deliveries_days"),
        ("", {"ESCROWD_RETENTION__ANSWERS_DAYS": "36501"}, "less than or equal to 36500"),
        ("not toml", {}, "are not TOML"),
        ("", {"ESCROWD_API__PUBLIC_URL": "example.org"}, "begins with https://"),
    ],
)
def test_wrong_setting_passes(text: str, environment: dict[str, str], says: str, tmp_path: Path) -> None:
    """A setting that is unknown or impossible is refused, by its name and with what would be right."""
    with pytest.raises(InvalidSettings) as caught:
        load_settings(written(tmp_path, text), environment=environment)
    assert says in str(caught.value)


def test_missing_file_passes(tmp_path: Path) -> None:
    """A file that is named and not there is an error: nobody wants the defaults instead."""
    with pytest.raises(InvalidSettings, match="cannot be read"):
        load_settings(tmp_path / "none.toml", environment={})


def test_password_of_the_database_is_shown() -> None:
    """The URL of the database may hold a password, and is masked."""
    url = f"postgresql://escrowd:{PASSWORD}@db/escrowd"
    settings = load_settings(environment={"ESCROWD_DATABASE__URL": url})
    assert not [each for each in settings.shown() if PASSWORD in each.value]
    assert PASSWORD not in repr(settings.model)
    assert settings.database_url == f"postgresql+asyncpg://escrowd:{PASSWORD}@db/escrowd"


def test_wrong_value_of_a_secret_is_quoted(tmp_path: Path) -> None:
    """An error names the setting and not its value, which may be a secret in the wrong place."""
    with pytest.raises(InvalidSettings) as caught:
        load_settings(written(tmp_path, f'[vault]\nkey_file = ["{PASSWORD}"]\n'), environment={})
    assert PASSWORD not in str(caught.value)


def test_key_of_the_vault_has_two_sources(tmp_path: Path) -> None:
    """Two sources of the vault key are a mistake: nobody could say which one sealed what."""
    file = written(tmp_path, '[vault]\nkey_file = "a"\npassphrase_file = "b"\n')
    with pytest.raises(InvalidSettings, match="one source"):
        load_settings(file, environment={}).vault()


def test_vault_differs_between_starts(tmp_path: Path) -> None:
    """The same key file opens what it sealed, and so does the same passphrase."""
    make_key_file(tmp_path / "key")
    (tmp_path / "passphrase").write_text("a long enough passphrase\n")
    (tmp_path / "passphrase").chmod(0o600)
    for name, path in (("key_file", "key"), ("passphrase_file", "passphrase")):
        file = written(tmp_path, f'data_directory = "{tmp_path / "data"}"\n[vault]\n{name} = "{tmp_path / path}"\n')
        sealed = load_settings(file, environment={}).vault().seal_bytes(b"x", "purpose")
        assert load_settings(file, environment={}).vault().unseal_bytes(sealed, "purpose") == b"x"


def test_passphrase_that_others_can_read_opens_the_vault(tmp_path: Path) -> None:
    """A passphrase that others can read is no secret: it is refused, with the command that mends it."""
    (tmp_path / "passphrase").write_text("a long enough passphrase\n")
    (tmp_path / "passphrase").chmod(0o640)
    file = written(tmp_path, f'[vault]\npassphrase_file = "{tmp_path / "passphrase"}"\n')
    with pytest.raises(InvalidSettings, match="chmod 600"):
        load_settings(file, environment={}).vault()


def test_network_decides_the_daemons_port_and_the_confirmations() -> None:
    """Where nothing is said, the daemon is asked at the usual port of its network, and mainnet waits for 20 blocks."""
    ports = {
        name: (settings.daemon_port, settings.confirmations)
        for name in ("mainnet", "stagenet", "testnet", "regtest")
        for settings in [load_settings(environment={"ESCROWD_NETWORK": name})]
    }
    assert ports == {"mainnet": (18081, 20), "stagenet": (38081, 20), "testnet": (28081, 20), "regtest": (18081, 10)}
