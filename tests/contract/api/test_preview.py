"""What a payout would pay, before it is decided: every piconero is told, and nothing is done."""

from dataclasses import replace
from typing import Any, Final

import httpx
import pytest

from escrowd.domain.escrow.events import DepositConfirmed, DepositSeen, FundingVerified
from escrowd.domain.escrow.facts import DepositFacts
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import FeeRule, Overpayment, Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.testing.api_house import RATE, ApiHouse
from tests.contract.api.visits import BUYER, SITE, TERMS, VENDOR, fingerprint, give_money, made
from tests.unit.domain.escrow.world import AMOUNT, HALF, PATHS

#: Fee of the site in hundredths of a percent, and in piconero of the whole amount.
POINTS: Final = 250
SITES: Final = AMOUNT * POINTS // 10_000
EXCESS: Final = AMOUNT // 5
LACK: Final = AMOUNT // 20
WITH_FEE: Final = replace(TERMS, fee=FeeRule(POINTS, SITE))


async def funded(house: ApiHouse, terms: Terms, *amounts: int) -> EscrowId:
    """Make an escrow that is paid with outputs of these amounts."""
    total = sum(amounts)
    paid = DepositFacts(seen=total, confirmed=total)
    moves = (
        *PATHS[Status.AWAITING_FUNDING],
        (DepositSeen(DepositFacts(seen=total)), Who.CHAIN),
        (DepositConfirmed(paid), Who.CHAIN),
        (FundingVerified(), Who.SERVICE),
    )
    escrow = await made(house, moves, terms)
    await give_money(house, escrow.id, *amounts)
    return escrow.id


