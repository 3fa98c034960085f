"""Thousands of generated requests against the live document, over HTTP: what comes back is what the document says."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from uuid import UUID

import pytest
import pytest_asyncio
import requests
import schemathesis
import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from escrowd.bootstrap.serving import served
from escrowd.domain.access import Scope
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.matrix import SITUATIONS
from tests.contract.api.visits import BUYER, VENDOR, made
from tests.unit.domain.escrow.world import AMOUNT

#: A case as Schemathesis draws it, of which its types say nothing.
Case: TypeAlias = Any
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
#: Cases of each operation; those without parameters have fewer.
WELL_FORMED, WRONG, REPEATED = 150, 120, 20
#: All runs together send at least so many.
LEAST_CASES: Final = 5000
#: What each run sends at least. Operations with an Idempotency-Key are called twice with it.
LEAST: Final = {"well formed": 2600, "wrong": 2000, "repeated": 440}


@dataclass(slots=True)
class Shooting:
    """What is shot at: a served application with escrows in every situation."""

    schema: Any
    base_url: str
    session: requests.Session
    escrows: Sequence[str]
    shots: Counter[str] = field(default_factory=Counter)

    def shoot(self, case: Case, **headers: str) -> Any:
        """Send a case, and hold the answer against the document."""
        response = case.call(base_url=self.base_url, session=self.session, headers=headers or None)
        self.shots[case.operation.definition.raw["operationId"]] += 1
        case.validate_response(response, checks=CHECKS)
        return response


@pytest_asyncio.fixture
async def shooting(sqlite_house: ApiHouse) -> AsyncIterator[Shooting]:
    """Serve the API over HTTP, with escrows in every situation and a key that opens everything."""
    # Thousands of lines would tell nothing.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    key = await sqlite_house.key(tuple(Scope))
    escrows = [(await made(sqlite_house, moves)).id for moves in SITUATIONS.values() for _ in range(2)]
    # Nobody waits, and each stream ends at once.
    sqlite_house.parts.changes.end()
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {key.reveal()}"
        async with served(sqlite_house.app, "127.0.0.1", 0) as port:
            url = f"http://127.0.0.1:{port}"
            schema = await asyncio.to_thread(schemathesis.openapi.from_url, f"{url}/openapi.json")
            # Who calls is known: without a key, all cases were alike.
            schema.config.generation.with_security_parameters = False
            yield Shooting(schema, url, session, escrows)


def run_well_formed(shooting: Shooting) -> None:
    """Send what the document allows, to escrows that there are and to others."""

    def shoot(case: Case, data: st.DataObject) -> None:
        _make_real(case, data, shooting.escrows)
        shooting.shoot(case)

    for number, operation in enumerate(_operations(shooting)):
        cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        _draw(WELL_FORMED, number, shoot, cases, st.data())


def run_wrong(shooting: Shooting) -> None:
    """Send what the document does not allow."""

    def shoot(case: Case) -> None:
        shooting.shoot(case)

    for number, operation in enumerate(_operations(shooting)):
        if list(operation.iter_parameters()) or operation.body:
            _draw(WRONG, number, shoot, operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))


def run_repeated(shooting: Shooting) -> None:
    """Send what may be sent twice twice, with one Idempotency-Key."""

    def shoot(case: Case, data: st.DataObject, key: UUID) -> None:
        _make_real(case, data, shooting.escrows)
        first, second = [shooting.shoot(case, **{"Idempotency-Key": str(key)}) for _ in range(2)]
        assert first.status_code == second.status_code
        if first.status_code in (200, 201):
            assert first.content == second.content
            assert second.headers["idempotent-replayed"] == ["true"]

    for number, operation in enumerate(_operations(shooting)):
        if any(each.name == "Idempotency-Key" for each in operation.iter_parameters()):
            cases = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
            _draw(REPEATED, number, shoot, cases, st.data(), st.uuids())


RUNS: Final = {"well formed": run_well_formed, "wrong": run_wrong, "repeated": run_repeated}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("run", RUNS)
async def test_answer_is_not_what_the_document_says(shooting: Shooting, run: str) -> None:
    """No generated request gets a server error, or anything but what the document declares for it."""
    await asyncio.to_thread(RUNS[run], shooting)
    assert shooting.shots.total() >= LEAST[run], shooting.shots


def test_cases_are_too_few() -> None:
    """All runs together send at least five thousand requests."""
    assert sum(LEAST.values()) >= LEAST_CASES


# ---------------------------------------------------------------------------------------------------------------------


def _draw(most: int, number: int, shoot: Callable[..., None], *strategies: Any) -> None:
    """Shoot so many times with what is drawn, which is the same each time."""
    quiet = settings(
        max_examples=most,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    # The types of Hypothesis do not say that what they decorate stays a function.
    drawn: Any = given(*strategies)
    seed(number)(quiet(drawn(shoot)))()


def _operations(shooting: Shooting) -> list[Any]:
    return [each.ok() for each in shooting.schema.get_all_operations()]


def _make_real(case: Case, data: st.DataObject, escrows: Sequence[str]) -> None:
    """Let most cases be about escrows that there are, and most escrows be such as can be made."""
    if "escrow" in (case.path_parameters or {}) and data.draw(st.integers(0, 3)):
        case.path_parameters["escrow"] = data.draw(st.sampled_from(escrows))
    body = case.body
    if isinstance(body, dict) and "buyer" in body and data.draw(st.integers(0, 3)):
        body["amount"] = str(AMOUNT)
        body["buyer"] = {"refund_address": BUYER}
        body["vendor"] = {"payout_address": VENDOR}
        if body.get("fee"):
            body["fee"]["address"] = VENDOR
