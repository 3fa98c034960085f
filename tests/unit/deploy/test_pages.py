import json
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from escrowd.api.showing import custody_promise
from escrowd.domain.escrow.facts import HoldReason
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.networks import Network
from escrowd.monero.versions import OLDEST_RELEASE, SINCE, risks
from tests.unit.deploy.commands import unknown
from tests.unit.deploy.parsing import ROOT

DOCS = ROOT / "docs"
PAGES = ("operating.md", "custody.md", "security.md", "reliability.md")


def text_of(page: str) -> str:
    """Return what stands on a page."""
    return (DOCS / page).read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Return the names under which the headings of a page can be pointed to."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines(text: str) -> list[list[str]]:
    """Return the words behind ``escrowd`` of each command on a page, in a block or in the text."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    lines = re.findall(r"^(?:sudo -u escrowd /opt/escrowd/bin/)?escrowd ([^\n#]+)", blocks, re.MULTILINE)
    return [shlex.split(line) for line in [*lines, *re.findall(r"`escrowd ([^`]+)`", text)]]


@pytest.mark.parametrize("page", PAGES)
def test_command_of_a_page_is_not_there(page: str) -> None:
    """Every command line of a page is one that escrowd takes, with its flags."""
    lines = command_lines(text_of(page))
    assert lines or page != "operating.md"
    assert [problem for line in lines if (problem := unknown(line))] == []


@pytest.mark.parametrize("page", PAGES)
def test_link_leads_nowhere(page: str) -> None:
    """Every link of a page leads to a file that there is, and to a heading in it."""
    for target in re.findall(r"\]\(([^)]+)\)", text_of(page)):
        name, _, anchor = target.partition("#")
        path = (DOCS / name).resolve() if name else DOCS / page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", PAGES)
def test_page_names_a_test_that_is_gone(page: str) -> None:
    """Every test file that a page names as proof is there."""
    named = set(re.findall(r"`((?:unit|contract|regtest|faults)/[\w/.]+)`", text_of(page)))
    assert [name for name in named if not (ROOT / "tests" / name).exists()] == []


def test_reason_to_hold_is_not_explained() -> None:
    """The runbook has a row for each reason to hold an escrow, with what to look at and what to do."""
    rows = {
        cells[1].strip(" `"): cells
        for line in text_of("operating.md").splitlines()
        if len(cells := line.split("|")) == 5
    }
    assert [reason for reason in HoldReason if reason not in rows] == []
    assert all(cell.strip() for reason in HoldReason for cell in rows[reason][1:4])


def test_risk_of_a_version_is_not_told() -> None:
    """The operating guide names each release that brings what an operator would be warned for the lack of."""
    page = text_of("operating.md")
    releases = sorted({*SINCE.values(), *OLDEST_RELEASE.values()})
    warned = {str(release) for before, release in pairwise(releases) if len(risks(before)) > len(risks(release))}
    assert len(warned) == len(risks(releases[0]))
    assert [release for release in warned if f"| {release} (" not in page] == []


def test_page_and_service_promise_different_things() -> None:
    """What the custody page shows of the escrow object is what the service says."""
    (block,) = re.findall(r"```json\n(.*?)```", text_of("custody.md"), re.DOTALL)
    shown = json.loads("{" + block + "}")["custody"]
    said = custody_promise(Terms(Network.MAINNET, 10**12, "refund", "payout"))
    assert shown == said.model_dump()
