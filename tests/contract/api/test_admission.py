"""New escrows are refused in drain mode, before a hard fork, on an unsupported Monero and for too small an amount."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import httpx
import pytest

from escrowd.domain.access import Scope
from escrowd.domain.escrow.terms import LEAST_AMOUNT
from escrowd.domain.forks import AnnouncedFork
from escrowd.domain.payouts.fees import FeeRate
from escrowd.monero.versions import Verdict
from escrowd.service.admission import Admission, AdmissionSettings
from escrowd.service.engine import EngineState
from escrowd.service.engine_metrics import EngineCollector
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import NEW, SITE, visit
from tests.contract.conftest import sqlite_copy

#: Asks a service with such an admission for a new escrow; returns the answer and whether there is an escrow.
Ask: TypeAlias = Callable[..., Awaitable[tuple[httpx.Response, bool]]]

DAY = 720
#: 32 days and an hour, with the periods that hold where the terms say nothing.
LONGEST = 32 * 86_400 + 3_600
STRICT = AdmissionSettings(end_before_fork=True, fork_margin_days=3)
#: What a daemon of a private chain asks for.
DEAR = FeeRate(4_700_000, 10_000)


@pytest.fixture
def create(sqlite_template: Path, tmp_path: Path) -> Ask:
    """Give what asks for a new escrow of a service with such an admission, and returns the answer."""

    async def ask(
        settings: AdmissionSettings,
        state: EngineState | None = None,
        rate: FeeRate | None = None,
        **changes: object,
    ) -> tuple[httpx.Response, bool]:
        admission = Admission(settings, lambda: state or EngineState(), lambda: rate)
        async with (
            ApiHouse.open(sqlite_copy(sqlite_template, tmp_path), admit=admission.check) as house,
            visit(house, await house.key(tuple(Scope))) as client,
        ):
            answer = await client.post("/v1/escrows", json=NEW | changes)
            listed = (await client.get("/v1/escrows")).json()["items"]
            return answer, bool(listed)

    return ask


def before_fork(days: int) -> EngineState:
    return EngineState(height=1000, fork=AnnouncedFork(17, 1000 + days * DAY))


async def test_drain_mode_refuses_new_escrows(create: Ask) -> None:
    """A service that drains answers with the code `draining`, and makes nothing."""
    answer, is_made = await create(AdmissionSettings(accept_new=False))
    assert (answer.status_code, answer.json()["code"], is_made) == (409, "draining", False)


async def test_escrow_that_may_last_beyond_the_fork_is_refused(create: Ask) -> None:
    """The refusal names the fork, how long the periods may be together, and how long they are."""
    answer, is_made = await create(STRICT, before_fork(35))
    problem = answer.json()
    assert (answer.status_code, problem["code"], is_made) == (409, "ends_after_fork", False)
    assert "hard fork 17 is announced for height 26200" in problem["detail"]
    assert f"may be {32 * 86_400} seconds together" in problem["detail"]
    assert f"are {LONGEST}; shorten the deadlines" in problem["detail"]


async def test_escrow_that_ends_before_the_fork_is_made(create: Ask) -> None:
    """The same escrow with a shorter period, and one with a day more until the fork, are made."""
    answer, _ = await create(STRICT, before_fork(35), deadlines={"inspection": 86_400})
    assert answer.status_code == 201


async def test_escrow_far_from_the_fork_is_made(create: Ask) -> None:
    """With a day more until the fork the periods of the service fit."""
    answer, _ = await create(STRICT, before_fork(36))
    assert answer.status_code == 201


async def test_margin_after_the_fork_leaves_no_room(create: Ask) -> None:
    """Within the margin no deadlines are short enough, and the answer says so."""
    answer, _ = await create(STRICT, before_fork(2))
    assert "may be 0 seconds" in answer.json()["detail"]
    assert "no escrow can be made until" in answer.json()["detail"]


async def test_gate_before_a_fork_can_be_off(create: Ask) -> None:
    """Without the setting, as on other networks than mainnet, the fork keeps no escrow away."""
    answer, _ = await create(replace(STRICT, end_before_fork=False), before_fork(1))
    assert answer.status_code == 201


async def test_unsupported_monero_takes_no_new_escrows(create: Ask) -> None:
    """On a Monero that is refused the operator has to act: 503, and nothing is made."""
    answer, is_made = await create(STRICT, EngineState(verdict=Verdict(refusals=("monerod is of Monero 0.19",))))
    assert (answer.status_code, answer.json()["code"], is_made) == (503, "not_available", False)


async def test_amount_that_could_not_pay_its_own_fee_is_refused(create: Ask) -> None:
    """W10: the answer has the amount, the least amount and the fee that it follows from; nothing is made."""
    fee = DEAR.estimate(1, 2)
    answer, is_made = await create(AdmissionSettings(), rate=DEAR, amount=str(5 * 10**9))
    problem = answer.json()
    assert (answer.status_code, problem["code"], is_made) == (422, "amount_too_small", False)
    assert f"the amount must be at least {10 * fee} piconero, not {5 * 10**9}" in problem["detail"]
    assert f"10 times a network fee of about {fee} piconero" in problem["detail"]


async def test_least_amount_follows_the_setting(create: Ask) -> None:
    """W10: with another factor an amount is taken that is refused with the usual one."""
    answer, _ = await create(AdmissionSettings(min_fee_multiple=3), rate=DEAR, amount=str(3 * DEAR.estimate(1, 2)))
    assert answer.status_code == 201


async def test_fee_of_the_operator_raises_the_least_amount(create: Ask) -> None:
    """W10: a payout with one receiver more costs more, so the same amount is refused where the operator has a fee."""
    fee = {"basis_points": 5000, "address": SITE}
    answer, _ = await create(AdmissionSettings(), rate=DEAR, amount=str(10 * DEAR.estimate(1, 2)), fee=fee)
    assert (answer.status_code, answer.json()["code"]) == (422, "amount_too_small")
    assert f"at least {10 * DEAR.estimate(1, 3)} piconero" in answer.json()["detail"]


async def test_amount_is_not_judged_while_no_fee_rate_is_known(create: Ask) -> None:
    """W10: with a silent daemon escrows are made down to the fixed least amount, and not below it."""
    answer, _ = await create(AdmissionSettings(), amount=str(LEAST_AMOUNT))
    assert answer.status_code == 201


async def test_fixed_least_amount_holds_while_no_fee_rate_is_known(create: Ask) -> None:
    """W10: one piconero less than the fixed least amount is refused in any case."""
    answer, _ = await create(AdmissionSettings(), amount=str(LEAST_AMOUNT - 1))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_terms")


async def test_readiness_names_drain_mode_and_the_fork(sqlite_house: ApiHouse) -> None:
    """Both are warnings of a service that is ready; without them there are none."""
    admission = Admission(AdmissionSettings(accept_new=False), lambda: before_fork(20))
    async with visit(sqlite_house, None) as client:
        assert (await client.get("/readyz")).json()["warnings"] == {}
        object.__setattr__(sqlite_house.parts, "warnings", admission.warnings)
        answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert set(answer.json()["warnings"]) == {"draining", "fork_approaching"}
    assert (
        "hard fork 17 is announced for height 15400, in 14400 blocks" in answer.json()["warnings"]["fork_approaching"]
    )


async def test_metrics_show_the_fork_while_one_is_announced() -> None:
    """Prometheus sees height and blocks left of an announced fork, and none of both without one."""
    shown = {
        each.name: each.samples[0].value for each in EngineCollector(lambda: before_fork(2), is_draining=True).collect()
    }
    assert shown == {
        "escrowd_draining": 1,
        "escrowd_engine_supported": 1,
        "escrowd_fork_height": 2440,
        "escrowd_fork_blocks_left": 1440,
    }
    plain = {each.name for each in EngineCollector(EngineState, is_draining=False).collect()}
    assert plain == {"escrowd_draining", "escrowd_engine_supported"}
