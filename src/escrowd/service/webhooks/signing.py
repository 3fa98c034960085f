"""Secrets of endpoints, and the headers of a delivery, as Standard Webhooks says (https://www.standardwebhooks.com)."""

import secrets
from base64 import b64encode
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook as Signer

from escrowd import __version__
from escrowd.domain.secret import Secret
from escrowd.domain.webhooks import Webhook
from escrowd.service.payouts.journal import Sealer

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what tells such a secret from others
SECRET_BYTES: Final = 32
USER_AGENT: Final = f"escrowd/{__version__}"


def new_secret() -> Secret:
    """Make the secret of an endpoint: 256 random bits."""
    return Secret(SECRET_PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii"))


def secret_purpose(webhook: str) -> str:
    """Name what the secret of an endpoint is sealed for."""
    return f"webhook {webhook}"


def valid_secrets(webhook: Webhook, sealer: Sealer, now: int) -> tuple[Secret, ...]:
    """Return the secrets that sign at a time (milliseconds since 1970), the newest first."""
    sealed = [webhook.sealed_secret]
    if webhook.previous_sealed_secret is not None and (webhook.previous_until or 0) > now:
        sealed.append(webhook.previous_sealed_secret)
    return tuple(sealer.unseal(each, secret_purpose(webhook.id)) for each in sealed)


def signed_headers(event: str, body: bytes, signing: tuple[Secret, ...], now: int) -> dict[str, str]:
    """Return the headers of a delivery at a time (milliseconds since 1970), with one signature for each secret."""
    moment = datetime.fromtimestamp(now // 1000, UTC)
    text = body.decode()
    return {
        "webhook-id": event,
        "webhook-timestamp": str(now // 1000),
        "webhook-signature": " ".join(Signer(each.reveal()).sign(event, moment, text) for each in signing),
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }
