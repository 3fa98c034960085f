"""How a decision on money is shown before it is taken: who would get what, to the piconero, and what it would cost."""

from collections.abc import Iterator
from typing import Final

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from escrowd.api.showing import escrow_shown, preview_shown
from escrowd.cli.deciding import Foreseen
from escrowd.cli.showing.paper import NOTHING, facts, plain, table, xmr
from escrowd.domain.escrow.status import Status
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.payouts.records import PaidOutput
from escrowd.service.front.escrows import CallersView
from escrowd.wire import escrows as wire


class ShownDecision(msgspec.Struct, frozen=True):
    """A decision that was taken, as programs see it. ``preview`` is what was reckoned before."""

    action: str
    said_as: str
    preview: wire.PreviewedPayout | None
    #: Why nothing could be reckoned.
    preview_trouble: str | None
    escrow: wire.Escrow


def decision_shown(action: str, foreseen: Foreseen, view: CallersView) -> ShownDecision:
    """Return what is told of a decision that was taken."""
    previewed = foreseen.previewed
    return ShownDecision(
        action=action,
        said_as=str(foreseen.step.who),
        preview=None if previewed is None else preview_shown(action, previewed),
        preview_trouble=foreseen.trouble or None,
        escrow=escrow_shown(view),
    )


def foreseen_table(action: str, foreseen: Foreseen) -> RenderableType:
    """Return what a decision would do, for a person to agree to."""
    before, after = foreseen.escrow, foreseen.step.after
    about = facts(
        [
            ("escrow", before.id),
            ("reference", before.terms.reference or NOTHING),
            ("decision", Text.assemble((action, "bold"), f", said as the {foreseen.step.who}")),
            ("status", f"{before.status} -> {after.status}"),
            *_money(foreseen),
        ]
    )
    return Group(about, *_outputs(foreseen), *_remarks(foreseen))


# ---------------------------------------------------------------------------------------------------------------------


def _money(foreseen: Foreseen) -> Iterator[tuple[str, str]]:
    previewed = foreseen.previewed
    if previewed is None:
        return
    yield "payout", f"{previewed.kind} of {xmr(previewed.total)}"
    yield "network fee", f"about {xmr(previewed.network_fee)}, paid out of it"
    if previewed.left_out:
        yield "left out", f"{xmr(previewed.left_out)}: worth less than its fee, or goes back to the buyer by itself"


def _outputs(foreseen: Foreseen) -> Iterator[RenderableType]:
    outputs = foreseen.previewed.outputs if foreseen.previewed else ()
    if foreseen.going_on is not None:
        outputs = tuple(output for each in foreseen.going_on.transactions for output in each.outputs)
    if outputs:
        terms = foreseen.escrow.terms
        yield Text()
        yield table("to whom", "amount", "address", numbers=["amount"], rows=[_output(terms, each) for each in outputs])


def _output(terms: Terms, output: PaidOutput) -> tuple[str, str, str]:
    return receiver(terms, output.to), xmr(output.amount), output.to


def receiver(terms: Terms, address: str) -> str:
    """Return whose address it is by the terms."""
    known = {terms.refund_address: "buyer", terms.payout_address: "vendor"}
    if terms.fee is not None:
        known = {terms.fee.address: "fee", **known}
    return known.get(address, NOTHING)


def _remarks(foreseen: Foreseen) -> Iterator[RenderableType]:
    goes_to = foreseen.step.after.status
    if foreseen.going_on is not None:
        yield Text(f"\nPayout {foreseen.going_on.id} was signed already, and the same transactions are sent again.")
    elif foreseen.escrow.has_ended:
        yield Text("\nLate money goes back to the buyer, as far as it can be spent now.")
    elif goes_to in _NOTHING_PAID:
        yield Text(f"\nNothing is paid: {_NOTHING_PAID[goes_to]}")
    if foreseen.trouble:
        yield Text(f"\nWhat would be paid cannot be reckoned now: {plain(foreseen.trouble)}", style="yellow")
    if not foreseen.nodes:
        yield Text("\nNo service runs at the moment; it is carried out when one does.", style="yellow")


_NOTHING_PAID: Final = {
    Status.CONFIRMING: "a wallet looks at the deposit again, and the escrow goes on if it agrees.",
    Status.AWAITING_FUNDING: "the escrow waits for its deposit again.",
    Status.CANCELLED: "nothing is left to pay. The address stays watched, and late money goes back to the buyer.",
    **dict.fromkeys(
        (Status.COMPLETED, Status.REFUNDED, Status.SPLIT),
        "nothing is left to pay, and the escrow ends as its payout in the chain says.",
    ),
}
