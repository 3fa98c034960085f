import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from escrowd.sdk import escrow_calls, event_calls, node_calls, sandbox_calls, webhook_calls
from escrowd.sdk.calls import Call
from escrowd.sdk.errors import Circumstances, Invalid, NotAllowed
from escrowd.wire.escrows import CreatedEscrow, NewDeadlines, NewEscrow, NewFee
from escrowd.wire.problems import Problem
from escrowd.wire.webhooks import WebhookWithSecret
from tests.unit.sdk.samples import ESCROW, TOKEN, created, problem

E, W = f"/v1/escrows/{ESCROW}", "/v1/webhooks/whk_1"
NOTHING: dict[str, Any] = {}

#: A call, and the method, path, query and body that it must have.
CALLS: list[tuple[Call[Any], str, str, dict[str, str], object]] = [
    (escrow_calls.get(ESCROW), "GET", E, {}, None),
    (escrow_calls.get(ESCROW, wait=5, after_version=0), "GET", E, {"wait": "5", "after_version": "0"}, None),
    (escrow_calls.deliver(ESCROW), "POST", f"{E}/deliver", {}, NOTHING),
    (escrow_calls.release(ESCROW), "POST", f"{E}/release", {}, NOTHING),
    (escrow_calls.refund(ESCROW), "POST", f"{E}/refund", {}, NOTHING),
    (escrow_calls.cancel(ESCROW), "POST", f"{E}/cancel", {}, NOTHING),
    (escrow_calls.resume(ESCROW), "POST", f"{E}/resume", {}, NOTHING),
    (escrow_calls.dispute(ESCROW, reason="empty box"), "POST", f"{E}/dispute", {}, {"reason": "empty box"}),
    (escrow_calls.rule(ESCROW, vendor_share=0), "POST", f"{E}/rule", {}, {"vendor_share": "0"}),
    (escrow_calls.split(ESCROW, vendor_share=7), "POST", f"{E}/split", {}, {"vendor_share": "7"}),
    (escrow_calls.settle(ESCROW, reason="lost"), "POST", f"{E}/settle", {}, {"reason": "lost"}),
    (escrow_calls.propose_split(ESCROW, vendor_share=7), "POST", f"{E}/propose-split", {}, {"vendor_share": "7"}),
    (escrow_calls.accept_split(ESCROW, vendor_share=7), "POST", f"{E}/accept-split", {}, {"vendor_share": "7"}),
    (escrow_calls.preview(ESCROW, action="release"), "POST", f"{E}/preview", {}, {"action": "release"}),
    (
        escrow_calls.preview(ESCROW, action="rule", vendor_share=2**64 - 1),
        "POST",
        f"{E}/preview",
        {},
        {"action": "rule", "vendor_share": "18446744073709551615"},
    ),
    (escrow_calls.links(ESCROW), "GET", f"{E}/links", {}, None),
    (escrow_calls.rotate_link(ESCROW, role="buyer"), "POST", f"{E}/links/buyer/rotate", {}, NOTHING),
    (event_calls.log_page(ESCROW, after=0, limit=10), "GET", f"{E}/log", {"after": "0", "limit": "10"}, None),
    (event_calls.event_page(after="", wait=3), "GET", "/v1/events", {"wait": "3"}, None),
    (webhook_calls.all_webhooks(), "GET", "/v1/webhooks", {}, None),
    (webhook_calls.get_webhook("whk_1"), "GET", W, {}, None),
    (webhook_calls.update_webhook("whk_1", enabled=False), "PATCH", W, {}, {"enabled": False}),
    (webhook_calls.update_webhook("whk_1", types=()), "PATCH", W, {}, {"types": []}),
    (webhook_calls.delete_webhook("whk_1"), "DELETE", W, {}, None),
    (webhook_calls.rotate_secret("whk_1"), "POST", f"{W}/rotate-secret", {}, {"overlap_seconds": 86400}),
    (webhook_calls.redeliver("whk_1", "dlv_1"), "POST", f"{W}/deliveries/dlv_1/redeliver", {}, NOTHING),
    (webhook_calls.delivery_page("whk_1", limit=5), "GET", f"{W}/deliveries", {"limit": "5"}, None),
    (node_calls.all_sessions(), "GET", "/v1/sessions", {}, None),
    (node_calls.session_stats(), "GET", "/v1/sessions/stats", {}, None),
    (node_calls.close_session(ESCROW), "DELETE", f"/v1/sessions/{ESCROW}", {}, None),
    (node_calls.health(), "GET", "/healthz", {}, None),
    (node_calls.readiness(), "GET", "/readyz", {}, None),
    (sandbox_calls.mine(10), "POST", "/sandbox/mine", {}, {"blocks": 10}),
    (sandbox_calls.fund("4A", 10**12), "POST", "/sandbox/fund", {}, {"address": "4A", "amount": str(10**12)}),
    (sandbox_calls.advance_clock(60), "POST", "/sandbox/clock", {}, {"advance_seconds": 60}),
    (
        webhook_calls.create_webhook(url="https://shop.example", types="escrow.held"),
        "POST",
        "/v1/webhooks",
        {},
        {"url": "https://shop.example", "types": ["escrow.held"], "description": ""},
    ),
]


