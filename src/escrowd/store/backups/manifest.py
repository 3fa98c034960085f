"""What a backup says of itself, and the seal on it. Pure.

The seal is a BLAKE2b of the manifest with a key that is derived from the vault key. The manifest names the SHA-256 of
each table, so the seal covers everything.
"""

import hashlib
import hmac
from typing import Final

import msgspec

from escrowd.store.backups.errors import BackupDamaged, BackupUnreadable, OtherVaultKey

#: Names the purpose for which the vault derives the key of the seal.
SEAL_PURPOSE: Final = "seal of backups"
#: The form of the archive. A later program reads the earlier forms.
FORMAT: Final = 1
#: Hexadecimal digits of a seal.
SEAL_DIGITS: Final = 64


class TableEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table: how many rows it has, and its file in the archive with size in bytes and SHA-256, hex."""

    name: str
    rows: int
    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a backup holds. Nothing in it is secret."""

    format: int = FORMAT
    #: Version of the program that wrote it.
    escrowd: str
    #: Revision of the schema.
    revision: str
    #: ``sqlite`` or ``postgresql``: where it comes from. It can be restored into either.
    dialect: str
    #: Milliseconds since 1970, UTC, on the clock of the database: the moment that it shows.
    created_at: int
    #: The network of its escrows; ``None`` where there are none.
    network: str | None
    #: Id of the first block of the chain, hex, and how many blocks were read; ``None`` before the first look.
    genesis: str | None
    height: int | None
    #: Number of escrows by status.
    escrows: dict[str, int]
    tables: tuple[TableEntry, ...]
    #: Tells one vault key from another, and nothing else of it.
    key_name: str


def key_name(key: bytes) -> str:
    """Name a key, so that who has another one can be told."""
    return hashlib.blake2b(b"name", key=key, digest_size=8).hexdigest()


def written(manifest: Manifest) -> bytes:
    """Write a manifest for people and programs."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def seal(manifest: bytes, key: bytes) -> bytes:
    """Return the seal of a written manifest, as hexadecimal digits."""
    return hashlib.blake2b(manifest, key=key, digest_size=SEAL_DIGITS // 2).hexdigest().encode()


def opened(manifest: bytes, its_seal: bytes, key: bytes) -> Manifest:
    """Read a written manifest, after the seal on it was checked.

    Raises:
        BackupUnreadable: it is none, or of a form that this version does not know.
        OtherVaultKey: it was sealed with another key.
        BackupDamaged: it was changed.

    """
    if not hmac.compare_digest(its_seal, seal(manifest, key)):
        raise _why_not_sealed(manifest, key)
    form = _form(manifest)
    if form.format != FORMAT:
        raise BackupUnreadable(f"the backup has form {form.format}, and this version of escrowd knows form {FORMAT}")
    try:
        return msgspec.json.decode(manifest, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupUnreadable(f"the manifest of the backup cannot be read: {error}") from error


# ---------------------------------------------------------------------------------------------------------------------


class _Form(msgspec.Struct, frozen=True):
    """What a manifest of any form has."""

    format: int = 0
    key_name: str = ""


def _form(manifest: bytes) -> _Form:
    try:
        return msgspec.json.decode(manifest, type=_Form)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Form()


def _why_not_sealed(manifest: bytes, key: bytes) -> BackupDamaged | OtherVaultKey:
    """Say which of the two it most likely is: a key's name proves nothing, for it is in what may have been changed."""
    if _form(manifest).key_name in ("", key_name(key)):
        return BackupDamaged("the manifest of the backup was changed; use another copy of it")
    return OtherVaultKey(
        "the backup was made with another vault key: give the key that the service had when the backup was made"
    )
