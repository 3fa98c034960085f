"""Heads: where the history of each escrow ended at a moment, in a small file that is kept out of reach.

JSON lines: one head a line, and in the last line a seal over all before it, with a key that is derived from the vault
key. So whoever can write to the database and to this file, and has not the vault key, cannot make the two agree.
"""

import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.identifiers import EscrowId

#: Names the purpose for which the vault derives the key of the seal.
HEADS_PURPOSE: Final = "seal of heads of the log"


class HeadsRefused(EscrowdError):
    """A file of heads cannot be used or made."""

    fault = Fault.OPERATOR


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last entry of an escrow's history."""

    escrow: EscrowId
    sequence: int
    hash: str


def write_heads(path: Path, heads: Iterable[Head], key: bytes) -> None:
    """Write heads to a new file, which only its owner can read.

    Raises:
        HeadsRefused: there is a file of this name, or it cannot be written.

    """
    text = b"".join(msgspec.json.encode(each) + b"\n" for each in heads)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text + msgspec.json.encode(_Seal(_seal(text, key))) + b"\n")
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise HeadsRefused(f"{path} exists already; heads are never overwritten, so give another name") from None
    except OSError as error:
        raise HeadsRefused(f"the heads could not be written to {path}: {error}") from error


def read_heads(path: Path, key: bytes) -> dict[EscrowId, Head]:
    """Read heads by their escrows.

    Raises:
        HeadsRefused: the file cannot be read, was changed, or was sealed with another vault key.

    """
    try:
        *lines, last = path.read_bytes().splitlines(keepends=True) or [b""]
    except OSError as error:
        raise HeadsRefused(f"the heads {path} cannot be read: {error}") from error
    try:
        sealed = msgspec.json.decode(last, type=_Seal).seal
    except (msgspec.DecodeError, UnicodeDecodeError):
        sealed = ""
    if last != msgspec.json.encode(_Seal(sealed)) + b"\n" or not _is_sealed(b"".join(lines), sealed, key):
        raise HeadsRefused(f"the heads {path} were changed, or were written with another vault key")
    heads = [msgspec.json.decode(each, type=Head) for each in lines]
    return {each.escrow: each for each in heads}


# ---------------------------------------------------------------------------------------------------------------------


class _Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seal: str


def _seal(text: bytes, key: bytes) -> str:
    return hashlib.blake2b(text, key=key, digest_size=32).hexdigest()


def _is_sealed(text: bytes, sealed: str, key: bytes) -> bool:
    return hmac.compare_digest(sealed.encode(), _seal(text, key).encode())
