"""Checks of the settings themselves."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from escrowd.doctor.check import Check, Surroundings
from escrowd.doctor.findings import Finding, Kind
from escrowd.settings.errors import InvalidSettings

UNREADABLE: Final = Kind(
    "settings.unreadable",
    "there are no settings: {error}",
    "give the file that there is with --config or ESCROWD_CONFIG, make it readable for the user of the service, "
    "and write it as TOML; deploy/escrowd.toml is an example",
)
WRONG: Final = Kind(
    "settings.wrong",
    "a setting is wrong: {error}",
    "correct or remove what is named; docs/reference/settings.md tells of all settings",
)
PASSWORD_READABLE: Final = Kind(
    "settings.password_readable",
    "the password of the database stands in {path}, which everybody on this machine can read (mode {mode})",
    "run: chmod o-rwx {path}",
)


def wrong_settings(error: InvalidSettings) -> Finding:
    """Say why the settings were refused."""
    # A file that cannot be read or is no TOML has a cause; what is wrong with a setting has none that may be shown.
    kind = UNREADABLE if isinstance(error.__cause__, OSError | ValueError) else WRONG
    return kind.found(error=error)


# ---------------------------------------------------------------------------------------------------------------------


async def _password(around: Surroundings) -> Iterable[Finding]:
    return _readable_password(around)


def _readable_password(around: Surroundings) -> Iterator[Finding]:
    url = around.settings.model.database.url
    origin = next((each.origin for each in around.settings.shown() if each.name == "database.url"), "default")
    path = Path(origin)
    if url is None or around.database is None or around.database.url.password is None or not path.is_file():
        return
    mode = path.stat().st_mode & 0o777
    # Its group may be that of the service, as packages of distributions do it.
    if mode & 0o007:
        yield PASSWORD_READABLE.found(path=path, mode=f"{mode:04o}")


CHECKS: Final = (Check("the password of the database is kept", _password, (PASSWORD_READABLE,)),)
