"""Escrows from the command line, on both databases."""

from dataclasses import dataclass, replace

import pytest

from escrowd.cli.showing.story import WHY_NOT
from escrowd.domain.access import Party
from escrowd.domain.conflicts import VersionConflict
from escrowd.domain.escrow.events import Cancelled, DepositSpent, Event, Ruled, SpentOutside
from escrowd.domain.escrow.facts import DepositFacts, Escrow
from escrowd.domain.escrow.machine import IllegalMove, Step
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import WhyNot
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import PayoutKind
from escrowd.service.front.callers import OPERATOR, Callers
from escrowd.service.front.escrows import EscrowDesk
from escrowd.service.orchestrator import EscrowOrchestrator
from escrowd.store.coding import encoded
from escrowd.store.database import Database
from escrowd.store.ledgers import OutputRow
from escrowd.store.store import SqlStore
from tests.contract.cli.conftest import Commands, live, stored
from tests.contract.store.samples import escrow_id, first_step, life, next_step, output, store_steps
from tests.unit.domain.escrow.world import AMOUNT

#: A deposit that was paid in full, and that a transaction in a block spends in full.
ALL_SPENT = DepositFacts(seen=AMOUNT, confirmed=AMOUNT, spent=AMOUNT)
UNKNOWN = escrow_id(999)


@dataclass(frozen=True)
class Desk:
    """The front of the service over a database, as the operator uses it."""

    database: Database

    async def escrow(self, escrow: str) -> Escrow:
        async with SqlStore(self.database, "node-1").reading() as tx:
            return await tx.escrows.load(EscrowId(escrow))

    async def act(self, escrow: str, event: Event, version: int) -> Escrow:
        store = SqlStore(self.database, "node-1")
        async with store.transaction() as tx:
            desk = EscrowDesk(EscrowOrchestrator(store))
            return await desk.act(tx, OPERATOR, EscrowId(escrow), event, version)


def held_with_money() -> list[Step]:
    """Return the life of an escrow that was funded, and is held because a foreign transaction spends it."""
    steps = life(Status.FUNDED)
    return [*steps, next_step(steps[-1].after, SpentOutside("f" * 64), Who.CHAIN)]


async def test_list_forgets_escrows(commands: Commands, database: Database) -> None:
    """Escrows are listed from the newest on, by status and by page; in JSON as the API shows them."""
    for number in range(2, 5):
        await stored(database, [first_step(number)])
    await live(database, Status.FUNDED)
    first, funded, table = await commands.runs(
        "escrows list --limit 2 --json", "escrows list --status funded --json", "escrows list"
    )
    ids = [each["id"] for each in first.json["items"]]
    assert ids == [escrow_id(4), escrow_id(3)]
    rest = (await commands.run("escrows", "list", "--before", first.json["next"], "--json")).json
    assert [each["id"] for each in rest["items"]] == [escrow_id(2), escrow_id(1)]
    assert rest["next"] is None
    assert [(each["id"], each["amount"]) for each in funded.json["items"]] == [(escrow_id(1), str(AMOUNT))]
    assert all(escrow_id(number) in table.out for number in range(1, 5))
    assert "\x1b" not in table.out


async def test_id_is_broken_in_a_narrow_terminal(commands: Commands, database: Database) -> None:
    """However narrow the terminal is, no letter of an id is lost, and no line of a table is wider than it."""
    made = await live(database, Status.HELD)
    listed = await commands.run("escrows", "list", environment={"COLUMNS": "60"})
    shown = await commands.run("escrows", "show", made, environment={"COLUMNS": "60"})
    for said in (listed, shown):
        # But for commands, which are to be copied.
        assert [each for each in said.out.splitlines() if len(each) > 60 and "escrowd escrows" not in each] == []
        assert made in said.out


async def test_held_escrow_keeps_its_secret(commands: Commands, database: Database) -> None:
    """What is shown of a held escrow says why, what waits to be done, what may be done, and by which command."""
    made = await stored(database, held_with_money())
    people, programs = await commands.runs(f"escrows show {made}", f"escrows show {made} --json")
    for part in (
        "held (facts disagree; the money is safe and waits for the operator)",
        f"spent_outside while it was funded: transaction {'f' * 64} spends the deposit",
        "seen 1 XMR, confirmed 1 XMR of 1 XMR",
        "none runs at the moment",
        "tell_operator",
        f"escrowd escrows refund {made} --config {commands.config}",
        f"escrowd escrows resume {made} --config {commands.config}",
        "what is left",
        "settle: refused: settle is not possible now: money is left that can be paid out",
        "The fee rate is not known",
    ):
        assert part in people.out, part
    report = programs.json
    assert report["escrow"]["hold"]["reason"] == "spent_outside"
    assert [each["action"] for each in report["next_steps"]] == ["release", "refund", "resume", "split"]
    assert [each["effect"] for each in report["waiting_effects"]][-1] == "tell_operator"
    assert report["work"]["attempts_failed"] == 0
    assert report["log"][-1]["type"] == "escrow.held"
    held = report["held"]
    assert held["left"] == {"unspent": str(AMOUNT), "spendable": str(AMOUNT), "late": "0", "uncounted": "0"}
    ways = {each["action"]: each["leads_to"] for each in held["ways"]}
    into = dict.fromkeys(("release", "refund", "split"), "paying")
    assert ways == {**into, "resume": "confirming", "settle": None}
    assert str(commands.daemon_port) in held["daemon_trouble"]
    assert report["living_nodes"] == []


