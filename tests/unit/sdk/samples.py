"""What the API answers, as the tests need it."""

import json
from collections.abc import Mapping
from typing import Any

from escrowd.sdk.steps import Failure, Outcome

ESCROW = "esc_0000000000000000000000000a"
KEY = "key-of-the-marketplace-CANARY"
#: How the tokens of parties begin.
TOKEN = "token-CANARY"
URL = "http://escrow.example"


def escrow(status: str = "funded", version: int = 3, **more: object) -> dict[str, Any]:
    """Return an escrow as JSON has it."""
    return {
        "id": ESCROW,
        "status": status,
        "version": version,
        "amount": "1000000000000",
        "network": "regtest",
        "deposit": {
            "address": "4A",
            "uri": "monero:4A",
            "expected": "1000000000000",
            "seen": "18446744073709551615",
            "confirmed": "0",
            "spendable": "0",
            "missing": "0",
            "required_confirmations": 10,
            "payments": [],
        },
        "parties": {
            "buyer": {"custody": "hosted", "refund_address": "4B"},
            "vendor": {"custody": "hosted", "payout_address": "4C"},
            "arbiter": {"custody": "hosted"},
        },
        "custody": {"operator_can_spend": True, "statement": "Whoever runs this service can move the money."},
        "deadlines": {},
        "allowed_actions": ["release"],
        "reference": "order-1234",
        "description": "",
        "metadata": {},
        "created_at": "2026-01-02T03:04:05.678Z",
        **more,
    }


def created() -> dict[str, Any]:
    """Return a new escrow with the links of its parties."""
    links = [{"role": role, "token": f"{TOKEN}-{role}", "url": f"{URL}/p/{role}"} for role in ("buyer", "vendor")]
    return escrow("awaiting_funding", 1, links=links)


def event(number: int = 1, type_: str = "escrow.funded") -> dict[str, Any]:
    """Return the event with this cursor."""
    return {
        "id": f"evt_{number}",
        "type": type_,
        "timestamp": "2026-01-02T03:04:05.678Z",
        "escrow": ESCROW,
        "cursor": str(number),
        "sequence": number,
        "version": number,
        "who": "chain",
        "data": {"status": "funded"},
        "previous_hash": "0" * 64,
        "hash": "f" * 64,
    }


def problem(status: int, code: str, retry: str = "pointless", **more: object) -> dict[str, Any]:
    """Return a problem document."""
    return {"title": code, "status": status, "code": code, "detail": f"because of {code}", "retry": retry, **more}


def answered(
    body: object = None, status: int = 200, *, seconds: float = 1.0, headers: Mapping[str, str] | None = None
) -> Outcome:
    """Return the outcome of a request that was answered with JSON."""
    return Outcome(seconds, status, headers or {}, b"" if body is None else json.dumps(body).encode())


def lost(seconds: float = 1.0) -> Outcome:
    """Return the outcome of a request that may have arrived, and was not answered."""
    return Outcome(seconds, failure=Failure("ReadTimeout: timed out", may_have_arrived=True))


def not_sent(seconds: float = 1.0) -> Outcome:
    """Return the outcome of a request that did not get out."""
    return Outcome(seconds, failure=Failure("ConnectError: refused", may_have_arrived=False))
