from dataclasses import replace
from pathlib import Path

from escrowd.cli.inspecting import Inspection
from escrowd.cli.showing.held import held_shown, ways_table
from escrowd.cli.showing.held_table import held_rows, with_table
from escrowd.domain.escrow.assess import Account, Ledger, assess, judge
from escrowd.domain.escrow.events import SpentOutside
from escrowd.domain.escrow.facts import Moment
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.ways_out import ways_out
from escrowd.service.front.escrows import CallersView
from tests.unit.cli.test_showing import printed
from tests.unit.domain.escrow.world import HALF, PATHS, START, play, reached

RATE = FeeRate(per_byte=20_000, mask=10_000)
FOREIGN = "f" * 64
PAGE = Path(__file__).parents[3] / "docs" / "operating.md"
#: Half of the deposit is spent by a transaction that is not the service's own.
LEDGER = Ledger(
    chain_height=1000,
    chain_time=0,
    outputs=(
        ReceivedOutput("tx 1", 0, "key 1", HALF, height=900),
        ReceivedOutput("tx 2", 0, "key 2", HALF, height=900),
    ),
    spends=(Spend("image 2", FOREIGN, height=950),),
    key_images={"key 2": "image 2"},
)


def inspection(rate: FeeRate | None, trouble: str = "") -> Inspection:
    """Return what is known of an escrow of which half was spent outside."""
    escrow = play([*PATHS[Status.FUNDED], (SpentOutside(FOREIGN), Who.CHAIN)])
    escrow = play([(event, Who.CHAIN) for event in assess(escrow, LEDGER)], escrow)
    account = Account(LEDGER)
    view = CallersView(escrow, account, judge(escrow, LEDGER), Moment(START.utc, 0), ())
    ways = ways_out(escrow, account, view.moment, rate)
    return Inspection(view, (), (), None, None, (), (), (), ways=ways, rate=rate, daemon_trouble=trouble)


def test_preview_of_held_escrow_pays_what_is_left() -> None:
    """W4: of a deposit that was spent in part, each command shows to the piconero what it would pay to whom."""
    shown = held_shown(inspection(RATE))
    assert shown is not None
    assert (shown.left.spendable, shown.left.unspent) == (str(HALF), str(HALF))
    assert [(each.txid, each.amount, each.height) for each in shown.outside_spends] == [(FOREIGN, str(HALF), 950)]
    ways = {each.action: each for each in shown.ways}
    terms = reached(Status.FUNDED).terms
    for action, receivers in (
        ("release", {terms.payout_address}),
        ("refund", {terms.refund_address}),
        ("split", {terms.payout_address, terms.refund_address}),
    ):
        preview = ways[action].preview
        assert preview is not None
        assert {each.to for each in preview.outputs} == receivers
        assert sum(each.amount for each in preview.outputs) + preview.network_fee == HALF
    assert ways["resume"].leads_to == "awaiting_funding"
    assert ways["settle"].leads_to is None
    assert "release, refund or split it" in (ways["settle"].refusal or "")


def test_ways_are_shown_without_a_daemon() -> None:
    """Where the daemon does not answer, the commands are shown without amounts, with the reason."""
    seen = inspection(None, "the daemon did not answer")
    shown = held_shown(seen)
    assert shown is not None
    assert [each.preview for each in shown.ways] == [None] * 5
    assert shown.daemon_trouble == "the daemon did not answer"
    text = printed(ways_table(seen))
    assert "The fee rate is not known, so what would be paid is not either: the daemon did not answer" in text
    assert "network fee" not in text
    with_fee = printed(ways_table(inspection(RATE)))
    assert "network fee about" in with_fee
    assert f"escrowd escrows split {seen.view.escrow.id} --vendor-share" in with_fee


def test_escrow_that_is_not_held_has_no_ways() -> None:
    """The ways out are those of held escrows: what another status allows stands in the state table."""
    funded = reached(Status.FUNDED)
    assert ways_out(funded, Account(LEDGER), START, RATE) == ()
    seen = inspection(RATE)
    assert held_shown(replace(seen, view=replace(seen.view, escrow=funded))) is None


def test_table_of_operating_is_what_the_commands_judge() -> None:
    """The table of held escrows in the handbook is made from code; ``make docs`` writes it anew."""
    page = PAGE.read_text(encoding="utf-8")
    assert with_table(page) == page
    assert all(row.ways for row in held_rows())