async def test_lost_payment_is_shown(commands: Commands, database: Database) -> None:
    """W12: a payment that a reorganisation removed is shown with its txid and last height, and does not count."""
    made = await live(database, Status.HELD)
    lost = replace(output("a", 90), txid="ab" * 32, amount=AMOUNT)
    async with SqlStore(database, "node-1").transaction() as tx:
        await tx.ledgers.note_lost([OutputRow(made, lost.txid, lost.key, lost.index, lost.height, encoded(lost))])
    people, programs = await commands.runs(f"escrows show {made}", f"escrows show {made} --json")
    (row,) = (each for each in people.out.splitlines() if lost.txid in each)
    assert row.split() == ["1", "XMR", "90", "0", *WHY_NOT[WhyNot.REORGED].split(), lost.txid]
    assert programs.json["escrow"]["deposit"]["payments"] == [
        {
            "txid": lost.txid,
            "output": 0,
            "amount": str(AMOUNT),
            "height": 90,
            "confirmations": 0,
            "counts": False,
            "reason": "reorged",
        }
    ]


async def test_history_has_gaps(commands: Commands, database: Database) -> None:
    """The history is shown entry by entry as the API tells it, and goes on where it was left."""
    made = await live(database, Status.COMPLETED)
    all_of_it, page, table = await commands.runs(
        f"escrows log {made} --json", f"escrows log {made} --after 2 --limit 2 --json", f"escrows log {made}"
    )
    entries = all_of_it.json["items"]
    assert [each["sequence"] for each in entries] == list(range(1, len(entries) + 1))
    assert page.json == {"items": entries[2:4], "next": 4}
    assert "funded -> paying" in table.out
    assert table.out.count("\n") == len(entries) + 1


async def test_link_of_the_command_line_opens_nothing(commands: Commands, database: Database) -> None:
    """The links that are shown are those that the API takes, and a new one makes the old one worthless."""
    made = await live(database, Status.FUNDED)
    callers = Callers(SqlStore(database, "node-1"), commands.vault)
    before = {each["role"]: each for each in (await commands.run("escrows", "links", made, "--json")).json["items"]}
    after = (await commands.run("escrows", "links", made, "--rotate", "buyer", "--json")).json["items"]
    async with SqlStore(database, "node-1").transaction() as tx:
        good = {role: (await callers.link(tx, Party(escrow_id(1), role))).reveal() for role in WalletRole}
    assert {each["role"]: each["token"] for each in after} == good
    assert before["vendor"]["token"] == good[WalletRole.VENDOR]
    assert before["buyer"]["token"] != good[WalletRole.BUYER]
    assert before["vendor"]["url"].endswith(f"/escrows/{made}#{good[WalletRole.VENDOR]}")
    noted = (await commands.run("audit", "list", "--json")).json["items"]
    assert [(each["action"], each["subject"]) for each in noted] == [("rotate link of the buyer", made)]


async def test_decision_is_taken_without_a_word(commands: Commands, database: Database) -> None:
    """A decision is shown and asked about; who says no, or nothing at all, changes nothing."""
    made = await stored(database, held_with_money())
    for answer in ("n\n", ""):
        said = await commands.run("escrows", "refund", made, answer=answer)
        assert said.code == 1
        assert "held -> paying" in said.out
        assert "said as the operator" in said.out
        assert "cannot be reckoned now" in said.out
        assert "No service runs at the moment" in said.out
    unasked = await commands.run("escrows", "refund", made, "--json")
    assert (unasked.code, unasked.out) == (2, "")
    assert "--yes" in unasked.err
    assert (await commands.run("escrows", "show", made, "--json")).json["escrow"]["status"] == "held"


async def test_decision_is_not_stored(commands: Commands, database: Database) -> None:
    """A decision that a person agrees to, or a program gives, is stored with its effect and noted in the audit."""
    made = await stored(database, held_with_money())
    taken = (await commands.run("escrows", "refund", made, "--yes", "--json")).json
    assert (taken["action"], taken["said_as"], taken["escrow"]["status"]) == ("refund", "operator", "paying")
    assert taken["preview"] is None
    assert str(commands.daemon_port) in taken["preview_trouble"]
    report = (await commands.run("escrows", "show", made, "--json")).json
    assert "pay" in [each["effect"] for each in report["waiting_effects"]]
    assert [(each["caller"], each["action"]) for each in report["audit"]] == [(OPERATOR.name, "refund")]
    assert report["log"][-1]["who"] == "operator"
    again = await commands.run("escrows", "refund", made, "--yes")
    assert again.code == 1
    assert "while the escrow is paying" in again.err


