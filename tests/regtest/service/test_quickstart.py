"""The quickstart, word for word: every command and every line of Python that stands in it is run."""

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from tests.regtest.service.commands import as_json, line_with, started

QUICKSTART = Path(__file__).parents[3] / "docs" / "quickstart.md"
#: Where the text says that the sandbox is.
WRITTEN = "http://127.0.0.1:8080"
#: Seconds for all of it on a busy machine.
PATIENCE = 280


def blocks(language: str) -> list[str]:
    """Return the blocks of the quickstart in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", QUICKSTART.read_text(), re.MULTILINE | re.DOTALL)


async def run(program: str, text: str, directory: Path) -> str:
    """Run a text by a program, and return what it said; an error where it failed."""
    process = await asyncio.create_subprocess_exec(program, "-", cwd=directory, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
    output, _ = await process.communicate(text.encode())
    said = output.decode()
    assert process.returncode == 0, said
    return said


@pytest.mark.timeout(PATIENCE + 20)
async def test_quickstart_does_not_lead_to_a_payout(lab: object, tmp_path: Path) -> None:
    """Whoever follows the quickstart word for word sees an escrow funded, released and completed, and one ruled."""
    begin, *commands = blocks("sh")
    assert begin.split() == ["make", "setup", ".venv/bin/escrowd", "sandbox"]
    box = str(tmp_path / "escrowd-sandbox")
    async with asyncio.timeout(PATIENCE), started("sandbox", "--data-dir", box, "--port", "0") as sandbox:
        url = as_json(await line_with(sandbox.stdout, "api_url"))["api_url"]
        script = "set -euo pipefail\n" + "\n".join(commands).replace(WRITTEN, url)
        said = await run("bash", script, tmp_path)
        assert re.search(r"escrow esc_\w{26} waits for money at 4\w{94}", said), said
        assert "funded, 1000000000000 of 1000000000000 piconero are final" in said, said
        assert re.search(r"completed: transaction [0-9a-f]{64}", said), said
        assert '"secret":"whsec_' in said, said
        (python,) = blocks("python")
        said = await run(sys.executable, python.replace(WRITTEN, url), tmp_path)
        amounts = [int(line.split()[1]) for line in said.splitlines()]
        assert len(amounts) == 2, said
        assert 9 * 10**11 < sum(amounts) < 10**12, "half each, and the network fee in proportion"