@pytest.mark.parametrize("row", CALLS, ids=lambda row: f"{row[1]} {row[2]}")
def test_call_is_sent_wrongly(row: tuple[Call[Any], str, str, dict[str, str], object]) -> None:
    """Each call has its method, path, query and body, and every POST has a key."""
    call, method, path, query, body = row
    request = call.request
    sent = None if request.content is None else json.loads(request.content)
    assert (request.method, request.path, dict(request.query), sent) == (method, path, query, body)
    assert (request.idempotency_key is not None) == (method == "POST")


def test_terms_are_lost_on_the_way() -> None:
    """Every term of a new escrow arrives as the API reads it, and what was left out does not."""
    call = escrow_calls.create_escrow(
        amount=2**64 - 1,
        refund_address="4B",
        payout_address="4C",
        reference="order-1",
        metadata={"colour": "grün"},
        fee=NewFee(basis_points=150, address="4F"),
        confirmations=20,
        deadlines=NewDeadlines(inspection=3600),
        underpayment_tolerance=0,
        overpayment="keep",
        custody={"vendor": "own"},
    )
    read = NewEscrow.model_validate_json(call.request.content or b"")
    assert (read.amount, read.fee, read.metadata) == (
        2**64 - 1,
        NewFee(basis_points=150, address="4F"),
        {"colour": "grün"},
    )
    assert (read.buyer.custody, read.vendor.custody, read.arbiter.custody) == ("hosted", "own", "hosted")
    assert (read.deadlines.inspection, read.confirmations, read.overpayment) == (3600, 20, "keep")
    assert read.underpayment is not None
    assert read.underpayment.tolerance == 0
    plain = escrow_calls.create_escrow(amount=1, refund_address="4B", payout_address="4C")
    left_out = {"fee", "confirmations", "underpayment", "overpayment"}
    assert left_out.isdisjoint(json.loads(plain.request.content or b""))


@pytest.mark.parametrize("amount", [1.0, 1e12, True, -1, 2**64, "1e3", None])
def test_amount_that_is_no_whole_number_is_sent(amount: Any) -> None:
    """An amount is a whole number of piconero; anything else is refused before it is sent, with the place named."""
    with pytest.raises(Invalid) as caught:
        escrow_calls.create_escrow(amount=amount, refund_address="4B", payout_address="4C")
    assert [each.field for each in caught.value.errors] == ["body.amount"]


@pytest.mark.parametrize("identifier", ["", "..", "a/b", "esc_1?x=1", "esc_1#", "esc 1", "esc_1\n", "é", "x" * 81])
@pytest.mark.parametrize("call", [escrow_calls.get, escrow_calls.release, webhook_calls.delete_webhook])
def test_id_leads_to_another_path(call: Callable[[str], Call[Any]], identifier: str) -> None:
    """What is no id is refused before it becomes a part of a path."""
    with pytest.raises(Invalid, match="no id"):
        call(identifier)


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: 1", "ü", "x" * 256])
def test_key_that_is_no_header_is_sent(key: str) -> None:
    """A key of the caller's own is made of visible ASCII characters."""
    with pytest.raises(Invalid, match="idempotency key"):
        escrow_calls.release(ESCROW, idempotency_key=key)


def test_error_does_not_survive_a_queue() -> None:
    """An error keeps what it knows when it goes to another process."""
    known = Problem.model_validate(problem(409, "not_allowed", allowed_actions=["refund"]))
    error = NotAllowed("409", Circumstances(status=409, code="not_allowed", problem=known, idempotency_key="k"))
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made in the line above
    assert (type(again), str(again), again.circumstances) == (NotAllowed, "409", error.circumstances)
    assert again.allowed_actions == ("refund",)


def test_printed_answer_shows_its_secrets() -> None:
    """Links of parties and secrets of webhooks do not show when an answer is printed."""
    new = CreatedEscrow.model_validate(created())
    endpoint = {"id": "whk_1", "url": "u", "types": [], "description": "", "status": "enabled"}
    hook = WebhookWithSecret.model_validate({**endpoint, "created_at": "2026-01-02T03:04:05Z", "secret": TOKEN})
    assert new.links[0].token.startswith(TOKEN)
    assert [text for text in (repr(new), str(new), repr(hook), str(hook)) if TOKEN in text or "/p/" in text] == []