async def test_split_of_held_escrow_orders_that_share(commands: Commands, database: Database) -> None:
    """The operator divides what is left of a held escrow: the order has the share that was named."""
    made = await stored(database, held_with_money())
    taken = (await commands.run("escrows", "split", made, "--vendor-share", "0.25xmr", "--yes", "--json")).json
    assert (taken["action"], taken["said_as"], taken["escrow"]["status"]) == ("split", "operator", "paying")
    order = (await Desk(database).escrow(made)).order
    assert order is not None
    assert (order.kind, order.vendor_share, order.by) == (PayoutKind.SPLIT, AMOUNT // 4, Who.OPERATOR)


async def test_settle_closes_what_has_no_money_and_nothing_else(commands: Commands, database: Database) -> None:
    """W7: an escrow whose money is gone is closed with a reason; one with money is not, and the refusal says why."""
    rich = await stored(database, held_with_money())
    refused, unreasoned = await commands.runs(
        f"escrows settle {rich} --yes --reason lost", f"escrows settle {rich} --yes --reason="
    )
    assert (refused.code, refused.out) == (1, "")
    assert "money is left that can be paid out: release, refund or split it" in refused.err
    assert "whether what is left is worth its fee is not known" in refused.err
    assert (unreasoned.code, unreasoned.out) == (2, "")
    steps = [*held_with_money(), next_step(held_with_money()[-1].after, DepositSpent(ALL_SPENT), Who.CHAIN)]
    await store_steps(SqlStore(database, "node-1"), steps[-1:])
    asked = await commands.run("escrows", "settle", rich, "--reason", "spent by the operator himself", answer="y\n")
    assert asked.code == 0
    assert "Nothing is paid" in asked.out
    assert (await Desk(database).escrow(rich)).status is Status.CANCELLED
    log = (await commands.run("escrows", "log", rich, "--json")).json["items"]
    assert log[-1]["data"]["details"]["reason"] == "spent by the operator himself"


async def test_person_who_agrees_is_not_heard(commands: Commands, database: Database) -> None:
    """Who says yes has decided: a dispute is divided as ruled, an unpaid escrow is called off."""
    made = await live(database, Status.DISPUTED)
    ruled = await commands.run("escrows", "rule", made, "--vendor-share", "0.25xmr", answer="y\n")
    assert ruled.code == 0
    assert "said as the arbiter" in ruled.out
    assert "it is paying now" in ruled.err
    order = (await Desk(database).escrow(made)).order
    assert order is not None
    assert (order.vendor_share, order.by) == (AMOUNT // 4, Who.ARBITER)


@pytest.mark.parametrize("share", ["1.5", "-1", "0.1 btc", "1.0000000000001xmr"])
async def test_share_is_guessed(commands: Commands, share: str) -> None:
    """A share is whole piconero, or XMR with its unit; anything else is wrong usage."""
    said = await commands.run("escrows", "rule", escrow_id(1), "--vendor-share", share)
    assert (said.code, said.out) == (2, "")


async def test_wrong_request_changes_something(commands: Commands, database: Database) -> None:
    """What cannot be is refused in one line that says what is allowed instead, and nothing is changed."""
    made = await live(database, Status.FUNDED)
    release, cancel, resume, unknown, rule, wrong = await commands.runs(
        f"escrows release {made} --yes",
        f"escrows cancel {made} --yes --json",
        f"escrows resume {made} --yes",
        f"escrows show {UNKNOWN}",
        f"escrows rule {made} --vendor-share {2 * AMOUNT} --yes",
        "escrows list --status paid",
    )
    for said in (release, cancel, resume, unknown, rule):
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith("escrowd: ")
        assert said.err.count("\n") == 1
    assert "allowed for the operator: nothing" in release.err
    assert f"there is no escrow {UNKNOWN}" in unknown.err
    assert (wrong.code, wrong.out) == (2, "")
    assert "awaiting_funding" in wrong.err
    assert (await commands.run("audit", "list", "--json")).json == {"items": [], "next": 0}


async def test_decision_on_what_has_changed_is_taken(database: Database) -> None:
    """A decision that was made of an older version of the escrow is refused."""
    made = await live(database, Status.AWAITING_FUNDING)
    desk = Desk(database)
    version = (await desk.escrow(made)).version
    with pytest.raises(VersionConflict, match="changed meanwhile"):
        await desk.act(made, Cancelled(), version - 1)
    assert (await desk.act(made, Cancelled(), version)).status is Status.CANCELLED
    with pytest.raises(IllegalMove):
        await desk.act(made, Ruled(0), version + 1)
