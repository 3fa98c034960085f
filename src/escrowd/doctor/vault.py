"""Checks of the vault key, without which no wallet opens."""

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from escrowd.doctor.check import Check, Need, Surroundings, others_may
from escrowd.doctor.findings import Finding, Kind
from escrowd.settings.errors import InvalidSettings
from escrowd.store.keys import KeySetTable
from escrowd.wallets.errors import NotUnsealable, VaultKeyRefused
from escrowd.wallets.records import password_purpose

TWO_KEYS: Final = Kind(
    "vault.two_keys",
    "vault.key_file and vault.passphrase_file are both set, and nobody could say which one sealed what",
    "remove the one with which nothing was sealed yet",
)
MISSING: Final = Kind(
    "vault.key_missing",
    "there is no vault key: {why}",
    "bring back the key that the wallets were sealed with; before the first start make one with 'umask 077; "
    "openssl rand -hex 32 > FILE', outside of the data directory, and name it as vault.key_file",
)
MALFORMED: Final = Kind(
    "vault.key_malformed",
    "the vault key cannot be used: {why}",
    "bring back the key as it was made: 64 hexadecimal digits on one line, or a passphrase of 12 characters or more "
    "with its salt; where only root may read it, run the doctor as root",
)
READABLE: Final = Kind(
    "vault.key_readable",
    "others than its owner may read {path} (mode {mode}); with it they can open every wallet",
    "run: chmod 600 {path}",
)
IN_DATA_DIRECTORY: Final = Kind(
    "vault.key_in_data_directory",
    "the vault key {path} lies in the data directory, so whoever copies that has both",
    "move it out of {directory}, such as to /etc/escrowd, and name its new place in the settings",
)
SALT_MISSING: Final = Kind(
    "vault.salt_missing",
    "secrets are stored, and the salt {path} of the passphrase is not there; without it there is no key",
    "bring the salt back from a backup; it lies beside the passphrase",
)
OTHER_KEY: Final = Kind(
    "vault.other_key",
    "the vault key is not the one that sealed the password of wallet {wallet}",
    "bring back the key that the wallets were made with; no other one opens them",
)


# ---------------------------------------------------------------------------------------------------------------------


async def _place(around: Surroundings) -> Iterable[Finding]:
    return _misplaced(around)


def _key_files(around: Surroundings) -> tuple[Path, ...]:
    vault = around.settings.model.vault
    return tuple(path for path in (vault.key_file, vault.passphrase_file) if path is not None)


def _misplaced(around: Surroundings) -> Iterator[Finding]:
    directory = around.settings.data_directory
    files = _key_files(around)
    if len(files) > 1:
        yield TWO_KEYS.found()
    for path in files:
        if not path.is_file():
            yield MISSING.found(why=f"{path} is no file, or lies where it cannot be seen")
            continue
        if path.resolve().is_relative_to(directory.resolve()):
            yield IN_DATA_DIRECTORY.found(path=path, directory=directory)
        if mode := others_may(path):
            yield READABLE.found(path=path, mode=mode)


async def _form(around: Surroundings) -> Iterable[Finding]:
    """Read the key as the service does."""
    passphrase = around.settings.model.vault.passphrase_file
    if passphrase and not _salt_of(passphrase).exists():
        # The service makes a new salt at its first start, and so must not be asked.
        return ()
    try:
        await asyncio.to_thread(around.settings.vault)
    except (VaultKeyRefused, InvalidSettings) as error:
        is_missing = not _key_files(around) and "is not set" in str(error)
        return (MISSING.found(why=error) if is_missing else MALFORMED.found(why=error),)
    return ()


def _salt_of(passphrase_file: Path) -> Path:
    return passphrase_file.with_name(f"{passphrase_file.name}.salt")


async def _opens(around: Surroundings) -> Iterable[Finding]:
    """Open one secret that is stored: the newest, since a change of the key shows there first."""
    async with around.opened.reading() as session:
        stored = await KeySetTable(session).newest_password()
    passphrase = around.settings.model.vault.passphrase_file
    if stored is None:
        return ()
    if passphrase and not _salt_of(passphrase).exists():
        return (SALT_MISSING.found(path=_salt_of(passphrase)),)
    filename, sealed = stored
    vault = await asyncio.to_thread(around.settings.vault)
    try:
        vault.unseal(sealed, password_purpose(filename))
    except NotUnsealable:
        return (OTHER_KEY.found(wallet=filename),)
    return ()


CHECKS: Final = (
    Check(
        "the vault key is kept where it should be",
        _place,
        (MISSING, TWO_KEYS, IN_DATA_DIRECTORY, READABLE),
        gives=Need.KEY_FILE,
    ),
    Check("the vault key is one", _form, (MISSING, MALFORMED), frozenset({Need.KEY_FILE}), gives=Need.VAULT_KEY),
    Check(
        "the vault key opens what is stored",
        _opens,
        (OTHER_KEY, SALT_MISSING),
        frozenset({Need.VAULT_KEY, Need.SCHEMA}),
    ),
)
