import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.domain.secret import Secret
from escrowd.wallets.errors import NotUnsealable
from escrowd.wallets.vault import Vault


@given(st.binary(max_size=4096))
def test_sealed_key_file_comes_back_changed(data: bytes) -> None:
    """Any bytes that are sealed for a purpose come back as they were, for that purpose and key alone."""
    vault = Vault(bytes(32))
    sealed = vault.seal_bytes(data, "keys of wallet a")
    assert vault.unseal_bytes(sealed, "keys of wallet a") == data
    for other, purpose in ((vault, "keys of wallet b"), (Vault(b"\1" * 32), "keys of wallet a")):
        with pytest.raises(NotUnsealable):
            other.unseal_bytes(sealed, purpose)


def test_sealed_text_and_its_bytes_differ() -> None:
    """A sealed text is its sealed bytes: what an earlier release sealed opens either way."""
    vault = Vault(bytes(32))
    assert vault.unseal_bytes(vault.seal(Secret("text"), "p"), "p") == b"text"
    assert vault.unseal(vault.seal_bytes(b"text", "p"), "p") == Secret("text")
