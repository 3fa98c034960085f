"""Which cache is moved aside, and where it goes."""

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from escrowd.monero.errors import WalletNotOpened
from escrowd.wallets.caches import ASIDE, may_be_the_cache, move_cache_aside

NAME = "esc_a-buyer"
#: What 0.18.5.3 answered for a cache cut in half, an empty one, and what 0.18.0.0 answers for anything.
OF_THE_CACHE = (
    "Failed to open wallet : basic_string::_M_replace_aux",
    "Failed to open wallet : input stream error",
    "Failed to open wallet",
)
#: What 0.18.5.3 answered for a wrong password, and for key files cut in half, empty and of other bytes.
OF_ANOTHER_FILE = (
    "Failed to open wallet : Invalid password.",
    "Failed to open wallet : internal error: failed to deserialize keys buffer",
)


@pytest.fixture
def wallets(tmp_path: Path) -> Path:
    """Give a directory with one wallet."""
    (tmp_path / f"{NAME}.keys").write_bytes(b"keys")
    (tmp_path / NAME).write_bytes(b"nonces")
    return tmp_path


def refused(reason: str, code: int = -1) -> WalletNotOpened:
    return WalletNotOpened("open_wallet", code, reason)


@pytest.mark.parametrize("reason", OF_THE_CACHE)
def test_cache_is_suspected_where_nothing_else_is_named(wallets: Path, reason: str) -> None:
    """A refusal that names no other file may be the cache's fault (finding E5)."""
    assert may_be_the_cache(refused(reason), wallets, NAME)


@pytest.mark.parametrize("reason", OF_ANOTHER_FILE)
def test_cache_is_not_blamed_for_password_and_key_file(wallets: Path, reason: str) -> None:
    """Where the engine names the password or the key file, a healthy cache stays where it is."""
    assert not may_be_the_cache(refused(reason), wallets, NAME)


def test_cache_is_not_blamed_for_a_refusal_with_a_code_of_its_own(wallets: Path) -> None:
    """A code other than that of an unknown error has a cause that is no cache."""
    assert not may_be_the_cache(refused("Failed to open wallet", -22), wallets, NAME)


def test_cache_of_a_wallet_that_is_open_elsewhere_stays(wallets: Path) -> None:
    """While another process holds the lock of the key file, its cache is in use and is not moved."""
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f,fcntl.LOCK_EX); print(flush=True); input()",
            str(wallets / f"{NAME}.keys"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert not may_be_the_cache(refused("Failed to open wallet"), wallets, NAME)
    finally:
        holder.communicate(b"\n")
    assert may_be_the_cache(refused("Failed to open wallet"), wallets, NAME)
    with (wallets / f"{NAME}.keys").open("r+b") as keys:
        fcntl.lockf(keys, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_cache_is_moved_to_where_no_wallet_is_opened_from(wallets: Path) -> None:
    """The old cache keeps its bytes, loses its name, and each further one gets a place of its own."""
    (wallets / f"{NAME}.unportable").write_bytes(b"nonces")
    first = move_cache_aside(wallets, NAME)
    assert first is not None
    assert (first.parent, first.read_bytes()) == (wallets / ASIDE, b"nonces")
    assert first.name != NAME
    assert sorted(each.name for each in wallets.iterdir()) == [ASIDE, f"{NAME}.keys"]
    assert move_cache_aside(wallets, NAME) is None
    (wallets / NAME).write_bytes(b"later nonces")
    second = move_cache_aside(wallets, NAME)
    assert second is not None
    assert (first.read_bytes(), second.read_bytes()) == (b"nonces", b"later nonces")
