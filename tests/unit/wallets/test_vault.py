from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.secret import Secret
from escrowd.wallets.errors import NotUnsealable, VaultKeyRefused
from escrowd.wallets.vault import KEY_BYTES, Vault, random_password
from escrowd.wallets.vault_key import (
    ENVIRONMENT_VARIABLE,
    SALT_BYTES,
    key_from_environment,
    key_from_file,
    key_from_passphrase,
    make_key_file,
)

VAULT = Vault(bytes(range(KEY_BYTES)))


@given(st.text(), st.text())
def test_sealed_secret_opens_for_its_purpose(text: str, purpose: str) -> None:
    """What was sealed for a purpose opens for it, and shows nothing of itself while sealed."""
    sealed = VAULT.seal(Secret(text), purpose)
    assert VAULT.unseal(sealed, purpose).reveal() == text
    assert VAULT.seal(Secret(text), purpose) != sealed


def test_sealed_secret_moved_to_another_purpose_stays_shut() -> None:
    """A password sealed for one wallet does not open as the password of another."""
    with pytest.raises(NotUnsealable, match="wallet b"):
        VAULT.unseal(VAULT.seal(Secret("text"), "wallet a"), "wallet b")


@pytest.mark.parametrize("damage", ["", "v1.", "v2.AAAA", "v1.!!!", "v1." + "A" * 64, "no version"])
def test_damaged_sealed_secret_is_refused(damage: str) -> None:
    """A text that was never sealed with this key is refused, and the error does not repeat it."""
    with pytest.raises(NotUnsealable) as caught:
        VAULT.unseal(damage, "purpose")
    assert caught.value.__cause__ is None
    assert len(damage) < 5 or damage not in str(caught.value)


def test_flipped_bit_is_noticed() -> None:
    """Any change of a sealed text keeps it shut."""
    sealed = VAULT.seal(Secret("a secret"), "purpose")
    position = len(sealed) // 2
    changed = sealed[:position] + ("A" if sealed[position] != "A" else "B") + sealed[position + 1 :]
    with pytest.raises(NotUnsealable):
        VAULT.unseal(changed, "purpose")


def test_other_key_opens_nothing() -> None:
    """A secret sealed with one key stays shut for every other key."""
    with pytest.raises(NotUnsealable):
        Vault(bytes(KEY_BYTES)).unseal(VAULT.seal(Secret("text"), "purpose"), "purpose")


def test_passwords_are_long_and_never_the_same() -> None:
    """Each wallet gets a password of its own, of 256 bits."""
    passwords = {random_password().reveal() for _ in range(100)}
    assert len(passwords) == 100
    assert all(len(password) >= 43 for password in passwords)


def test_key_file_made_here_can_be_read_here(tmp_path: Path) -> None:
    """A key file that escrowd wrote is one that escrowd accepts."""
    path = tmp_path / "vault.key"
    make_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key_from_file(path, tmp_path / "data")) == KEY_BYTES


def test_key_file_is_never_overwritten(tmp_path: Path) -> None:
    """Making a key where one is would make every wallet unreadable, so it is refused."""
    path = tmp_path / "vault.key"
    make_key_file(path)
    before = path.read_text()
    with pytest.raises(VaultKeyRefused, match="never overwritten"):
        make_key_file(path)
    assert path.read_text() == before


def test_key_beside_the_data_is_refused(tmp_path: Path) -> None:
    """A key inside the data directory is stolen along with it, so it is refused, symbolic links followed."""
    data = tmp_path / "data"
    data.mkdir()
    make_key_file(data / "vault.key")
    (tmp_path / "link").symlink_to(data / "vault.key")
    for path in (data / "vault.key", tmp_path / "link"):
        with pytest.raises(VaultKeyRefused, match="beside what it seals"):
            key_from_file(path, data)


def test_key_readable_by_others_is_refused(tmp_path: Path) -> None:
    """A key that others can read is refused, with the command that mends it."""
    path = tmp_path / "vault.key"
    make_key_file(path)
    path.chmod(0o640)
    with pytest.raises(VaultKeyRefused, match="chmod 600"):
        key_from_file(path, tmp_path / "data")


def test_credential_of_systemd_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential whose access list shows as a right of the group is taken; one that everybody can read is not."""
    path = tmp_path / "vault.key"
    make_key_file(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    path.chmod(0o440)
    assert len(key_from_file(path, tmp_path / "data")) == KEY_BYTES
    path.chmod(0o444)
    with pytest.raises(VaultKeyRefused, match="read by others"):
        key_from_file(path, tmp_path / "data")


@pytest.mark.parametrize("content", ["", "zz" * KEY_BYTES, "00" * (KEY_BYTES - 1), "00" * (KEY_BYTES + 1)])
def test_malformed_key_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    """A key of the wrong form is refused, and the error does not repeat it."""
    path = tmp_path / "vault.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(VaultKeyRefused, match="64 hexadecimal digits") as caught:
        key_from_file(path, tmp_path / "data")
    with pytest.raises(VaultKeyRefused, match=ENVIRONMENT_VARIABLE):
        key_from_environment({ENVIRONMENT_VARIABLE: content})
    assert not content or content not in str(caught.value)


def test_missing_key_is_named(tmp_path: Path) -> None:
    """A missing key is an error that says where it was looked for."""
    with pytest.raises(VaultKeyRefused, match="nowhere"):
        key_from_file(tmp_path / "nowhere", tmp_path / "data")
    with pytest.raises(VaultKeyRefused, match=f"{ENVIRONMENT_VARIABLE} is not set"):
        key_from_environment({})


def test_passphrase_and_salt_make_the_key() -> None:
    """The same passphrase and salt make the same key; another salt makes another one."""
    phrase = Secret("correct horse battery")
    key = key_from_passphrase(phrase, bytes(SALT_BYTES))
    assert len(key) == KEY_BYTES
    assert key_from_passphrase(phrase, bytes(SALT_BYTES)) == key
    assert key_from_passphrase(phrase, b"\1" * SALT_BYTES) != key


def test_weak_passphrase_is_refused() -> None:
    """A short passphrase, or a salt of the wrong length, is refused."""
    with pytest.raises(VaultKeyRefused, match="12 characters"):
        key_from_passphrase(Secret("short"), bytes(SALT_BYTES))
    with pytest.raises(VaultKeyRefused, match="salt"):
        key_from_passphrase(Secret("long enough for this"), b"")


def test_vault_refuses_a_key_of_the_wrong_size() -> None:
    """A vault is made with 32 bytes or not at all."""
    with pytest.raises(VaultKeyRefused, match="31 bytes"):
        Vault(bytes(31))


def test_derived_key_belongs_to_one_vault_and_one_purpose() -> None:
    """A derived key is the same each time, and another one for each purpose and for each vault key."""
    key = VAULT.derived_key("seal of backups")
    assert len(key) == KEY_BYTES
    assert VAULT.derived_key("seal of backups") == key
    others = (VAULT.derived_key("seal of heads"), VAULT.derived_key(""), Vault(bytes(KEY_BYTES)).derived_key("seal"))
    assert len({key, *others, bytes(range(KEY_BYTES))}) == 5
