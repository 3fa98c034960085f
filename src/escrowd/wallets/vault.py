"""Secrets at rest: wallet passwords and the logins of wallet processes, sealed with the vault key.

Sealing is XChaCha20-Poly1305 with a random nonce of 192 bits. Each sealed text is bound to its purpose (which wallet,
which process), so that a sealed password copied to another wallet's record does not open there.
"""

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from nacl.encoding import RawEncoder
from nacl.exceptions import CryptoError
from nacl.hash import blake2b
from nacl.secret import Aead

from escrowd.domain.secret import Secret
from escrowd.wallets.errors import NotUnsealable, VaultKeyRefused

KEY_BYTES: Final = Aead.KEY_SIZE

_VERSION: Final = "v1."


class Vault:
    """Seals and unseals texts with one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultKeyRefused(f"the vault key has {len(key)} bytes and must have {KEY_BYTES}")
        self._box = Aead(key)
        self._key = key

    def derived_key(self, purpose: str) -> bytes:
        """Return 32 bytes that only who has the vault key can make, another key for each purpose."""
        return blake2b(purpose.encode(), KEY_BYTES, self._key, encoder=RawEncoder)

    def seal(self, secret: Secret, purpose: str) -> str:
        """Seal a secret for one purpose. The result is printable and may be stored anywhere."""
        return self.seal_bytes(secret.reveal().encode(), purpose)

    def seal_bytes(self, data: bytes, purpose: str) -> str:
        """Seal bytes, such as those of a key file, for one purpose. Their length shows in the result."""
        sealed = self._box.encrypt(data, aad=purpose.encode())
        return _VERSION + urlsafe_b64encode(bytes(sealed)).decode("ascii")

    def unseal(self, sealed: str, purpose: str) -> Secret:
        """Return the secret that was sealed for this purpose. Raises as :meth:`unseal_bytes` does."""
        return Secret(self.unseal_bytes(sealed, purpose).decode())

    def unseal_bytes(self, sealed: str, purpose: str) -> bytes:
        """Return the bytes that were sealed for this purpose.

        Raises:
            NotUnsealable: another key, another purpose, or a changed text; which of them cannot be told.

        """
        try:
            if not sealed.startswith(_VERSION):
                raise ValueError("unknown version")
            return self._box.decrypt(urlsafe_b64decode(sealed[len(_VERSION) :]), aad=purpose.encode())
        except (CryptoError, ValueError):
            # Without the cause: it would carry the sealed text into the traceback.
            raise NotUnsealable(f"the sealed secret of {purpose} does not open with this vault key") from None


def random_password() -> Secret:
    """Make a password of 256 random bits, for a wallet file or a login."""
    return Secret(secrets.token_urlsafe(32))
