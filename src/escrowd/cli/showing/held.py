"""A held escrow: what happened, what is left, what each command would do, and why another is not possible."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from escrowd.cli.inspecting import Inspection
from escrowd.cli.showing.decision import receiver
from escrowd.cli.showing.next_steps import NextStep, next_steps
from escrowd.cli.showing.paper import facts, plain, xmr
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.outputs import credited_once
from escrowd.domain.payouts.books import fate_of
from escrowd.domain.payouts.plan import PayoutPlan
from escrowd.domain.payouts.ways_out import WayOut
from escrowd.wire import escrows as wire


class ShownLeft(msgspec.Struct, frozen=True):
    """What is left, in piconero as decimal strings: of the deposit, and beside it."""

    unspent: str
    spendable: str
    late: str
    uncounted: str


class ShownSpend(msgspec.Struct, frozen=True):
    """A transaction that is not the service's own, and what it spends of the escrow's outputs that are known."""

    txid: str
    amount: str
    height: int | None


class ShownTransaction(msgspec.Struct, frozen=True):
    """A transaction of a payout: ``fate`` is mined, dead (no block can hold it any more) or open."""

    payout: str
    txid: str
    fate: str
    height: int | None


class ShownWay(msgspec.Struct, frozen=True):
    """A command. Either ``leads_to`` is a status, or ``refusal`` says why the command would be refused."""

    action: str
    leads_to: str | None
    refusal: str | None
    meaning: str | None
    command: str | None
    preview: wire.PreviewedPayout | None


class ShownHeld(msgspec.Struct, frozen=True):
    """A held escrow. Its reason and details are in ``escrow.hold``, its payments in ``escrow.deposit``."""

    outside_spends: list[ShownSpend]
    transactions: list[ShownTransaction]
    left: ShownLeft
    ways: list[ShownWay]
    #: Why the fee rate is not known: then nothing is judged by it, and no preview can be made.
    daemon_trouble: str | None


def held_shown(inspection: Inspection, config: Path | None = None) -> ShownHeld | None:
    """Return a held escrow for programs; ``None`` for any other."""
    escrow = inspection.view.escrow
    if escrow.hold is None:
        return None
    deposit = escrow.deposit
    late = deposit.late_seen
    left = ShownLeft(*map(str, (deposit.unspent, deposit.spendable, late, deposit.uncounted)))
    steps = _steps(inspection, config)
    return ShownHeld(
        outside_spends=list(_outside(inspection)),
        transactions=list(_transactions(inspection)),
        left=left,
        ways=[_way(each, steps.get(each.action), inspection) for each in inspection.ways],
        daemon_trouble=inspection.daemon_trouble or None,
    )


def what_is_left(escrow: Escrow) -> RenderableType:
    """Return what is left of the money of an escrow, for people."""
    deposit = escrow.deposit
    return facts(
        [
            ("can be paid out", xmr(deposit.spendable)),
            ("not spent", f"{xmr(deposit.unspent)} of the deposit of {xmr(deposit.seen)} that counts"),
            ("late", f"{xmr(deposit.late_seen)}: goes back to the buyer after the end"),
            ("does not count", f"{xmr(deposit.uncounted)}: goes back to the buyer after the end"),
        ]
    )


def what_happened(inspection: Inspection) -> Iterator[tuple[str, str]]:
    """Yield what spent the money, and what became of each transaction of a payout, for people."""
    for spend in _outside(inspection):
        where = "" if spend.height is None else f", in block {spend.height}"
        yield "spent outside", f"{spend.txid}: {xmr(int(spend.amount))}{where}"
    for each in _transactions(inspection):
        where = f"in block {each.height}" if each.height is not None else _FATES[each.fate]
        yield f"payout {each.payout}", f"{each.txid}: {where}"


def ways_table(inspection: Inspection, config: Path | None = None) -> RenderableType:
    """Return what each command would do, or why it would be refused, for people."""
    steps = _steps(inspection, config)
    lines = [line for each in inspection.ways for line in _lines(each, steps.get(each.action), inspection)]
    if inspection.daemon_trouble:
        unknown = "The fee rate is not known, so what would be paid is not either"
        lines.append(Text(f"{unknown}: {plain(inspection.daemon_trouble)}", style="yellow"))
    return Group(*lines)


# ---------------------------------------------------------------------------------------------------------------------

_FATES = {
    "open": "in no block, and may still be mined",
    "dead": "in no block, and never can be: another transaction spends its input",
}


def _steps(inspection: Inspection, config: Path | None) -> dict[str, NextStep]:
    return {each.action: each for each in next_steps(inspection.view.escrow, inspection.allowed_actions, config)}


def _outside(inspection: Inspection) -> Iterator[ShownSpend]:
    ledger = inspection.view.account.ledger
    for txid in inspection.view.escrow.outside_spends:
        spends = [each for each in ledger.spends if each.txid == txid]
        images = {each.key_image for each in spends}
        amount = sum(each.amount for each in credited_once(ledger.outputs) if ledger.key_images.get(each.key) in images)
        yield ShownSpend(txid, str(amount), next((each.height for each in spends), None))


def _transactions(inspection: Inspection) -> Iterator[ShownTransaction]:
    account = inspection.view.account
    for payout in account.payouts:
        for one in payout.transactions:
            fate = fate_of(one, account.ledger.spends)
            heights = {each.height for each in account.ledger.spends if each.txid == one.txid}
            height = next((each for each in heights if each is not None), None)
            yield ShownTransaction(payout.id, one.txid, fate.value, height)


def _way(way: WayOut, step: NextStep | None, inspection: Inspection) -> ShownWay:
    preview = None if way.plan is None else _preview(way.action, way.plan, inspection)
    leads_to = None if way.step is None else str(way.step.after.status)
    meaning, command = (step.meaning, step.command) if step else (None, None)
    return ShownWay(way.action, leads_to, way.refusal or None, meaning, command, preview)


def _preview(action: str, plan: PayoutPlan, inspection: Inspection) -> wire.PreviewedPayout | None:
    if inspection.rate is None:
        return None
    fee = plan.expected_fee(inspection.rate)
    paid = tuple(wire.PaidOutput(to=each.to, amount=each.amount) for each in plan.outputs(fee, fee))
    return wire.PreviewedPayout.model_validate(
        {
            "action": action,
            "kind": str(plan.kind),
            "total": plan.total,
            "network_fee": fee,
            "left_out": plan.residue,
            "outputs": paid,
        }
    )


def _lines(way: WayOut, step: NextStep | None, inspection: Inspection) -> Iterator[RenderableType]:
    if way.step is None or step is None:
        yield Text(f"{way.action}: refused: {plain(way.refusal)}", style="dim")
        return
    half = " (with half for each side)" if way.action == "split" else ""
    yield Text(f"{way.action}{half}: {step.meaning}; leads to {way.step.after.status}")
    preview = None if way.plan is None else _preview(way.action, way.plan, inspection)
    for each in preview.outputs if preview else ():
        yield Text(f"  {xmr(each.amount)} to {receiver(inspection.view.escrow.terms, each.to)} {each.to}")
    if preview:
        left_out = f"; left out: {xmr(preview.left_out)}" if preview.left_out else ""
        yield Text(f"  network fee about {xmr(preview.network_fee)}{left_out}")
    # On one line, however narrow the terminal is: it is to be copied.
    yield Text(f"  {step.command}", style="bold", no_wrap=True, overflow="ignore")
