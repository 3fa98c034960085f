"""What went wrong is told to callers in one form, and what they need not know in none."""

import importlib
import pkgutil
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import select
from starlette.types import Message
from structlog.testing import capture_logs

import escrowd
from escrowd.api import problems
from escrowd.api.problems import KINDS, all_kinds, kind_of, problem_response
from escrowd.domain.access import Scope
from escrowd.domain.cause import caused_by, present_cause
from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.escrow.status import Status
from escrowd.monero.errors import Unreachable
from escrowd.store import schema, schema_access
from escrowd.store.access import AuditTable
from escrowd.store.errors import DatabaseUnavailable, StoreError
from escrowd.store.escrows import EscrowTable
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import NEW, made
from tests.unit.domain.escrow.world import PATHS

MEDIA_TYPE: Final = "application/problem+json"
#: What nobody should read who calls: where code and data are, how they are written, and what a daemon is called.
INNER: Final = ("Traceback", 'File "', "SELECT", "INSERT", "sqlite", "asyncpg", "/home/", "/src/", "18081", "secret")
#: Errors of these rooms never come out of a route: nothing there is called by one.
NOT_SERVED: Final = ("escrowd.testing.", "escrowd.demo.", "escrowd.bench.", "escrowd.cli.", "escrowd.settings.")
#: What is told of errors that have no kind of their own, on purpose: whose fault they are, and no more.
BY_FAULT: Final = {
    "escrowd.api.errors.InternalError",
    "escrowd.bootstrap.serving.AddressTaken",
    "escrowd.bootstrap.engine_gate.EngineRefused",
    "escrowd.domain.conflicts.AlreadyStored",
    "escrowd.domain.conflicts.Conflict",
    "escrowd.domain.conflicts.LeaseLost",
    "escrowd.domain.escrow.machine.AmbiguousTable",
    "escrowd.domain.keying.KeysDisagree",
    "escrowd.domain.keying.MessageConflict",
    "escrowd.domain.keying.MessageNotDue",
    "escrowd.domain.keying.StaleAttempt",
    "escrowd.monero.programs.ProgramMissing",
    "escrowd.service.admission.EngineNotSupported",
    "escrowd.service.payouts.rates.FeeRateUnknown",
}
#: The same for all errors of these modules: they are about work that no request waits for, or about Monero, database
#: and wallets, of which the log tells.
BY_FAULT_MODULES: Final = {
    "escrowd.bootstrap.tracing",
    "escrowd.chain.errors",
    "escrowd.chain.reading",
    "escrowd.chain.watched_keys",
    "escrowd.monero.errors",
    "escrowd.service.errors",
    "escrowd.service.keying.effect",
    "escrowd.service.keying.keyer",
    "escrowd.service.payouts.errors",
    "escrowd.store.backups.errors",
    "escrowd.store.errors",
    "escrowd.store.heads",
    "escrowd.wallets.errors",
    "escrowd.wallets.key_files",
}


def classes(root: type[EscrowdError] = EscrowdError) -> Iterator[type[EscrowdError]]:
    """Yield every error class of the service."""
    for each in root.__subclasses__():
        yield each
        yield from classes(each)


def _import_everything() -> None:
    for module in pkgutil.walk_packages(escrowd.__path__, "escrowd."):
        if not module.name.startswith(NOT_SERVED) and ".migrations" not in module.name:
            importlib.import_module(module.name)


def problem_of(response: httpx.Response) -> Any:
    """Return the problem of a response, which has to be one."""
    assert response.headers["Content-Type"] == MEDIA_TYPE
    body = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == f"urn:escrowd:problem:{body['code']}"
    assert body["instance"] == response.headers["X-Request-Id"]
    assert not [each for each in INNER if each in response.text]
    return body


def test_error_has_no_kind() -> None:
    """Every error of the service has a kind of its own, or is known to be told by whose fault it is."""
    _import_everything()
    served = {each for each in classes() if each.__module__.startswith("escrowd.")}
    served = {each for each in served if not f"{each.__module__}.".startswith(NOT_SERVED)}
    without = {each for each in served if not any(base in KINDS for base in each.__mro__)}
    unknown = {f"{each.__module__}.{each.__qualname__}" for each in without if each.__module__ not in BY_FAULT_MODULES}
    assert unknown <= BY_FAULT


def test_caller_is_blamed_for_a_call_of_ours() -> None:
    """Only errors that stand in the table are laid to the caller; an inner call that was wrong is a bug of escrowd."""
    _import_everything()
    blamed = [
        each for each in classes() if each.fault is Fault.CALLER and not any(base in KINDS for base in each.__mro__)
    ]
    assert blamed
    assert {kind_of(each.__new__(each)).status for each in blamed} == {500}


