"""W13: how much may be missing is a setting; what a request says goes before it, and no amount becomes impossible."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from escrowd.domain.escrow.events import DepositConfirmed, DepositSeen
from escrowd.domain.escrow.facts import DepositFacts
from escrowd.domain.escrow.status import Who
from escrowd.domain.escrow.terms import LEAST_AMOUNT
from escrowd.domain.identifiers import parse_escrow_id
from escrowd.settings.model import EscrowDefaults
from escrowd.testing.api_house import ApiHouse
from tests.contract.api.visits import NEW

#: What a wallet that cuts amounts at 8 decimals sends too little in W13.
CUT = 3656
USUAL = EscrowDefaults().underpayment_tolerance


@pytest.fixture
def client(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Give a client of a service with the shipped default."""
    usual = replace(sqlite_house.parts.settings, tolerance=USUAL)
    object.__setattr__(sqlite_house.parts, "settings", usual)
    return sqlite_client


async def made(client: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    """Make an escrow, and return it as it is shown."""
    answer = await client.post("/v1/escrows", json=NEW | changes)
    assert answer.status_code == 201, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def status_with(house: ApiHouse, escrow: str, amount: int) -> str:
    """Return the status of an escrow when so much is final."""
    final = DepositFacts(seen=amount, confirmed=amount)
    await house.orchestrator.command(parse_escrow_id(escrow), DepositSeen(DepositFacts(seen=amount)), Who.CHAIN)
    return str((await house.orchestrator.command(parse_escrow_id(escrow), DepositConfirmed(final), Who.CHAIN)).status)


async def test_deposit_that_a_wallet_cut_at_8_decimals_counts_as_paid(
    sqlite_house: ApiHouse, client: httpx.AsyncClient
) -> None:
    """W13: with the shipped default 3656 piconero too little pay an escrow, and so does all that is cut off at most."""
    await sqlite_house.fill_stock(2)
    for lack in (CUT, 10**4 - 1):
        shown = await made(client)
        assert await status_with(sqlite_house, shown["id"], int(shown["amount"]) - lack) == "confirming"


async def test_deposit_beyond_the_usual_tolerance_does_not_count_as_paid(
    sqlite_house: ApiHouse, client: httpx.AsyncClient
) -> None:
    """W13: one piconero more is missing than may be, so the escrow goes on waiting for its deposit."""
    await sqlite_house.fill_stock(1)
    shown = await made(client)
    assert await status_with(sqlite_house, shown["id"], int(shown["amount"]) - USUAL - 1) == "awaiting_funding"


@pytest.mark.parametrize("tolerance", [0, 1, 10**9])
async def test_tolerance_of_the_request_goes_before_the_setting(client: httpx.AsyncClient, tolerance: int) -> None:
    """W13: an integrator that names a tolerance, also none, gets that one; the escrow shows what holds."""
    shown = await made(client, underpayment={"tolerance": str(tolerance)})
    assert shown["deposit"]["tolerance"] == str(tolerance)
    assert (await made(client))["deposit"]["tolerance"] == str(USUAL)


async def test_usual_tolerance_is_at_most_a_tenth_of_the_amount(
    sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient
) -> None:
    """W13: a setting that is large for a small amount does not refuse it: the bound of the terms is its bound, too."""
    settings = replace(sqlite_house.parts.settings, tolerance=LEAST_AMOUNT)
    object.__setattr__(sqlite_house.parts, "settings", settings)
    shown = await made(sqlite_client, amount=str(LEAST_AMOUNT + 9))
    assert shown["deposit"]["tolerance"] == str(LEAST_AMOUNT // 10)
