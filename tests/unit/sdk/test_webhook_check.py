import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from escrowd.sdk import MissingHeaders, Stale, UnreadableEvent, WebhookRefused, WrongSignature, verify_webhook
from tests.unit.sdk.samples import event

SECRET, OTHER = (f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
BODY = json.dumps(event(1)).encode()


def signed(*secrets: str, body: bytes = BODY, age: float = 0.0, **changed: str) -> dict[str, str]:
    """Return the headers of a webhook that these secrets signed so many seconds ago."""
    sent = datetime.now(UTC) - timedelta(seconds=age)
    signatures = (Webhook(secret).sign("evt_1", sent, body.decode()) for secret in secrets)
    headers = {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(sent.timestamp())),
        "Webhook-Signature": " ".join(signatures),
    }
    return {**headers, **{name.replace("_", "-").title(): value for name, value in changed.items()}}


def test_good_webhook_is_refused() -> None:
    """What the secret signed within five minutes is an event, whatever the case of the headers."""
    for headers in (signed(SECRET), {name.lower(): text for name, text in signed(SECRET, age=-200).items()}):
        assert verify_webhook(BODY, headers, SECRET).id == "evt_1"
    assert verify_webhook(BODY, signed(SECRET, age=250), [SECRET]).data == {"status": "funded"}


@pytest.mark.parametrize("signing", [(SECRET,), (OTHER,), (SECRET, OTHER), (OTHER, SECRET)])
def test_webhook_is_refused_during_rotation(signing: tuple[str, ...]) -> None:
    """While secrets are changed, one that fits is enough, on either side and in any order."""
    assert verify_webhook(BODY, signed(*signing), (SECRET, OTHER)).id == "evt_1"


@pytest.mark.parametrize("unknown", ["v2,AAAA", "v1a,AAAA", "v1", "", "v1,", "v1,not base64", "v1,é", "rubbish,a,b"])
def test_signature_of_another_kind_spoils_a_good_one(unknown: str) -> None:
    """A signature that is not understood is passed over, and is none by itself."""
    good = signed(SECRET)
    both = {**good, "Webhook-Signature": f"{unknown} {good['Webhook-Signature']}"}
    assert verify_webhook(BODY, both, SECRET).id == "evt_1"
    with pytest.raises(WrongSignature):
        verify_webhook(BODY, {**good, "Webhook-Signature": f"{unknown} v2,AAAA"}, SECRET)


#: What is changed in a good webhook: who signs it, when, what its headers and body say. And what it is refused as.
BAD: list[tuple[dict[str, Any], bytes, type[WebhookRefused]]] = [
    ({"webhook_id": ""}, BODY, MissingHeaders),
    ({"webhook_signature": ""}, BODY, MissingHeaders),
    ({"webhook_timestamp": ""}, BODY, MissingHeaders),
    ({"webhook_id": "evt_2"}, BODY, WrongSignature),
    ({"body": BODY + b"!"}, BODY, WrongSignature),
    ({}, BODY + b" ", WrongSignature),
    ({}, b"\xff\xfe", WrongSignature),
    ({"age": 310}, BODY, Stale),
    ({"age": -400}, BODY, Stale),
    ({"webhook_timestamp": "1" * 30}, BODY, Stale),
    ({"webhook_timestamp": "nan"}, BODY, Stale),
    ({"webhook_timestamp": "yesterday"}, BODY, Stale),
    ({"body": b"{}"}, b"{}", UnreadableEvent),
    ({"body": b"no json"}, b"no json", UnreadableEvent),
]


@pytest.mark.parametrize("row", BAD, ids=lambda row: f"{row[2].__name__} {row[0]}")
def test_bad_webhook_is_taken(row: tuple[dict[str, Any], bytes, type[WebhookRefused]]) -> None:
    """Everything else is refused, with what is wrong, and without the secrets."""
    change, body, kind = row
    headers = signed(SECRET, **change)
    with pytest.raises(kind) as caught:
        verify_webhook(body, headers, (SECRET,))
    assert type(caught.value) is kind
    assert SECRET not in repr(caught.value)


def test_request_without_headers_is_taken() -> None:
    """What has none of the headers is refused with their names."""
    with pytest.raises(MissingHeaders, match="webhook-id, webhook-timestamp, webhook-signature"):
        verify_webhook(BODY, {}, SECRET)


def test_other_secret_vouches() -> None:
    """What another secret signed is refused."""
    with pytest.raises(WrongSignature):
        verify_webhook(BODY, signed(OTHER), SECRET)


@pytest.mark.parametrize("secrets", ["", "whsec_", "whsec_é", "whsec_a", ()])
def test_secret_that_is_none_vouches(secrets: str) -> None:
    """What is no secret is a mistake of the receiver, and vouches for nothing."""
    with pytest.raises(ValueError, match="secret"):
        verify_webhook(BODY, signed(SECRET), secrets)
