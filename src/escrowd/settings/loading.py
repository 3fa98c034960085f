"""Reads the settings: from a TOML file, then from ``ESCROWD_…`` variables, then from flags; the later go before.

A variable names a setting by its groups, with two underscores between: ``ESCROWD_API__PORT``. Nothing is passed over in
silence: a setting that nobody knows is an error, wherever it stands.
"""

import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import BaseModel, SecretStr, ValidationError

from escrowd.domain.networks import Network
from escrowd.domain.secret import Secret
from escrowd.monero.programs import DIRECTORY_VARIABLE, programs_directory
from escrowd.monero.versions import Override
from escrowd.settings.errors import InvalidSettings
from escrowd.settings.model import DAEMON_PORTS, USUAL_CONFIRMATIONS, SettingsModel
from escrowd.wallets.vault import Vault
from escrowd.wallets.vault_key import (
    ENVIRONMENT_VARIABLE,
    SALT_BYTES,
    key_from_environment,
    key_from_file,
    key_from_passphrase,
)

PREFIX: Final = "ESCROWD_"
#: Names the file where no flag does.
CONFIG_VARIABLE: Final = "ESCROWD_CONFIG"
#: Variables that are no settings: the vault key, the file, the Monero programs, and those of the project's own tests.
NOT_SETTINGS: Final = (ENVIRONMENT_VARIABLE, CONFIG_VARIABLE, DIRECTORY_VARIABLE, "ESCROWD_TEST_")
#: Where the settings are looked for when nothing names a file.
USUAL_FILE: Final = Path("/etc/escrowd/escrowd.toml")


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """One setting as it is shown: its name, its value, masked if it is secret, and where it comes from."""

    name: str
    value: str
    origin: str


