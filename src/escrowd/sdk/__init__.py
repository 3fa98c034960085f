"""A typed client of the API: :class:`EscrowClient`, and :class:`AsyncEscrowClient` with the same methods to await.

It needs nothing of the server but the types of ``escrowd.wire``. Amounts are whole piconero, as ``int``.
"""

from escrowd.sdk.async_client import AsyncEscrowClient
from escrowd.sdk.client import EscrowClient
from escrowd.sdk.errors import (
    ENDED,
    Conflict,
    ConnectionFailed,
    EndedOtherwise,
    EscrowClientError,
    Forbidden,
    Invalid,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Refused,
    ServerError,
    StillWaiting,
    TooManyRequests,
    Unauthorised,
    UnreadableAnswer,
)
from escrowd.sdk.history import verify_chain
from escrowd.sdk.retries import Retries
from escrowd.sdk.webhook_check import (
    MissingHeaders,
    Stale,
    UnreadableEvent,
    WebhookRefused,
    WrongSignature,
    verify_webhook,
)

__all__ = [
    "ENDED",
    "AsyncEscrowClient",
    "Conflict",
    "ConnectionFailed",
    "EndedOtherwise",
    "EscrowClient",
    "EscrowClientError",
    "Forbidden",
    "Invalid",
    "MissingHeaders",
    "NotAllowed",
    "NotFound",
    "OutcomeUnknown",
    "Refused",
    "Retries",
    "ServerError",
    "Stale",
    "StillWaiting",
    "TooManyRequests",
    "Unauthorised",
    "UnreadableAnswer",
    "UnreadableEvent",
    "WebhookRefused",
    "WrongSignature",
    "verify_chain",
    "verify_webhook",
]
