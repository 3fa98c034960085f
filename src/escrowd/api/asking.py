"""Reads requests: who makes them, and what they say. Everything is checked before anything is done."""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from pydantic import ValidationError
from typing_extensions import override

from escrowd.api.errors import InvalidRequest, MalformedBody, TooManyRequests, WrongMediaType
from escrowd.api.parts import parts_of
from escrowd.api.tokens import token_in
from escrowd.domain.access import Caller
from escrowd.domain.secret import Secret
from escrowd.service.front.answering import Asked
from escrowd.service.front.errors import NotAuthenticated
from escrowd.wire.problems import FieldProblem
from escrowd.wire.values import Absent
from escrowd.wire.values import Request as WireRequest

BodyT = TypeVar("BodyT", bound=WireRequest)

#: Under this name a route tells which model its body has, for the OpenAPI document.
BODY_MODEL: Final = "body_model"


IDEMPOTENCY_KEY: Final = "Idempotency-Key"


class GuardedRoute(APIRoute):
    """A route that finds out who calls before anything else is read: strangers learn nothing of what it takes.

    It does so around the route and not as a dependency of it: for each of those FastAPI looks through the whole
    request once more.
    """

    @override
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            await admitted(request)
            return await answer(request)

        return guarded


async def admitted(request: Request) -> Caller:
    """Find out who calls, and refuse parameters that the document does not name: none must be left out in silence.

    Raises:
        NotAuthenticated: nobody whom we know.
        TooManyRequests: too many wrong tokens came from there.
        InvalidRequest: there is an unknown parameter.

    """
    # In the scope, which is of this request alone; a server may let the state be shared.
    known: Caller | None = request.scope.get(_CALLER)
    if known is None:
        known = request.scope[_CALLER] = await _authenticated(request)
        request.state.caller = known.name
        _refuse_unknown(request)
    return known


async def asked(
    request: Request,
    idempotency_key: Annotated[
        str | Absent,
        Header(
            alias=IDEMPOTENCY_KEY,
            description="Same key, same thing: it is done once, and answered the same each time. 1 to 255 printable "
            "characters of ASCII, no spaces; a UUID is a good one. It is remembered for 30 days, unless the operator "
            "set another time, of a day at least.",
            json_schema_extra={"pattern": r"^[\x21-\x7e]{1,255}$"},
        ),
    ] = None,
) -> Asked:
    """Read what makes a request this one and no other."""
    caller, digest = await admitted(request), hashlib.sha256()
    for part in (request.method.encode(), request.url.path.encode(), await request.body()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return Asked(caller, digest.hexdigest(), idempotency_key)


def body_of(model: type[BodyT]) -> Callable[[Request], Coroutine[Any, Any, BodyT]]:
    """Return what reads a body of this kind, strictly: JSON has no dates and no amounts that are numbers."""

    async def read(request: Request) -> BodyT:
        body = await request.body()
        media_type = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
        if body and media_type != "application/json":
            raise WrongMediaType
        try:
            return model.model_validate_json(body or b"{}")
        except ValidationError as error:
            raise as_problem(error) from None

    setattr(read, BODY_MODEL, model)
    return read


def as_problem(error: ValidationError) -> MalformedBody | InvalidRequest:
    """Say what is wrong with a body. What was sent is not repeated: it may hold what nobody should read in a log."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    if any(each["type"] == "json_invalid" for each in found):
        return MalformedBody(f"the body is not JSON: {found[0]['msg']}")
    return InvalidRequest(
        [
            FieldProblem(
                field=".".join(["body", *map(str, each["loc"])]), message=each["msg"].removeprefix("Value error, ")
            )
            for each in found
        ]
    )


CallerOf = Annotated[Caller, Depends(admitted)]
AskedOf = Annotated[Asked, Depends(asked)]

# ---------------------------------------------------------------------------------------------------------------------

_CALLER: Final = "escrowd.caller"


async def _authenticated(request: Request) -> Caller:
    parts = await parts_of(request)
    token = token_in(request.headers.get("Authorization", ""))
    if not token:
        raise NotAuthenticated("send a key or a party's token with the header 'Authorization: Bearer …'")
    seen, address = hashlib.sha256(token.encode()).hexdigest(), request.client.host if request.client else "-"
    wait = parts.doorkeeper.seconds_to_wait(seen, address)
    if wait:
        raise TooManyRequests(wait)
    try:
        caller = await parts.callers.caller(Secret(token))
    except NotAuthenticated:
        parts.doorkeeper.was_wrong(address)
        raise
    parts.doorkeeper.was_good(seen)
    return caller


def _refuse_unknown(request: Request) -> None:
    if not request.query_params:
        return
    operation = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    known = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    message = f"there is no such parameter; there are {', '.join(known) or 'none'}"
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        raise InvalidRequest([FieldProblem(field=f"query.{each[:40]}", message=message) for each in unknown])
