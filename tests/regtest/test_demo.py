import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from typing import Any

import psutil
import pytest

#: Seconds. Opening wallets is a matter of CPU time, and tests may share their machine.
PATIENCE = 600

STEPS = [
    "chain", "sessions", "deposit", "balance", "capacity", "killed_wallet", "swapped_wallet", "killed_service", "close",
]  # fmt: skip


@pytest.mark.timeout(PATIENCE + 60)
async def test_demo_tells_the_whole_story_and_leaves_nothing_behind() -> None:
    """``escrowd demo --json`` plays every act in order, with real facts, and ends all that it has started."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "escrowd.cli.main", "demo", "--json", stdout=PIPE, stderr=PIPE
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
    facts = {step["name"]: step["facts"] for step in steps}
    assert (facts["sessions"]["wallets"], facts["sessions"]["processes"]) == ("9", "9")
    assert re.fullmatch("[0-9a-f]{64}", facts["deposit"]["txid"])
    assert (facts["balance"]["opened"], facts["balance"]["closed"]) == ("0", "0")
    assert (facts["killed_service"]["wallets_adopted"], facts["killed_service"]["wallets_opened"]) == ("9", "0")
    assert facts["close"]["processes_left"] == "0"

    assert len(started) >= 10, "monerod and the processes of nine wallets"
    assert [each for each in started if each.is_running()] == []


async def _watch(pid: int, started: set[psutil.Process]) -> None:
    """Note the Monero processes that the demo starts, to look for them when it has ended."""
    demo = psutil.Process(pid)
    while demo.is_running():
        with suppress(psutil.NoSuchProcess):
            started |= {child for child in demo.children() if child.name().startswith("monero")}
        await asyncio.sleep(0.2)