def test_code_means_two_things() -> None:
    """A code has one status and one title."""
    every = {(each.code, each.status, each.title) for each in (*problems._OTHERS.values(), *KINDS.values())}
    assert len({code for code, _, _ in every}) == len(every) == len(all_kinds())


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("the daemon at http://127.0.0.1:18081 did not answer"),
        StoreError("the database refused: SELECT * FROM secret"),
        EscrowdError("the file /home/escrowd/secret is gone"),
    ],
)
def test_problem_tells_what_is_behind(error: EscrowdError) -> None:
    """Of what goes wrong behind the API the document tells its kind, and where to look."""
    with caused_by("req_1"):
        response = problem_response(error)
    text = bytes(response.body).decode()
    assert response.status_code >= 500
    assert "under the id of this request" in text
    assert not [each for each in INNER if each in text]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "no_such_path"),
        ("GET", "/v1/escrows/", 404, "no_such_path"),
        ("GET", "/", 404, "no_such_path"),
        ("PUT", "/v1/escrows", 405, "method_not_allowed"),
        ("DELETE", "/v1/escrows/esc_01jd3v9k8z6x5w4t2r1q0p9n8m", 405, "method_not_allowed"),
        ("GET", "/v1/escrows/esc_01jd3v9k8z6x5w4t2r1q0p9n8m", 404, "no_such_escrow"),
        ("GET", "/v1/escrows/esc_1%27;DROP", 404, "no_such_escrow"),
        ("GET", "/v1/escrows?limit=0", 422, "invalid_request"),
        ("GET", "/v1/escrows?limti=5", 422, "invalid_request"),
        ("GET", "/v1/events?afer=5", 422, "invalid_request"),
        ("GET", "/v1/escrows?cursor=%00", 422, "invalid_request"),
        ("GET", "/v1/escrows?created_after=1700000000", 422, "invalid_request"),
        ("GET", "/v1/events?type=escrow.sold", 422, "invalid_request"),
    ],
)
async def test_refusal_is_no_problem_document(
    sqlite_client: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    """Whatever is refused, a path that is none included, is refused with a problem document."""
    answer = await sqlite_client.request(method, path)
    assert (answer.status_code, problem_of(answer)["code"]) == (status, code)
    assert ("Allow" in answer.headers) is (status == 405)


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code", "field"),
    [
        (b"{", "application/json", 400, "malformed_json", None),
        (b"\xff\xfe", "application/json", 400, "malformed_json", None),
        (b"amount=1", "application/x-www-form-urlencoded", 415, "wrong_media_type", None),
        (b"[]", "application/json", 422, "invalid_request", "body"),
        (b'{"amount": 1.5}', "application/json", 422, "invalid_request", "body.amount"),
        (b'{"amount": 1000000000000}', "application/json", 422, "invalid_request", "body.amount"),
        (b'{"amount": "1e12"}', "application/json", 422, "invalid_request", "body.amount"),
        (b'{"amuont": "1"}', "application/json", 422, "invalid_request", "body.amuont"),
        (b'{"buyer": {"custody": "shared"}}', "application/json", 422, "invalid_request", "body.buyer.custody"),
    ],
)
async def test_body_is_refused_in_silence(
    sqlite_client: httpx.AsyncClient, content: bytes, media_type: str, status: int, code: str, field: str | None
) -> None:
    """A body that cannot be read is refused with the fields that are wrong, by name."""
    answer = await sqlite_client.post("/v1/escrows", content=content, headers={"Content-Type": media_type})
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"]) == (status, code)
    assert field is None or field in [each["field"] for each in problem["errors"]]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": "1"}, "invalid_terms"),
        ({"buyer": {"refund_address": "4abc"}}, "invalid_address"),
        ({"vendor": {"payout_address": NEW["vendor"]["payout_address"], "custody": "own"}}, "custody_not_offered"),
        ({"underpayment": {"tolerance": NEW["amount"]}}, "invalid_terms"),
    ],
)
async def test_terms_are_refused_without_a_reason(
    sqlite_client: httpx.AsyncClient, change: dict[str, Any], code: str
) -> None:
    """Terms that cannot be kept are refused with a code of their own."""
    answer = await sqlite_client.post("/v1/escrows", json=NEW | change)
    assert (answer.status_code, problem_of(answer)["code"]) == (422, code)


