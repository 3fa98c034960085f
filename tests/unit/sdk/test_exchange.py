import pytest

from escrowd.sdk.calls import Call
from escrowd.sdk.errors import (
    Conflict,
    ConnectionFailed,
    EscrowClientError,
    Forbidden,
    Invalid,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Refused,
    ServerError,
    TooManyRequests,
    Unauthorised,
    UnreadableAnswer,
)
from escrowd.sdk.escrow_calls import get, release
from escrowd.sdk.exchange import exchange
from escrowd.sdk.retries import Retries
from escrowd.sdk.steps import Outcome, Send
from escrowd.sdk.webhook_calls import delete_webhook, update_webhook
from escrowd.wire.escrows import Escrow
from tests.unit.sdk.driving import drive
from tests.unit.sdk.samples import ESCROW, answered, escrow, lost, not_sent, problem

FOUR = Retries(tries=4, seconds=1000, try_seconds=10)
READ = get(ESCROW)
CHANGE = release(ESCROW, idempotency_key="k1")

#: Status, number of tries, and what is raised for a call that reads and for one that changes.
MATRIX = [
    (400, 1, Invalid, Invalid),
    (401, 1, Unauthorised, Unauthorised),
    (403, 1, Forbidden, Forbidden),
    (404, 1, NotFound, NotFound),
    (405, 1, Refused, Refused),
    (408, 1, Refused, Refused),
    (409, 1, Conflict, Conflict),
    (413, 1, Invalid, Invalid),
    (415, 1, Invalid, Invalid),
    (422, 1, Invalid, Invalid),
    (429, 4, TooManyRequests, TooManyRequests),
    (301, 1, UnreadableAnswer, UnreadableAnswer),
    (307, 1, UnreadableAnswer, UnreadableAnswer),
    (500, 1, ServerError, OutcomeUnknown),
    (501, 1, ServerError, OutcomeUnknown),
    (502, 4, ServerError, OutcomeUnknown),
    (503, 4, ServerError, OutcomeUnknown),
    (504, 4, ServerError, OutcomeUnknown),
]


@pytest.mark.parametrize("call", [READ, CHANGE], ids=["read", "change"])
@pytest.mark.parametrize("row", MATRIX, ids=lambda row: str(row[0]))
def test_status_is_tried_too_often_or_not_enough(
    row: tuple[int, int, type[EscrowClientError], type[EscrowClientError]], call: Call[Escrow]
) -> None:
    """Each status has its number of tries, its error, and one request for all tries."""
    status, tries, when_reading, when_changing = row
    run = drive(exchange(call, FOUR), *[answered(status=status)] * 9)
    assert type(run.error) is (when_changing if call.request.changes else when_reading)
    assert run.requests == [call.request] * tries
    assert run.error is not None
    assert (run.error.status, run.error.idempotency_key) == (status, call.request.idempotency_key)


@pytest.mark.parametrize(
    ("outcome", "call", "kind", "retry"),
    [
        (not_sent(), READ, ConnectionFailed, "safe"),
        (not_sent(), CHANGE, ConnectionFailed, "safe"),
        (lost(), READ, ConnectionFailed, "safe"),
        (lost(), CHANGE, OutcomeUnknown, "unknown"),
    ],
)
def test_lost_connection_is_taken_for_something_else(
    outcome: Outcome, call: Call[Escrow], kind: type[EscrowClientError], retry: str
) -> None:
    """A call without an answer is tried to the end; its outcome is unknown only if it changes and may have arrived."""
    run = drive(exchange(call, FOUR), *[outcome] * 9)
    assert type(run.error) is kind
    assert run.error is not None
    assert (run.error.retry, len(run.requests), len(run.pauses)) == (retry, 4, 3)
    assert run.error.idempotency_key == call.request.idempotency_key


def test_answer_after_failures_is_not_taken() -> None:
    """The first good answer is the result, whatever the tries before it met."""
    run = drive(exchange(CHANGE, FOUR), lost(), answered(status=503), answered(escrow("paying")))
    assert run.result is not None
    assert (run.result.status, [each.idempotency_key for each in run.requests]) == ("paying", ["k1"] * 3)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (answered(problem(429, "slow_down", "safe"), 429), OutcomeUnknown),
        (answered(problem(503, "busy", "safe"), 503), OutcomeUnknown),
        (not_sent(), OutcomeUnknown),
        (answered(problem(401, "key_revoked"), 401), OutcomeUnknown),
        (answered(problem(403, "no_scope"), 403), OutcomeUnknown),
        (answered(problem(409, "not_allowed", allowed_actions=[]), 409), NotAllowed),
        (answered(problem(422, "other_body"), 422), Invalid),
        (answered(problem(404, "no_such_escrow"), 404), NotFound),
    ],
)
def test_later_try_hides_that_an_earlier_one_may_have_worked(last: Outcome, kind: type[EscrowClientError]) -> None:
    """Once a try may have arrived, only an answer that looked at the key settles the outcome."""
    run = drive(exchange(CHANGE, FOUR), lost(), *[last] * 3)
    assert type(run.error) is kind