async def previewed(client: httpx.AsyncClient, escrow: EscrowId, **body: str) -> dict[str, Any]:
    """Ask for a preview, hold its sums, and return it with the outputs by receiver."""
    answer = await client.post(f"/v1/escrows/{escrow}/preview", json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    outputs = {each["to"]: int(each["amount"]) for each in shown["outputs"]}
    assert sum(outputs.values()) + int(shown["network_fee"]) == int(shown["total"])
    assert int(shown["network_fee"]) % RATE.mask == 0
    return shown | {"paid": outputs, "fee": int(shown["network_fee"])}


async def test_release_pays_too_much(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """A release pays the site its part of the amount, and the vendor the rest less the network fee."""
    shown = await previewed(sqlite_client, await funded(sqlite_house, WITH_FEE, AMOUNT), action="release")
    assert shown["paid"] == {VENDOR: AMOUNT - SITES - shown["fee"], SITE: SITES}
    assert (shown["kind"], shown["left_out"]) == ("release", "0")


async def test_refund_pays_the_site(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """A refund pays the buyer everything less the network fee, which is an estimate then, and the site nothing."""
    shown = await previewed(sqlite_client, await funded(sqlite_house, WITH_FEE, AMOUNT), action="refund")
    assert shown["paid"] == {BUYER: AMOUNT - shown["fee"]}
    assert shown["kind"] == "refund"


@pytest.mark.parametrize("action", ["rule", "propose-split", "accept-split"])
async def test_split_favours_a_side(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient, action: str) -> None:
    """A split is borne by both sides in proportion to their parts; the site takes its part of the vendor's."""
    escrow = await funded(sqlite_house, WITH_FEE, AMOUNT)
    shown = await previewed(sqlite_client, escrow, action=action, vendor_share=str(HALF))
    paid, site = shown["paid"], HALF * POINTS // 10_000
    assert shown["kind"] == "split"
    assert set(paid) == {VENDOR, BUYER, SITE}
    assert paid[SITE] == site
    assert paid[VENDOR] == HALF - site - shown["fee"] * (HALF - site) // (AMOUNT - site)


@pytest.mark.parametrize(("share", "kind"), [(0, "refund"), (AMOUNT, "release")])
async def test_ruling_for_one_side_is_a_split(
    sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient, share: int, kind: str
) -> None:
    """A ruling that gives all to one side is what that is called, and pays as that does."""
    escrow = await funded(sqlite_house, WITH_FEE, AMOUNT)
    ruled = await previewed(sqlite_client, escrow, action="rule", vendor_share=str(share))
    assert ruled["kind"] == kind
    assert ruled["paid"] == (await previewed(sqlite_client, escrow, action=kind))["paid"]


@pytest.mark.parametrize("policy", Overpayment)
async def test_excess_goes_astray(
    sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient, policy: Overpayment
) -> None:
    """Money beyond the amount goes back to the buyer with a release, or to the vendor, as the terms say."""
    terms = replace(TERMS, overpayment=policy)
    shown = await previewed(sqlite_client, await funded(sqlite_house, terms, AMOUNT, EXCESS), action="release")
    assert int(shown["total"]) == AMOUNT + EXCESS
    if policy is Overpayment.RETURN:
        assert shown["paid"] == {VENDOR: AMOUNT - shown["fee"], BUYER: EXCESS}
    else:
        assert shown["paid"] == {VENDOR: AMOUNT + EXCESS - shown["fee"]}


async def test_tolerated_lack_is_made_up(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """Where less was paid than the amount and that is tolerated, what is there is paid out."""
    terms = replace(TERMS, tolerance=LACK)
    shown = await previewed(sqlite_client, await funded(sqlite_house, terms, AMOUNT - LACK), action="release")
    assert shown["paid"] == {VENDOR: AMOUNT - LACK - shown["fee"]}


async def test_dust_is_paid_out(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """What costs more than it brings is left out, and told."""
    shown = await previewed(sqlite_client, await funded(sqlite_house, TERMS, AMOUNT, 7), action="refund")
    assert (shown["total"], shown["left_out"]) == (str(AMOUNT), "7")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"action": "rule"}, 422, "invalid_input"),
        ({"action": "release", "vendor_share": "1"}, 422, "invalid_input"),
        ({"action": "rule", "vendor_share": str(AMOUNT + 1)}, 422, "invalid_share"),
        ({"action": "steal"}, 422, "invalid_request"),
        ({}, 422, "invalid_request"),
    ],
)
async def test_preview_of_nonsense(
    sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient, body: dict[str, str], status: int, code: str
) -> None:
    """A preview of what cannot be decided says what is wrong."""
    escrow = await funded(sqlite_house, TERMS, AMOUNT)
    answer = await sqlite_client.post(f"/v1/escrows/{escrow}/preview", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    "status", [Status.KEYING, Status.CONFIRMING, Status.PAYING, Status.COMPLETED, Status.CANCELLED]
)
async def test_preview_without_a_deposit(
    sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient, status: Status
) -> None:
    """Where there is no final deposit, or it is on its way out, that is what a preview says."""
    escrow = await made(sqlite_house, PATHS[status])
    answer = await sqlite_client.post(f"/v1/escrows/{escrow.id}/preview", json={"action": "refund"})
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_pay_out")
    assert status in answer.json()["detail"]


async def test_preview_hides_what_is_missing(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """Where less can be spent at the moment than is to be divided, the sums are told, and no bug is claimed."""
    escrow = await funded(sqlite_house, TERMS, AMOUNT)
    await give_money(sqlite_house, escrow, HALF)
    answer = await sqlite_client.post(f"/v1/escrows/{escrow}/preview", json={"action": "release"})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_all_there")
    assert str(HALF) in answer.json()["detail"]


async def test_preview_without_a_daemon(sqlite_house: ApiHouse, sqlite_client: httpx.AsyncClient) -> None:
    """Where the daemon has not named its fee rate for too long, a preview is refused: 503."""
    escrow = await funded(sqlite_house, TERMS, AMOUNT)
    object.__setattr__(sqlite_house.parts, "fee_rate", lambda: None)
    answer = await sqlite_client.post(f"/v1/escrows/{escrow}/preview", json={"action": "release"})
    assert (answer.status_code, answer.json()["code"]) == (503, "monero_not_available")


async def test_preview_does_something(house: ApiHouse, client: httpx.AsyncClient) -> None:
    """A preview changes nothing, however often it is asked for."""
    escrow = await funded(house, WITH_FEE, AMOUNT)
    before = await fingerprint(house)
    first, second = [await previewed(client, escrow, action="release") for _ in range(2)]
    assert first == second
    assert await fingerprint(house) == before
