"""Decisions of the operator by the command line, beside a running service, on the real chain."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from escrowd.bootstrap.service import RunningService
from escrowd.domain.escrow.events import Disputed
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.payouts.plan import MOST_INPUTS
from escrowd.monero.versions import Capability
from escrowd.testing.lab import RegtestLab
from escrowd.testing.ports import free_ports
from escrowd.wallets.vault import KEY_BYTES
from tests.contract.cli.conftest import Commands
from tests.engine import has
from tests.escrow_life import BUYER, VENDOR, XMR, EscrowLife, assert_paid_once

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def commands(chain: RegtestLab, running: RunningService, tmp_path: Path) -> Commands:
    """Give the command line over the database of the running service. Decisions need no vault key."""
    url = running.database.url.render_as_string(hide_password=False)
    (api_port,), daemon_port = free_ports(1), chain.daemon_endpoint.port
    made = Commands(tmp_path, url, secrets.token_bytes(KEY_BYTES), api_port, daemon_port)
    made.write_settings()
    return made


def amounts(outputs: Any) -> dict[str, int]:
    return {each["to"]: int(each["amount"]) for each in outputs}


async def test_ruling_of_the_command_line_is_paid_as_previewed(life: EscrowLife, commands: Commands) -> None:
    """The vendor gets what the preview says, to the piconero; the buyer bears what the fee is off the estimate."""
    await life.create()
    await life.fund()
    await life.until_status(Status.FUNDED)
    await life.say(Disputed("it is broken"), Who.BUYER)
    ruled = (await commands.run("escrows", "rule", life.id, "--vendor-share", "0.4xmr", "--yes", "--json")).json
    assert (ruled["escrow"]["status"], ruled["said_as"]) == ("paying", "arbiter")
    view = await life.until_paid(Status.SPLIT)
    assert_paid_once(view)
    (paid,) = view.payouts[-1].transactions
    previewed = amounts(ruled["preview"]["outputs"])
    difference = paid.network_fee - int(ruled["preview"]["network_fee"])
    # 0.18.0.0 charges exact amounts by its first, higher estimate.
    assert abs(difference) < paid.network_fee // (20 if has(Capability.SUBTRACT_FEE) else 3)
    assert {each.to: each.amount for each in paid.outputs} == {
        VENDOR: previewed[VENDOR], BUYER: previewed[BUYER] - difference,
    }  # fmt: skip


async def test_held_deposit_stays_where_it_is(life: EscrowLife, commands: Commands) -> None:
    """An escrow that is held is shown with its cause and a command that refunds it; that command pays the buyer."""
    await life.create()
    parts = MOST_INPUTS + 1
    await life.lab.pay_many([(life.address, XMR // parts + 1)] * parts)
    await life.lab.mine(10)
    await life.until_status(Status.HELD)
    report = (await commands.run("escrows", "show", life.id, "--json")).json
    assert report["escrow"]["hold"]["reason"] == "too_many_parts"
    assert report["living_nodes"] == ["node-1"]
    (offered,) = [each for each in report["next_steps"] if each["action"] == "refund"]
    program, *words = offered["command"].split()
    assert program == "escrowd"
    refunded = await commands.run(*words, answer="y\n", config=False)
    assert refunded.code == 0, refunded.err
    assert BUYER in "".join(refunded.out.split())
    view = await life.until_paid(Status.REFUNDED)
    assert_paid_once(view)
    assert {each.to for one in view.payouts[-1].transactions for each in one.outputs} == {BUYER}
