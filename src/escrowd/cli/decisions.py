"""Commands by which the operator decides about an escrow. Each is shown with what it would pay before it is taken."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from escrowd.cli.deciding import decide, foresee
from escrowd.cli.escrows import escrows_app as escrows_app
from escrowd.cli.opening import run_command
from escrowd.cli.options import ConfigOption, EscrowArgument, JsonOption, YesOption
from escrowd.cli.showing.decision import decision_shown, foreseen_table
from escrowd.cli.showing.paper import say, write, write_json
from escrowd.domain.escrow.events import Cancelled, Divided, Event, Refunded, Released, Resumed, Ruled, Settled
from escrowd.domain.identifiers import parse_escrow_id
from escrowd.domain.money import InvalidAmount, parse_piconero, parse_xmr
from escrowd.wire.escrows import Settlement


def read_share(text: str) -> int:
    """Read an amount in piconero, or in XMR where that stands behind it.

    Raises:
        typer.BadParameter: it is neither.

    """
    number = text.strip().lower()
    try:
        return parse_xmr(number.removesuffix("xmr").strip()) if number.endswith("xmr") else parse_piconero(number)
    except InvalidAmount as error:
        raise typer.BadParameter(f"{error}; or give XMR with the unit behind it, such as 1.5xmr") from None


def read_reason(text: str) -> str:
    """Read the reason of a settlement, which is stored with it.

    Raises:
        typer.BadParameter: it is empty, too long, or holds control characters.

    """
    try:
        return Settlement(reason=text).reason
    except ValidationError:
        raise typer.BadParameter("give 1 to 1000 characters, without control characters") from None


ShareOption = Annotated[
    int,
    typer.Option(
        "--vendor-share",
        parser=read_share,
        metavar="AMOUNT",
        help="What the vendor's side gets before fees; the rest goes to the buyer. Piconero, or such as 1.5xmr.",
    ),
]


@escrows_app.command("release")
def release(
    escrow: EscrowArgument, *, yes: YesOption = False, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Pay the deposit of a held escrow out to the vendor."""
    _take("release", escrow, Released(), config=config, yes=yes, as_json=as_json)


@escrows_app.command("refund")
def refund(
    escrow: EscrowArgument, *, yes: YesOption = False, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Pay the deposit of a held escrow back to the buyer."""
    _take("refund", escrow, Refunded(), config=config, yes=yes, as_json=as_json)


@escrows_app.command("split")
def split(
    escrow: EscrowArgument,
    *,
    vendor_share: ShareOption,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Divide what is left of the deposit of a held escrow between vendor and buyer."""
    _take("split", escrow, Divided(vendor_share), config=config, yes=yes, as_json=as_json)


@escrows_app.command("settle")
def settle(
    escrow: EscrowArgument,
    *,
    reason: Annotated[
        str, typer.Option("--reason", parser=read_reason, metavar="TEXT", help="Why. It is stored in the history.")
    ],
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Close a held escrow of which nothing is left that is worth its fee. It ends as its last mined payout says."""
    _take("settle", escrow, Settled(reason), config=config, yes=yes, as_json=as_json)


@escrows_app.command("rule")
def rule(
    escrow: EscrowArgument,
    *,
    vendor_share: ShareOption,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Decide a dispute: divide the deposit between vendor and buyer."""
    _take("rule", escrow, Ruled(vendor_share), config=config, yes=yes, as_json=as_json)


@escrows_app.command("resume")
def resume(
    escrow: EscrowArgument, *, yes: YesOption = False, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Let a held escrow go on where it was held: nothing was wrong, or it is mended."""
    _take("resume", escrow, Resumed(), config=config, yes=yes, as_json=as_json)


@escrows_app.command("cancel")
def cancel(
    escrow: EscrowArgument, *, yes: YesOption = False, as_json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Call an escrow off. Only while no payment was seen."""
    _take("cancel", escrow, Cancelled(), config=config, yes=yes, as_json=as_json)


# ---------------------------------------------------------------------------------------------------------------------


def _take(action: str, escrow: str, event: Event, *, config: Path | None, yes: bool, as_json: bool) -> None:
    """Show what a decision would do, ask, and take it of the escrow as it was shown."""
    if as_json and not yes:
        raise typer.BadParameter("a program cannot be asked: give --yes with --json")
    foreseen = run_command(foresee(config, parse_escrow_id(escrow), event))
    if not as_json:
        write(foreseen_table(action, foreseen))
    if not yes:
        typer.confirm(f"\n{action} {escrow}?", abort=True, err=True)
    view = run_command(decide(config, foreseen.escrow.id, event, foreseen.escrow.version, foreseen.rate))
    if as_json:
        write_json(decision_shown(action, foreseen, view))
    else:
        say(f"\nDone: it is {view.escrow.status} now. See how it goes on: escrowd escrows show {view.escrow.id}")
