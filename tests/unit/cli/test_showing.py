import io
import os
import subprocess
import sys

import pytest
import typer
from rich.console import Console, RenderableType

from escrowd.cli.deciding import Foreseen
from escrowd.cli.decisions import read_share
from escrowd.cli.showing.decision import foreseen_table
from escrowd.cli.showing.escrows import details_of
from escrowd.cli.showing.keys import key_table
from escrowd.cli.showing.next_steps import next_steps
from escrowd.cli.showing.paper import moment_text, plain, span_text, table
from escrowd.cli.showing.story import WHY_NOT
from escrowd.domain.access import ApiKeyRecord, Scope
from escrowd.domain.escrow.events import DepositSeen, Refunded, Resumed
from escrowd.domain.escrow.facts import DepositFacts
from escrowd.domain.escrow.history import data_of
from escrowd.domain.escrow.machine import step
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.voices import actions_of
from escrowd.domain.outputs import WhyNot
from escrowd.domain.payouts.records import PaidOutput, PayoutKind
from escrowd.service.front.callers import OPERATOR
from escrowd.service.front.preview import Previewed
from tests.unit.domain.escrow.world import AMOUNT, START, reached


def printed(shown: RenderableType, width: int = 200) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(shown)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def test_text_of_others_drives_the_terminal() -> None:
    """What others wrote is shown on one line, without controls, turned directions or marks of colour."""
    assert plain("a\x1b[31mb\nc\x9b2Jd\u202ee") == "a [31mb c 2Jd e"
    assert plain(" \n") == "-"
    assert printed(table("name", rows=[["[red]shop[/]"]])) == "name\n[red]shop[/]"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (90061, "1 d 1 h"), (-5, "0 s")],
)
def test_length_of_time_is_unreadable(seconds: float, text: str) -> None:
    """A length of time is told in its two largest units."""
    assert span_text(seconds) == text


def test_time_is_told_in_a_zone() -> None:
    """Times are told in UTC, and what has none as nothing."""
    assert (moment_text(1_700_000_000_999), moment_text(None)) == ("2023-11-14 22:13:20", "-")


@pytest.mark.parametrize("width", [30, 50, 80, 200])
def test_id_is_broken(width: int) -> None:
    """Whatever the width, an id that fits into a line stands on one; what is longer is folded and not cut short."""
    name, long = "esc_" + "0" * 14, "x" * 70
    shown = printed(table("id", "reference", rows=[[name, long]]), width)
    assert name in shown
    assert shown.count("x") == len(long)
    assert max(map(len, shown.splitlines())) <= width


def test_early_end_of_a_pipe_is_a_traceback() -> None:
    """Where nobody reads the output any more, the command ends with 1 and without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    source = "from escrowd.cli.showing.paper import write_json; write_json(['x'] * 100_000)"
    try:
        ended = subprocess.run([sys.executable, "-c", source], stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_key_shows_its_digest() -> None:
    """Of a key its id, name, scopes and times are shown, and nothing that was made from its text."""
    record = ApiKeyRecord("key_1", "shop", "digest", frozenset({Scope.ADMIN}), START.utc, START.utc + 1000)
    shown = printed(key_table([record]))
    assert "digest" not in shown
    row = " ".join(shown.splitlines()[1].split())
    assert row == "key_1 shop admin 2023-11-14 22:13:20 2023-11-14 22:13:21"
    assert "escrowd keys create" in printed(key_table([]))


@pytest.mark.parametrize("status", Status)
def test_operator_is_told_what_is_not_allowed(status: Status) -> None:
    """The commands that are offered are those that the state table allows the operator now, each with its escrow."""
    escrow = reached(status)
    allowed = actions_of(escrow, OPERATOR.voices())
    steps = next_steps(escrow, allowed)
    assert {each.action for each in steps} == set(allowed)
    assert all(each.command.startswith(f"escrowd escrows {each.action} {escrow.id}") for each in steps)


@pytest.mark.parametrize("why", WhyNot)
def test_payment_is_passed_over_without_a_reason(why: WhyNot) -> None:
    """Each reason for which a payment does not count has words."""
    assert WHY_NOT[why].startswith("no: ")


def test_decision_hides_who_is_paid() -> None:
    """Before a decision it is shown who gets what, with addresses whole, and what it costs."""
    held = reached(Status.HELD)
    funded = reached(Status.FUNDED)
    to_the_buyer = PaidOutput(funded.terms.refund_address, AMOUNT - 7)
    previewed = Previewed(PayoutKind.REFUND, AMOUNT, 7, left_out=0, outputs=(to_the_buyer,))
    foreseen = Foreseen(step(funded, Refunded(), Who.VENDOR, START), None, previewed, None, "", ("node-1",))
    shown = printed(foreseen_table("refund", foreseen))
    for part in ("funded -> paying", "refund of 1 XMR", "about 0.000000000007 XMR", "buyer    0.999999999993 XMR"):
        assert part in shown, part
    assert "No service runs" not in shown
    resumed = Foreseen(step(held, Resumed(), Who.OPERATOR, START), None, None, None, "", ())
    shown = printed(foreseen_table("resume", resumed))
    assert "Nothing is paid: a wallet looks at the deposit again" in shown
    assert "No service runs at the moment" in shown


def test_history_repeats_itself() -> None:
    """Of an entry is told how the status changed and what is new, and not what is nothing."""
    seen = step(reached(Status.AWAITING_FUNDING), DepositSeen(DepositFacts(seen=AMOUNT)), Who.CHAIN, START)
    assert details_of(data_of(seen)) == f"awaiting_funding -> confirming; deposit.seen={AMOUNT}"


@pytest.mark.parametrize(("text", "amount"), [("0", 0), ("750", 750), ("0.75xmr", 75 * 10**10), ("2 XMR", 2 * 10**12)])
def test_share_is_misread(text: str, amount: int) -> None:
    """A share is piconero, or XMR with the unit behind it."""
    assert read_share(text) == amount


@pytest.mark.parametrize("text", ["1.5", "-1", "1e3", "xmr", "0.0000000000001xmr"])
def test_share_is_guessed(text: str) -> None:
    """What is neither is wrong usage."""
    with pytest.raises(typer.BadParameter):
        read_share(text)
