"""Where the vault key comes from: a file of its own, the environment, or a passphrase.

Whoever copies the data directory must not get the key along with it, so a key file inside that directory is refused.
"""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from nacl import pwhash

from escrowd.domain.secret import Secret
from escrowd.wallets.errors import VaultKeyRefused
from escrowd.wallets.vault import KEY_BYTES

ENVIRONMENT_VARIABLE: Final = "ESCROWD_VAULT_KEY"
SALT_BYTES: Final = pwhash.argon2id.SALTBYTES


def make_key_file(path: Path) -> None:
    """Write a new random key to a file that only its owner can read. An existing file is never overwritten.

    Raises:
        VaultKeyRefused: the file exists.

    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise VaultKeyRefused(f"{path} exists already; a vault key is never overwritten") from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(descriptor)


def key_from_file(path: Path, data_directory: Path) -> bytes:
    """Read the key from a file of 64 hexadecimal digits.

    Raises:
        VaultKeyRefused: the file is missing, badly formed, readable by others, or lies in the data directory.

    """
    if path.resolve().is_relative_to(data_directory.resolve()):
        raise VaultKeyRefused(f"the vault key {path} lies beside what it seals; move it out of {data_directory}")
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise VaultKeyRefused(f"the vault key {path} cannot be read: {error}") from error
    if stat.S_IMODE(mode) & _rights_of_others(path):
        raise VaultKeyRefused(f"the vault key {path} can be read by others; run: chmod 600 {path}")
    return _key_from_hex(Secret(text.strip()), str(path))


def key_from_environment(environment: Mapping[str, str]) -> bytes:
    """Read the key from ``ESCROWD_VAULT_KEY``, 64 hexadecimal digits.

    Raises:
        VaultKeyRefused: the variable is not set or badly formed.

    """
    text = environment.get(ENVIRONMENT_VARIABLE)
    if text is None:
        raise VaultKeyRefused(f"{ENVIRONMENT_VARIABLE} is not set; it must hold {2 * KEY_BYTES} hexadecimal digits")
    return _key_from_hex(Secret(text.strip()), ENVIRONMENT_VARIABLE)


def key_from_passphrase(passphrase: Secret, salt: bytes) -> bytes:
    """Derive the key from a passphrase by argon2id (256 MiB, about a second). The salt is stored and not secret.

    Raises:
        VaultKeyRefused: the passphrase is shorter than 12 characters, or the salt has a wrong length.

    """
    if len(passphrase.reveal()) < 12:
        raise VaultKeyRefused("the vault passphrase must have at least 12 characters")
    if len(salt) != SALT_BYTES:
        raise VaultKeyRefused(f"the vault salt has {len(salt)} bytes and must have {SALT_BYTES}")
    return pwhash.argon2id.kdf(
        KEY_BYTES,
        passphrase.reveal().encode(),
        salt,
        opslimit=pwhash.argon2id.OPSLIMIT_MODERATE,
        memlimit=pwhash.argon2id.MEMLIMIT_MODERATE,
    )


# ---------------------------------------------------------------------------------------------------------------------


def _rights_of_others(path: Path) -> int:
    """Return the bits of a file's mode that would let others at it.

    systemd gives a credential to one user by an access list, and the group bits then show its mask, no right of a group
    (``write_credential`` in ``exec-credential.c``). Nobody else can enter the directory.
    """
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    is_credential = credentials is not None and path.resolve().is_relative_to(Path(credentials).resolve())
    return 0o037 if is_credential else 0o077


def _key_from_hex(text: Secret, source: str) -> bytes:
    try:
        key = bytes.fromhex(text.reveal())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise VaultKeyRefused(f"the vault key in {source} must be {2 * KEY_BYTES} hexadecimal digits") from None
    return key
