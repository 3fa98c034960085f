"""Checks that a webhook comes from the service, as Standard Webhooks says, and reads its event."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from escrowd.sdk.calls import several
from escrowd.wire.events import Event


class WebhookRefused(Exception):
    """What came is no webhook of the service, or not one to act on. Answer with 400, and do nothing."""


class MissingHeaders(WebhookRefused):
    """It lacks the headers that say what it is, when it was sent, and that the service signed it."""


class Stale(WebhookRefused):
    """It was sent more than five minutes ago, or will be: somebody plays it back, or one of the clocks is wrong."""


class WrongSignature(WebhookRefused):
    """None of the secrets made its signature: somebody else sent it, the body was changed, or the secret is another."""


class UnreadableEvent(WebhookRefused):
    """The service signed it, but it holds no event that this version knows how to read."""


def verify_webhook(body: bytes, headers: Mapping[str, str], secrets: str | Iterable[str]) -> Event:
    """Return the event of a webhook that one of the secrets signed within five minutes of now.

    ``body`` are the bytes as they came: an event that was parsed and written again has another signature. Names of
    headers may be in any case. Give the old and the new secret while they are being changed.

    The same event can come again. Deal with each ``event.id`` once.

    >>> event = verify_webhook(request.body, request.headers, "whsec_…")

    Raises:
        MissingHeaders: it is no webhook at all.
        Stale: it was sent too long ago.
        WrongSignature: no secret fits.
        UnreadableEvent: it is signed, but no event.
        ValueError: what was given is no secret of a webhook.

    """
    checks = tuple(_check(secret) for secret in several(secrets))
    if not checks:
        raise ValueError("no secret was given")
    given = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in _HEADERS if not given.get(name)]
    if missing:
        raise MissingHeaders(f"without {', '.join(missing)}")
    wanted = {name: given[name] for name in _HEADERS}
    wanted[_SIGNATURE] = " ".join(each for each in wanted[_SIGNATURE].split(" ") if _is_readable(each))
    refusals = [_refusal(check, body, wanted) for check in checks]
    if all(refusals):
        raise next(each for each in refusals if each)
    return _event(body)


# ---------------------------------------------------------------------------------------------------------------------

_SIGNATURE: Final = "webhook-signature"
_HEADERS: Final = ("webhook-id", "webhook-timestamp", _SIGNATURE)
#: What the reference library says of times, and what it means.
_STALE: Final = {
    "Message timestamp too old": "it was sent too long ago",
    "Message timestamp too new": "it was sent in the future",
    "Invalid Signature Headers": "it does not say when it was sent",
}


def _check(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except Exception:  # noqa: BLE001 - the library's errors for this have no common class, and might name the secret
        raise ValueError("a secret of a webhook is 'whsec_' with base64 behind it") from None


def _is_readable(signature: str) -> bool:
    """Return whether it is a signature of the version that is known here. The reference library fails on others."""
    version, _, value = signature.partition(",")
    try:
        return version == "v1" and bool(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return False


def _refusal(check: Webhook, body: bytes, headers: dict[str, str]) -> WebhookRefused | None:
    """Return why this secret does not vouch for it. Signatures are compared in constant time."""
    try:
        check.verify(body, headers, json_parse=False)
    except WebhookVerificationError as error:
        reason = str(error)
    except UnicodeDecodeError:
        reason = "the body is no text"
    else:
        return None
    if reason in _STALE:
        return Stale(f"{_STALE[reason]}; webhook-timestamp is {headers['webhook-timestamp']!r}")
    return WrongSignature("no secret made the signature of this body, id and time")


def _event(body: bytes) -> Event:
    try:
        return Event.model_validate_json(body)
    except ValidationError as error:
        wrong = ", ".join(".".join(map(str, each["loc"])) or "the whole" for each in error.errors())
        raise UnreadableEvent(f"no event: {wrong}") from None
