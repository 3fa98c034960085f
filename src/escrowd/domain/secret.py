"""Values that must not be seen: wallet passwords, RPC logins, vault keys."""

import hmac
from typing import NoReturn, final

from typing_extensions import override


@final
class Secret:
    """A text that shows itself only to who asks for it by name.

    Its ``repr``, ``str`` and format are masked, so that a log line, a traceback or an assertion cannot give it away,
    and it refuses to be pickled. Two secrets compare in constant time.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Each call of this is a place to look at in a review."""
        return self._text

    @override
    def __repr__(self) -> str:
        return "Secret(***)"

    @override
    def __str__(self) -> str:
        return "***"

    @override
    def __format__(self, format_spec: str) -> str:
        return "***"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    @override
    def __hash__(self) -> int:
        return hash(self._text)

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")
