"""What a preview refuses, the command refuses with the same status, code and words."""

import httpx
import pytest

from escrowd.domain.escrow.events import Disputed, SplitProposed
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.parties import WalletRole
from escrowd.service.front.escrows import EscrowDesk
from escrowd.service.orchestrator import EscrowOrchestrator
from escrowd.testing.api_house import RATE, ApiHouse
from tests.contract.api.visits import fingerprint, give_money, made, token_of, visit
from tests.unit.domain.escrow.world import AMOUNT, HALF, PATHS

LEAST = RATE.dust() + 1


@pytest.fixture(autouse=True)
def judged(sqlite_house: ApiHouse) -> None:
    """Let the API judge by what the network asks for, as the service does."""
    desk = EscrowDesk(EscrowOrchestrator(sqlite_house.store, fee_rate=lambda: RATE))
    object.__setattr__(sqlite_house.parts, "desk", desk)


@pytest.mark.parametrize(
    ("action", "role", "amounts", "body", "status", "code"),
    [
        ("release", WalletRole.BUYER, (7,), {}, 409, "uneconomic"),
        ("release", WalletRole.BUYER, (HALF,), {}, 409, "not_all_there"),
        ("refund", WalletRole.VENDOR, (7,), {}, 409, "uneconomic"),
        ("rule", WalletRole.ARBITER, (AMOUNT,), {"vendor_share": "1"}, 422, "invalid_share"),
        ("rule", WalletRole.ARBITER, (AMOUNT,), {"vendor_share": str(AMOUNT - 1)}, 422, "invalid_share"),
        ("propose-split", WalletRole.BUYER, (AMOUNT,), {"vendor_share": str(LEAST - 1)}, 422, "invalid_share"),
        ("accept-split", WalletRole.VENDOR, (AMOUNT,), {"vendor_share": "1"}, 422, "invalid_share"),
    ],
)
async def test_command_is_refused_as_its_preview_is(
    sqlite_house: ApiHouse,
    *,
    action: str,
    role: WalletRole,
    amounts: tuple[int, ...],
    body: dict[str, str],
    status: int,
    code: str,
) -> None:
    """W10, W11: status, code and words are the same, the least share is named, and nothing changes."""
    moves = (*PATHS[Status.FUNDED], (SplitProposed(1), Who.BUYER), (Disputed(), Who.BUYER))
    escrow = (await made(sqlite_house, moves)).id
    await give_money(sqlite_house, escrow, *amounts)
    async with visit(sqlite_house, await token_of(sqlite_house, escrow, role)) as party:
        before = await fingerprint(sqlite_house)
        taken = await party.post(f"/v1/escrows/{escrow}/{action}", json=body)
        previewed = await party.post(f"/v1/escrows/{escrow}/preview", json={"action": action, **body})
        assert _told(taken) == _told(previewed)
        assert _told(taken)[:2] == (status, code)
        assert await fingerprint(sqlite_house) == before
    if code == "invalid_share":
        assert f"vendor_share {body['vendor_share']} leaves" in taken.json()["detail"]
        assert f"at least {LEAST}" in taken.json()["detail"]


def _told(answer: httpx.Response) -> tuple[int, str, str]:
    problem = answer.json()
    return answer.status_code, problem["code"], problem["detail"]
