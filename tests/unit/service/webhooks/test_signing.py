from base64 import b64decode
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from escrowd.domain.webhooks import Webhook
from escrowd.service.webhooks.schedule import JITTER, PAUSES, pause_after
from escrowd.service.webhooks.signing import new_secret, secret_purpose, signed_headers, valid_secrets
from escrowd.wallets.errors import NotUnsealable
from escrowd.wallets.vault import KEY_BYTES, Vault

VAULT = Vault(bytes(KEY_BYTES))
BODY = '{"id":"evt_1","data":{"text":"Grüße"}}'.encode()


def now() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def webhook(id_: str = "whk_1", **changes: object) -> Webhook:
    values = {"id": id_, "url": "https://shop.example/", "types": (), "description": "", "created_at": 0} | changes
    return Webhook(**values)  # type: ignore[arg-type] # the values are those of the tests


def test_signature_is_not_taken_by_the_reference() -> None:
    """The reference library verifies what was signed with any of the secrets, and nothing that was changed."""
    one, two, foreign = new_secret(), new_secret(), new_secret()
    headers = signed_headers("evt_1", BODY, (one, two), now())
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (one, two):
        assert Verifier(secret.reveal()).verify(BODY, headers)["id"] == "evt_1"
    for secret, body, changed in (
        (foreign, BODY, headers),
        (one, BODY + b" ", headers),
        (one, BODY, headers | {"webhook-id": "evt_2"}),
        (one, BODY, headers | {"webhook-timestamp": str(now() // 1000 + 1)}),
        (one, BODY, signed_headers("evt_1", BODY, (one,), now() - 6 * 60_000)),
    ):
        with pytest.raises(WebhookVerificationError):
            Verifier(secret.reveal()).verify(body, changed)


def test_secret_is_short_or_the_same_again() -> None:
    """A secret is whsec_ and 32 random bytes in base64."""
    secrets = {new_secret().reveal() for _ in range(20)}
    assert len(secrets) == 20
    assert {(each[:6], len(b64decode(each[6:], validate=True))) for each in secrets} == {("whsec_", 32)}


def test_old_secret_signs_for_ever() -> None:
    """The secret before signs along until its time is over, and the newest always first."""
    old, new = new_secret(), new_secret()
    sealed = [VAULT.seal(each, secret_purpose("whk_1")) for each in (new, old)]
    rotated = webhook(sealed_secret=sealed[0], previous_sealed_secret=sealed[1], previous_until=5000)
    assert valid_secrets(rotated, VAULT, 4999) == (new, old)
    assert valid_secrets(rotated, VAULT, 5000) == (new,)


def test_secret_of_one_endpoint_opens_for_another() -> None:
    """A sealed secret is of use for its own endpoint only."""
    sealed = VAULT.seal(new_secret(), secret_purpose("whk_1"))
    with pytest.raises(NotUnsealable):
        valid_secrets(webhook("whk_2", sealed_secret=sealed), VAULT, 0)


def test_schedule_ends() -> None:
    """Tries are made after 5 s, 5 min, 30 min and so on up to a day, and then every day, each a little later."""
    assert [pause_after(failures, 0.0) for failures in range(1, 10)] == list(PAUSES)
    assert (PAUSES[0], PAUSES[1], PAUSES[-1]) == (5.0, 300.0, 86400.0)
    assert pause_after(1000, 0.0) == 86400.0
    assert pause_after(1, 1.0) == 5.0 * (1 + JITTER)
