"""Secret keys as numbers: what may be one and what may not."""

import re
from typing import Final

from escrowd.domain.secret import Secret

#: The order of the base point of Ed25519 (RFC 8032, section 5.1): a secret key is a number below it.
GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493


def are_scalars(keys: Secret) -> bool:
    """Return whether a text is one secret key, or several in a row, in hex."""
    digits = keys.reveal()
    if not re.fullmatch(r"([0-9a-fA-F]{64})+", digits):
        return False
    numbers = (bytes.fromhex(digits[start : start + 64]) for start in range(0, len(digits), 64))
    return all(int.from_bytes(number, "little") < GROUP_ORDER for number in numbers)
