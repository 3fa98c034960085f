"""The report on one escrow for people: what is wrong, its money, what is under way, and what may be done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from escrowd.cli.inspecting import Inspection
from escrowd.cli.showing.audit import audit_table
from escrowd.cli.showing.decision import receiver
from escrowd.cli.showing.escrows import PER_SECOND, deadline_text, log_table, status_text
from escrowd.cli.showing.held import ways_table, what_happened, what_is_left
from escrowd.cli.showing.next_steps import next_steps
from escrowd.cli.showing.paper import NOTHING, facts, moment_text, plain, span_text, table, xmr
from escrowd.domain.escrow.assess import Judgement, judge_lost
from escrowd.domain.escrow.diagram import MEANINGS
from escrowd.domain.escrow.status import Status
from escrowd.domain.outputs import WhyNot
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.records import Payout

#: Why a payment does not count, in words.
WHY_NOT: Final = {
    WhyNot.SUBADDRESS: "no: sent to another address of this wallet",
    WhyNot.LOCKED: "no: its sender locked it",
    WhyNot.LATE: "no: it came after the end, or after the payout was planned",
    WhyNot.DOUBLE_SPENT: "no: another transaction spends the same money",
    WhyNot.REORGED: "no: lost by a reorganisation or by the pool",
}


def story(inspection: Inspection, config: Path | None = None) -> RenderableType:
    """Return everything known of an escrow for a person; ``config`` is the file that commands have to name."""
    sections = [
        ("", _heading(inspection)),
        ("deposit", _deposit(inspection)),
        ("payouts", _payouts(inspection)),
        ("waiting to be done", _effects(inspection)),
        ("work", _work(inspection)),
        ("history, the last entries", log_table(inspection.log)),
        ("done by people and programs", audit_table(inspection.audit)),
        ("what you may do now", _next(inspection, config)),
    ]
    if inspection.view.escrow.status is Status.HELD:
        sections[1:1] = [("what is left", what_is_left(inspection.view.escrow))]
    return Group(*(part for title, content in sections for part in _section(title, content)))


# ---------------------------------------------------------------------------------------------------------------------


def _section(title: str, content: RenderableType) -> Iterator[RenderableType]:
    if not title:
        yield content
        return
    yield Text()
    yield Text(title, style="bold")
    yield Padding(content, (0, 0, 0, 2), expand=False)


def _heading(inspection: Inspection) -> RenderableType:
    escrow, terms = inspection.view.escrow, inspection.view.escrow.terms
    status = Text.assemble(status_text(escrow.status), f" ({MEANINGS[escrow.status]})")
    custody = ", ".join(f"{role} {terms.custody[role]}" for role in WalletRole)
    pairs: list[tuple[str, str | Text]] = [("escrow", Text(escrow.id, style="bold")), ("status", status)]
    if escrow.hold is not None:
        since = f"{escrow.hold.reason} while it was {escrow.hold.since}: {plain(escrow.hold.details)}"
        pairs.append(("held because", Text(since, style="red")))
    pairs += [
        ("deadline", deadline_text(escrow, inspection.view.moment)),
        ("amount", f"{xmr(terms.amount)} on {terms.network}"),
        ("reference", terms.reference),
        ("description", terms.description),
        ("made (UTC)", f"{moment_text(escrow.created_at)}, at version {escrow.version} now"),
        ("custody", custody),
        ("pays vendor", terms.payout_address),
        ("refunds buyer", terms.refund_address),
    ]
    if terms.fee is not None:
        pairs.append(("fee", f"{terms.fee.basis_points / 100:g} % to {terms.fee.address}"))
    if escrow.proposal is not None:
        pairs.append(("offer", f"{xmr(escrow.proposal.vendor_share)} to the vendor, says the {escrow.proposal.by}"))
    if escrow.order is not None:
        pairs.append(("ordered", f"{escrow.order.kind}, by the {escrow.order.by} at version {escrow.order.version}"))
    return facts(pairs)


def _deposit(inspection: Inspection) -> RenderableType:
    escrow = inspection.view.escrow
    deposit = escrow.deposit
    late = f", late {xmr(deposit.late_seen)}" if deposit.late_seen else ""
    uncounted = f", never counting {xmr(deposit.uncounted)}" if deposit.uncounted else ""
    parts: list[RenderableType] = [
        facts(
            [
                ("address", escrow.address or "not made yet"),
                (
                    "noted",
                    f"seen {xmr(deposit.seen)}, confirmed {xmr(deposit.confirmed)} of {xmr(escrow.terms.amount)}"
                    f"{late}{uncounted}; final after {escrow.terms.confirmations} confirmations",
                ),
                ("scanned", f"{inspection.view.account.ledger.chain_height} blocks"),
                *what_happened(inspection),
            ]
        )
    ]
    payments = (*inspection.view.judgements, *judge_lost(inspection.view.account.ledger))
    if payments:
        parts.append(_payments(payments))
    return Group(*parts)


def _payments(judgements: tuple[Judgement, ...]) -> RenderableType:
    rows = [
        (
            xmr(each.output.amount),
            NOTHING if each.output.height is None else str(each.output.height),
            str(each.confirmations),
            "yes" if each.reason is None else WHY_NOT[each.reason],
            each.output.txid,
        )
        for each in judgements
    ]
    numbers = ["amount", "height", "conf."]
    return table("amount", "height", "conf.", "counts", "transaction", rows=rows, numbers=numbers)


def _payouts(inspection: Inspection) -> RenderableType:
    payouts = inspection.view.account.payouts
    if not payouts:
        return Text("none")
    return Group(*(part for each in payouts for part in _payout(inspection, each)))


def _payout(inspection: Inspection, payout: Payout) -> Iterator[RenderableType]:
    yield Text(f"{payout.id}: {payout.kind}, {payout.status}")
    for each in inspection.attempts:
        if each.payout == payout.id:
            refused = f": refused, {plain(each.refused)}" if each.refused else ""
            yield Text(f"  attempt {each.number} by {each.proposer} and {each.cosigner}: {each.step}{refused}")
    terms = inspection.view.escrow.terms
    for one in payout.transactions:
        yield Text(f"  transaction {one.txid}, fee {xmr(one.network_fee)}")
        for output in one.outputs:
            yield Text(f"    {xmr(output.amount)} to {receiver(terms, output.to)} {output.to}")


def _effects(inspection: Inspection) -> RenderableType:
    now = inspection.view.moment.utc
    rows = [
        (str(each.effect.effect), f"{span_text((now - each.since) / PER_SECOND)}", str(each.effect.version))
        for each in inspection.effects
    ]
    if not rows:
        return Text("nothing")
    return table("what", "for", "of version", rows=rows, numbers=["of version"])


def _work(inspection: Inspection) -> RenderableType:
    work, keys, now = inspection.work, inspection.keys, inspection.view.moment.utc
    nodes = ", ".join(inspection.nodes)
    pairs: list[tuple[str, str | Text]] = [
        ("service", f"running: {nodes}" if nodes else Text("none runs at the moment", style="yellow"))
    ]
    if work is not None:
        pairs.append(("next look", _due(work.due_at, now)))
        if work.owner is not None and work.lease_until > now:
            pairs.append(("under way", f"at {work.owner}"))
        if work.attempt:
            pairs.append(("failed", Text(f"{work.attempt} times: {plain(work.last_error)}", style="red")))
    if keys is not None:
        why = f": {keys.why}" if keys.why else ""
        pairs.append(("keys", f"{keys.status}{why}, made by {keys.node} at {moment_text(keys.at)}"))
    return facts(pairs)


def _due(due_at: int | None, now: int) -> str:
    if due_at is None:
        return "when something happens"
    left = (due_at - now) / PER_SECOND
    return f"in {span_text(left)}" if left > 0 else f"due for {span_text(-left)}"


def _next(inspection: Inspection, config: Path | None) -> RenderableType:
    escrow = inspection.view.escrow
    if escrow.status is Status.HELD:
        return ways_table(inspection, config)
    steps = next_steps(escrow, inspection.allowed_actions, config)
    if steps:
        return Group(*(line for each in steps for line in (Text(f"{each.meaning}:"), _command(each.command))))
    waits = "the arbiter or the parties" if escrow.status is Status.DISPUTED else "the parties, the chain or the clock"
    return Text(f"nothing: this is for {waits}" if not escrow.has_ended else "nothing: it has ended")


def _command(command: str) -> Text:
    """Return a command on one line, however narrow the terminal is: it is to be copied."""
    return Text(f"  {command}", style="bold", no_wrap=True, overflow="ignore")