async def test_move_is_refused_without_a_way_out(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """A move that the status does not allow says so, and what is allowed instead."""
    escrow = await made(sqlite_house, PATHS[Status.HELD])
    answer = await sqlite_client.post(f"/v1/escrows/{escrow.id}/release")
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"], problem["allowed_actions"]) == (409, "not_allowed_now", ["resume"])


async def test_bug_is_told_to_callers(
    sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody expected is a problem with the id of the request, under which the log has the rest."""

    async def breaks(*_arguments: Any) -> None:
        raise ZeroDivisionError("secret inner words")

    monkeypatch.setattr(AuditTable, "note", breaks)
    with capture_logs() as logs:
        answer = await sqlite_client.post("/v1/escrows", json=NEW, headers={"X-Request-Id": "shop-77"})
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"], problem["instance"]) == (500, "internal_error", "shop-77")
    (broke,) = [each for each in logs if each["event"] == "request.broke"]
    assert isinstance(broke["exc_info"], ZeroDivisionError)


async def test_outage_is_told_in_the_words_of_the_database(
    sqlite_client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away is a 503 with the time to come back, and nothing of its words, which the log has."""
    words = "the database did not answer: OperationalError: sqlite /home/escrowd/x is locked"

    async def is_away(*_arguments: Any) -> None:
        raise DatabaseUnavailable(words)

    monkeypatch.setattr(EscrowTable, "add", is_away)
    with capture_logs() as logs:
        answer = await sqlite_client.post("/v1/escrows", json=NEW)
    assert (answer.status_code, problem_of(answer)["code"]) == (503, "not_available")
    assert int(answer.headers["Retry-After"]) > 0
    assert [each["error"] for each in logs if each["event"] == "request.failed"] == [f"DatabaseUnavailable: {words}"]


@pytest.mark.parametrize("given", ["shop-77", "a.b_c-D9", "x" * 64])
async def test_id_of_a_request_is_lost(sqlite_client: httpx.AsyncClient, given: str) -> None:
    """An id that the caller gives its request comes back, whatever is answered."""
    for path in ("/v1/escrows", "/v1/nothing", "/healthz"):
        assert (await sqlite_client.get(path, headers={"X-Request-Id": given})).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", 'quote"', "<script>"])
async def test_id_of_a_request_is_not_looked_at(sqlite_client: httpx.AsyncClient, given: str) -> None:
    """An id that has not the form of one is replaced by one of ours."""
    answer = await sqlite_client.get("/v1/escrows", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"].startswith("req_")


async def test_id_of_a_request_ends_half_way(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """One id goes through all that a request does: its log line, the history, the effects and the audit."""
    escrow = await made(house, PATHS[Status.FUNDED])
    with capture_logs(processors=[_with_cause]) as logs:
        answer = await client.post(f"/v1/escrows/{escrow.id}/links/buyer/rotate", headers={"X-Request-Id": "rotate-1"})
        assert answer.status_code == 200
        created = await client.post("/v1/escrows", json=NEW, headers={"X-Request-Id": "create-1"})
    made_ = created.json()["id"]
    assert [(each["cause"], each["status"]) for each in logs if each["event"] == "request"] == [
        ("rotate-1", 200),
        ("create-1", 201),
    ]
    async with house.database.reading() as session:
        for table, column in ((schema.log, "escrow"), (schema.effects, "escrow"), (schema_access.audit, "subject")):
            query = select(table.c.cause).where(table.c[column] == made_)
            causes = set((await session.connection.execute(query)).scalars())
            assert causes == {"create-1"}, table.name


async def test_answer_says_nothing_of_itself(sqlite_client: httpx.AsyncClient) -> None:
    """No answer may be kept by anybody in between, be taken for another type, or shown in a frame."""
    for path in ("/v1/escrows", "/v1/nothing", "/openapi.json"):
        headers = (await sqlite_client.get(path)).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"


# ---------------------------------------------------------------------------------------------------------------------


def _with_cause(_logger: Any, _method: str, event: Any) -> Any:
    return event | {"cause": present_cause()}


async def test_database_is_asked_for_what_it_cannot_hold(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """What no cursor, id or reference can be is the caller's mistake, and never the operator's."""
    escrow = await made(house)
    webhook = (await client.post("/v1/webhooks", json={"url": "https://receiver.example/"})).json()["id"]
    cursor = urlsafe_b64encode(f"{10**19 - 1}:{escrow.id}".encode()).decode()
    asked = {
        f"GET /v1/escrows?cursor={cursor}": (422, "invalid_request"),
        "GET /v1/escrows?reference=%00": (422, "invalid_request"),
        "GET /v1/webhooks/%00": (404, "no_such_webhook"),
        "PATCH /v1/webhooks/%00": (404, "no_such_webhook"),
        "DELETE /v1/webhooks/%00": (404, "no_such_webhook"),
        "GET /v1/webhooks/%00/deliveries": (404, "no_such_webhook"),
        "POST /v1/webhooks/%00/rotate-secret": (404, "no_such_webhook"),
        f"POST /v1/webhooks/{webhook}/deliveries/%00/redeliver": (404, "no_such_delivery"),
    }
    answers = {each: await client.request(*each.split()) for each in asked}
    assert {each: (answer.status_code, problem_of(answer)["code"]) for each, answer in answers.items()} == asked


async def test_caller_who_leaves_counts_as_a_fault(sqlite_house: ApiHouse) -> None:
    """Who goes away in the middle of a body sets off no alarm: nothing is broken and nobody is answered."""
    key = await sqlite_house.key(tuple(Scope))
    come: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return come.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/escrows",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {key.reveal()}".encode())],
    }
    with capture_logs() as logs:
        await sqlite_house.app(scope, receive, send)
    assert sent == []
    assert {each["log_level"] for each in logs} == {"info"}
    assert [each["status"] for each in logs if each["event"] == "request"] == [0]
