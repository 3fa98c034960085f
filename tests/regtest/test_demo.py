import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from typing import Any

import psutil
import pytest

#: Seconds. Making wallets is a matter of CPU time, and tests may share their machine.
PATIENCE = 900

STEPS = [
    "chain", "service", "dispute.create", "dispute.fund", "dispute.deliver", "dispute.dispute", "dispute.rule",
    "dispute.payout", "dispute.proof", "close",
]  # fmt: skip


@pytest.mark.timeout(PATIENCE + 60)
async def test_demo_tells_the_whole_story_and_leaves_nothing_behind() -> None:
    """``escrowd demo --json`` plays every act of a scenario, with real facts, and ends all that it has started."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "escrowd.cli.main", "demo", "--scenario", "dispute", "--json", stdout=PIPE, stderr=PIPE
    )
    started: set[psutil.Process] = set()
    async with asyncio.timeout(PATIENCE):
        watching = asyncio.create_task(_watch(process.pid, started))
        output, errors = await process.communicate()
        watching.cancel()
    assert (process.returncode, errors.decode()) == (0, "")

    steps: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines()]
    assert [step["name"] for step in steps] == STEPS
    assert all(step["seconds"] > 0 for step in steps)
    facts = {step["name"].rpartition(".")[2]: step["facts"] for step in steps}
    assert facts["create"]["wallets"] == "made on the spot, 2 of 3"
    assert re.fullmatch("[0-9a-f]{64}", facts["fund"]["txid"])
    assert re.fullmatch("[0-9a-f]{64}", facts["payout"]["txid"])
    assert facts["payout"]["status"] == "split"
    for name in ("buyer", "vendor", "operator"):
        assert facts["proof"][f"the_{name}s_wallet_shows"] == facts["payout"][f"to_the_{name}"]

    assert len(started) >= 7, "monerod, three wallets of outsiders, three of the escrow"
    assert [each for each in started if each.is_running()] == []


async def _watch(pid: int, started: set[psutil.Process]) -> None:
    """Note the Monero processes that the demo starts, to look for them when it has ended."""
    demo = psutil.Process(pid)
    while demo.is_running():
        with suppress(psutil.NoSuchProcess):
            started |= {child for child in demo.children() if child.name().startswith("monero")}
        await asyncio.sleep(0.2)
