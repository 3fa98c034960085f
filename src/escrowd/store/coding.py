"""Values of the domain as JSON text in the database, and back, strictly."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from escrowd.store.errors import UnknownShape

ValueT = TypeVar("ValueT")


def encoded(value: object) -> str:
    """Write a value of the domain as JSON."""
    return msgspec.json.encode(value, enc_hook=_plain, order="deterministic").decode()


def decoded(text: str, kind: type[ValueT]) -> ValueT:
    """Read a value of the domain.

    Raises:
        UnknownShape: the text is no such value.

    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise UnknownShape(f"a stored {kind.__name__} cannot be read: {error}") from error


# ---------------------------------------------------------------------------------------------------------------------


def _plain(value: object) -> Mapping[Any, Any]:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} is not stored")
