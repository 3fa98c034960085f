"""Calls of the API as data: what is sent, and as what the answer is read."""

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import NoneType
from typing import Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from escrowd.sdk.errors import Circumstances, Invalid
from escrowd.sdk.steps import IDEMPOTENCY_KEY, Request
from escrowd.wire.problems import FieldProblem, Problem

AnswerT = TypeVar("AnswerT", bound=BaseModel | None)
BodyT = TypeVar("BodyT", bound=BaseModel)
TextT = TypeVar("TextT", bound=str)

#: What may be one part of a query.
QueryValue = str | int | datetime | Iterable[str] | None


@dataclass(frozen=True, slots=True)
class Call(Generic[AnswerT]):
    """A request, the type of its answer, and how many seconds the server may hold it back on purpose.

    The type is that of ``None`` where the answer is empty.
    """

    request: Request
    answer: type[AnswerT]
    held_seconds: float = 0.0


def reading(answer: type[AnswerT], path: str, *, held_seconds: float = 0.0, **query: QueryValue) -> Call[AnswerT]:
    """Return a call that changes nothing. The query is as :func:`query_of` makes it."""
    return Call(Request("GET", path, query_of(**query)), answer, held_seconds)


def query_of(**values: QueryValue) -> tuple[tuple[str, str], ...]:
    """Return a query. What is ``None`` or empty is left out, and what is several stands there several times."""
    return tuple((name, text) for name, value in values.items() for text in _texts(name, value))


def posting(answer: type[AnswerT], path: str, body: BaseModel | None, idempotency_key: str | None) -> Call[AnswerT]:
    """Return a call that changes something once, with the key given or a new one."""
    headers = {IDEMPOTENCY_KEY: checked_key(idempotency_key), **_JSON}
    return Call(Request("POST", path, headers=headers, content=_json(body)), answer)


def changing(answer: type[AnswerT], path: str, body: BaseModel) -> Call[AnswerT]:
    """Return a call that sets something, however often it is made."""
    return Call(Request("PATCH", path, headers=_JSON, content=_json(body)), answer)


def deleting(path: str) -> Call[None]:
    """Return a call that removes something."""
    return Call(Request("DELETE", path), NoneType)


def checked(model: type[BodyT], **content: object) -> BodyT:
    """Return a body for a request. What is ``None`` is left out.

    Raises:
        Invalid: the API would not take it.

    """
    try:
        return model.model_validate({name: value for name, value in content.items() if value is not None})
    except ValidationError as error:
        raise _invalid(error) from None


def several(texts: TextT | Iterable[TextT]) -> tuple[TextT, ...]:
    """Return one text, or each of several: a text alone is no list of its letters."""
    return (texts,) if isinstance(texts, str) else tuple(texts)


def piconero(amount: int | None) -> str | None:
    """Write an amount as the wire has it."""
    return None if amount is None else str(amount)


def part(identifier: str) -> str:
    """Return an id as a part of a path.

    Raises:
        Invalid: no id looks like that; sent as it is, it might name another path.

    """
    if not _IDENTIFIER.fullmatch(identifier):
        raise Invalid(f"{identifier!r} is no id: an id consists of letters, digits, '_' and '-'")
    return identifier


def checked_key(idempotency_key: str | None) -> str:
    """Return the caller's idempotency key, or a new one of 192 random bits.

    Raises:
        Invalid: it is not made of 1 to 255 visible ASCII characters.

    """
    if idempotency_key is None:
        return secrets.token_urlsafe(24)
    if not _KEY.fullmatch(idempotency_key):
        raise Invalid("an idempotency key is made of 1 to 255 visible ASCII characters")
    return idempotency_key


# ---------------------------------------------------------------------------------------------------------------------

_IDENTIFIER: Final = re.compile("[A-Za-z0-9_-]{1,80}")
_KEY: Final = re.compile("[!-~]{1,255}")
_JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json"}


def _json(body: BaseModel | None) -> bytes:
    # One text for all tries: the server binds the key to it.
    content = {} if body is None else body.model_dump(mode="json", exclude_none=True)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _texts(name: str, value: QueryValue) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise Invalid(f"{name} is a time without a time zone; give one, such as datetime.now(UTC)")
        return (value.isoformat(),)
    return (str(value),) if isinstance(value, int) else several(value)


def _invalid(error: ValidationError) -> Invalid:
    """Say what is wrong without the values: some of them are secrets."""
    problems = tuple(
        FieldProblem(field=".".join(map(str, ("body", *each["loc"]))), message=each["msg"])
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    )
    detail = "; ".join(f"{each.field}: {each.message}" for each in problems)
    problem = Problem(title="Invalid", status=422, code=Invalid.default_code, detail=detail, errors=problems)
    return Invalid(f"not sent, because the API would not take it: {detail}", Circumstances(problem=problem))
