"""The table of ``docs/operating.md``: held because, what is left, and which commands are possible. Pure.

It is made by judging sample escrows with the function that judges the commands themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from escrowd.domain.escrow.assess import Account, Ledger, deposit_facts
from escrowd.domain.escrow.facts import Escrow, Hold, HoldReason, Moment, PayoutOrder
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import Network
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.records import PayoutKind
from escrowd.domain.payouts.ways_out import ways_out

#: Lines of the page between which the table stands.
BEGIN: Final = "<!-- held: made by scripts/make-docs from src/escrowd/cli/showing/held_table.py -->"
END: Final = "<!-- held: end -->"


class Left(StrEnum):
    """What is left of the deposit of a held escrow."""

    ALL = "all of it, final"
    PART = "a part of it, final"
    UNCONFIRMED = "money that is not final yet"
    RESIDUE = "less than its fee"
    NOTHING = "nothing"


#: Reasons of a hold before a decision on the money, and after it.
BEFORE_DECISION: Final = (
    HoldReason.WALLET_DISAGREES,
    HoldReason.TOO_MANY_PARTS,
    HoldReason.SPENT_OUTSIDE,
    HoldReason.DEPOSIT_GONE,
)
AFTER_DECISION: Final = (HoldReason.PAYOUT_FAILED, HoldReason.SPENT_OUTSIDE, HoldReason.DEPOSIT_GONE)


@dataclass(frozen=True, slots=True)
class HeldRow:
    """What is possible for escrows that are held for these reasons, with so much left."""

    reasons: tuple[HoldReason, ...]
    is_decided: bool
    left: Left
    #: Status that each possible command leads to.
    ways: dict[str, Status]


def held_rows() -> Iterator[HeldRow]:
    """Yield the rows of the table. Reasons for which the same is possible stand in one row."""
    for reasons, is_decided in ((BEFORE_DECISION, False), (AFTER_DECISION, True)):
        for left in Left:
            judged = [(reason, _possible(reason, left, is_decided=is_decided)) for reason in reasons]
            distinct = [ways for at, (_, ways) in enumerate(judged) if ways not in [each for _, each in judged[:at]]]
            for ways in distinct:
                yield HeldRow(tuple(reason for reason, each in judged if each == ways), is_decided, left, ways)


def held_table() -> str:
    """Return the table, in Markdown."""
    rows = [f"| {_because(row)} | {row.left} | {_commands(row)} |" for row in held_rows()]
    return "\n".join(["| held because | what is left | command and where it leads |", "|---|---|---|", *rows])


def with_table(page: str) -> str:
    """Return a page with the table between its two lines."""
    before, _, rest = page.partition(f"{BEGIN}\n")
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{held_table()}\n{END}{after}"


# ---------------------------------------------------------------------------------------------------------------------

_AMOUNT: Final = 10**12
_HEIGHT: Final = 1000
_RATE: Final = FeeRate(per_byte=20_000, mask=10_000)
_MOMENT: Final = Moment(utc=0, running=0)
#: Amount that is left, and the height of its block.
_OUTPUTS: Final = {
    Left.ALL: (_AMOUNT, _HEIGHT - 100),
    Left.PART: (_AMOUNT // 2, _HEIGHT - 100),
    Left.UNCONFIRMED: (_AMOUNT, _HEIGHT - 1),
    Left.RESIDUE: (1000, _HEIGHT - 100),
}


def _possible(reason: HoldReason, left: Left, *, is_decided: bool) -> dict[str, Status]:
    escrow, account = _sample(reason, left, is_decided=is_decided)
    ways = ways_out(escrow, account, _MOMENT, _RATE)
    return {each.action: each.step.after.status for each in ways if each.step is not None}


def _sample(reason: HoldReason, left: Left, *, is_decided: bool) -> tuple[Escrow, Account]:
    amount, height = _OUTPUTS.get(left, (0, 0))
    outputs = (ReceivedOutput("tx", 0, "key", amount, height=height),) if amount else ()
    ledger = Ledger(_HEIGHT, 0, outputs)
    escrow = Escrow(
        EscrowId("esc_sample"),
        Status.HELD,
        version=1,
        terms=Terms(Network.REGTEST, _AMOUNT, refund_address="buyer", payout_address="vendor"),
        created_at=0,
        address="address",
        hold=Hold(reason, "", Status.PAYING if is_decided else Status.DELIVERED),
        order=PayoutOrder(PayoutKind.RELEASE, _AMOUNT, Who.BUYER, 1) if is_decided else None,
    )
    return replace(escrow, deposit=deposit_facts(escrow, ledger)), Account(ledger)


def _because(row: HeldRow) -> str:
    reasons = ", ".join(f"`{each}`" for each in row.reasons)
    return f"{reasons}, {'after' if row.is_decided else 'before'} a decision"


def _commands(row: HeldRow) -> str:
    by_status: dict[Status, list[str]] = {}
    for action, status in row.ways.items():
        by_status.setdefault(status, []).append(f"`{action}`")
    return "; ".join(f"{', '.join(actions)}: to `{status}`" for status, actions in by_status.items())