class Settings:
    """The settings that are in force, and what follows from them."""

    def __init__(self, model: SettingsModel, origins: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self.model = model
        self._origins = origins
        self._environment = environment

    @property
    def data_directory(self) -> Path:
        """Where everything lies but the vault key."""
        return self.model.data_directory

    @property
    def wallet_directory(self) -> Path:
        """Where the wallet files lie."""
        return self.data_directory / "wallets"

    @property
    def run_directory(self) -> Path:
        """Where it is noted which processes run."""
        return self.data_directory / "run"

    @property
    def programs_directory(self) -> Path:
        """Where the programs of Monero are."""
        return self.model.monero.directory or programs_directory(self._environment)

    @property
    def database_url(self) -> str:
        """Where everything is kept. It may hold a password."""
        chosen = self.model.database.url
        if chosen is None:
            return f"sqlite+aiosqlite:///{self.data_directory / 'escrowd.sqlite'}"
        # People write the URL as PostgreSQL's own programs take it; there is one driver.
        scheme, separator, rest = chosen.get_secret_value().partition("://")
        return f"{_DRIVERS.get(scheme, scheme)}{separator}{rest}"

    @property
    def daemon_port(self) -> int:
        """Where the daemon answers RPC."""
        return self.model.daemon.port or DAEMON_PORTS[self.model.network]

    @property
    def confirmations(self) -> int:
        """Blocks until a deposit is final, where the terms do not say it."""
        usual = 10 if self.model.network is Network.REGTEST else USUAL_CONFIRMATIONS
        return self.model.escrows.confirmations or usual

    @property
    def allowed_engines(self) -> frozenset[Override]:
        """What the operator allows against the version table of Monero."""
        monero = self.model.monero
        chosen = {
            Override.UNSAFE_VERSION: monero.allow_unsafe_version,
            Override.UNTESTED_VERSION: monero.allow_untested_version,
        }
        return frozenset(each for each, is_allowed in chosen.items() if is_allowed)

    @property
    def ends_before_fork(self) -> bool:
        """Whether new escrows that may last beyond an announced hard fork are refused."""
        chosen = self.model.escrows.end_before_fork
        return self.model.network is Network.MAINNET if chosen is None else chosen

    @property
    def public_url(self) -> str:
        """What links of parties begin with."""
        api = self.model.api
        return api.public_url or f"http://{api.host}:{api.port}"

    def vault(self) -> Vault:
        """Return what seals all secrets.

        Raises:
            VaultKeyRefused: the key is missing, badly formed, or lies where others can read it.
            InvalidSettings: two sources of the key are named.

        """
        return Vault(self._vault_key())

    def shown(self) -> Iterator[ShownSetting]:
        """Yield every setting with its origin."""
        for name, value in _leaves(self.model):
            yield ShownSetting(name, _as_text(value), self._origins.get(name, "default"))

    def _vault_key(self) -> bytes:
        chosen = self.model.vault
        if chosen.key_file and chosen.passphrase_file:
            raise InvalidSettings("vault.key_file and vault.passphrase_file are both set; the key has one source")
        if chosen.key_file:
            return key_from_file(chosen.key_file, self.data_directory)
        if chosen.passphrase_file:
            return key_from_passphrase(_passphrase(chosen.passphrase_file), _salt(chosen.passphrase_file))
        return key_from_environment(self._environment)


def load_settings(
    config: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Read the settings. ``flags`` names settings by their groups, with dots between: ``api.port``.

    Raises:
        InvalidSettings: the file cannot be read, or a setting is unknown or has a value that cannot be.

    """
    environment = os.environ if environment is None else environment
    file = config or _named_file(environment)
    sources = [
        (str(file), _flat(_file(file)) if file else {}),
        ("environment", dict(_variables(environment))),
        ("flag", {name: value for name, value in (flags or {}).items() if value is not None}),
    ]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, settings in sources:
        values |= settings
        origins |= {
            name: variable_of(name) if origin == "environment" else f"flag --{name}" if origin == "flag" else origin
            for name in settings
        }
    return Settings(_validated(values, origins), origins, environment)


def variable_of(name: str) -> str:
    """Return the variable of the environment that names a setting."""
    return PREFIX + name.replace(".", "__").upper()


# ---------------------------------------------------------------------------------------------------------------------

_DRIVERS: Final = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
}


def _named_file(environment: Mapping[str, str]) -> Path | None:
    named = environment.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    return USUAL_FILE if USUAL_FILE.exists() else None


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"the settings {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(f"the settings {path} are not TOML: {error}") from error


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Name each value by its groups, with dots between."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = value
    return flat


def _variables(environment: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    known = {variable_of(name): name for name, _ in _leaves(SettingsModel())}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable.startswith(NOT_SETTINGS):
            continue
        if variable not in known:
            raise InvalidSettings(f"{variable} is no setting; {_nearest(variable, known)}")
        # A list is written as JSON; everything else is read from its text.
        yield known[variable], _json_list(text) if text.startswith("[") else text


def _json_list(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _nearest(name: str, known: Mapping[str, str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"


def _validated(values: Mapping[str, Any], origins: Mapping[str, str]) -> SettingsModel:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise InvalidSettings(f"{group} is a single setting, and {name} takes it for a group")
        place[last] = value
    try:
        return SettingsModel.model_validate(nested)
    except ValidationError as error:
        raise InvalidSettings("; ".join(_problems(error, origins))) from None


def _problems(error: ValidationError, origins: Mapping[str, str]) -> Iterator[str]:
    known = {name: name for name, _ in _leaves(SettingsModel())}
    # Without the input: it may be a secret that was put into the wrong place.
    for each in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in each["loc"] if isinstance(part, str) and "-" not in part)
        name = next((one for one in known if name == one or name.startswith(f"{one}.")), name)
        origin = origins.get(name)
        where = f" (from {origin})" if origin else ""
        if each["type"] == "extra_forbidden":
            yield f"{name} is no setting{where}; {_nearest(name, known)}"
        else:
            yield f"{name}{where}: {each['msg'].removeprefix('Value error, ')}"


def _leaves(group: BaseModel, before: str = "") -> Iterator[tuple[str, object]]:
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _as_text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, SecretStr):
        return "***"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _passphrase(path: Path) -> Secret:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise InvalidSettings(f"the passphrase file {path} can be read by others; run: chmod 600 {path}")
        return Secret(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"the passphrase file {path} cannot be read: {error}") from error


def _salt(passphrase_file: Path) -> bytes:
    """Return the salt of the passphrase, made once. It is no secret, but without it the key is lost: it lies beside."""
    path = passphrase_file.with_name(f"{passphrase_file.name}.salt")
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(SALT_BYTES))
            file.flush()
            os.fsync(descriptor)
    return path.read_bytes()