def test_server_that_says_nothing_happened_is_not_believed() -> None:
    """A busy server that says that nothing happened leaves no outcome unknown."""
    run = drive(exchange(CHANGE, FOUR), *[answered(problem(503, "busy", "safe"), 503)] * 4)
    assert type(run.error) is ServerError
    assert run.error is not None
    assert (run.error.retry, run.error.code) == ("safe", "busy")


def test_unknown_outcome_does_not_say_how_to_go_on() -> None:
    """An unknown outcome carries the key to go on with, and what the last try met."""
    error = drive(exchange(CHANGE, FOUR), *[lost()] * 4).error
    assert isinstance(error, OutcomeUnknown)
    assert (error.code, error.idempotency_key, type(error.__cause__)) == ("outcome_unknown", "k1", ConnectionFailed)
    assert "idempotency_key='k1'" in str(error)


@pytest.mark.parametrize(
    ("body", "headers", "tries"),
    [
        (problem(409, "in_progress", "safe"), {"retry-after": "1"}, 4),
        (problem(409, "in_progress", "safe"), {}, 1),
        (problem(409, "not_allowed", "pointless"), {"retry-after": "1"}, 1),
    ],
)
def test_conflict_is_tried_without_an_invitation(body: object, headers: dict[str, str], tries: int) -> None:
    """A conflict is tried again only where the server says that it is safe, and when to come back."""
    run = drive(exchange(CHANGE, FOUR), *[answered(body, 409, headers=headers)] * 4)
    assert (type(run.error), len(run.requests)) == (Conflict, tries)


def test_removal_that_worked_is_told_as_missing() -> None:
    """Something that is not there after a removal whose answer was lost was removed; otherwise it was never there."""
    gone = answered(problem(404, "no_such_webhook"), 404)
    assert drive(exchange(delete_webhook("whk_1"), FOUR), lost(), gone).error is None
    assert type(drive(exchange(delete_webhook("whk_1"), FOUR), not_sent(), gone).error) is NotFound


def test_change_without_a_key_does_not_say_to_look() -> None:
    """A change that has no key and an unknown outcome tells to look before it is made again."""
    error = drive(exchange(update_webhook("whk_1", enabled=True), FOUR), *[lost()] * 4).error
    assert isinstance(error, OutcomeUnknown)
    assert "look before making it again" in str(error)


def test_patience_has_no_end_in_time() -> None:
    """No pause begins and no try lasts beyond the time for the whole call, but a try has a second."""
    patience = Retries(tries=100, seconds=30, try_seconds=10, first_pause=2, longest_pause=2)
    run = drive(exchange(READ, patience), *[lost(10)] * 100)
    allowed = [step.seconds for step in run.steps if isinstance(step, Send)]
    assert allowed == [10, 10, 8]
    assert type(run.error) is ConnectionFailed


def test_held_answer_is_given_up_early() -> None:
    """A try lasts as much longer as the server was asked to hold its answer back."""
    run = drive(exchange(get(ESCROW, wait=25, after_version=3), FOUR), answered(escrow(), seconds=25))
    assert [step.seconds for step in run.steps if isinstance(step, Send)] == [35]


def test_server_that_asks_for_patience_is_not_heeded() -> None:
    """What ``Retry-After`` says is waited for, and no longer than that and a usual pause."""
    busy = answered(status=429, headers={"retry-after": "7"})
    run = drive(exchange(CHANGE, FOUR), busy, answered(escrow()))
    assert [(pause.least, pause.most) for pause in run.pauses] == [(7.0, 7.5)]


def test_server_that_asks_for_too_much_patience_is_waited_for() -> None:
    """What goes beyond the time for the call is not waited for; the error tells it."""
    run = drive(exchange(CHANGE, FOUR), answered(status=429, headers={"retry-after": "3600"}))
    assert isinstance(run.error, TooManyRequests)
    assert (run.error.retry_after, run.pauses) == (3600.0, [])
