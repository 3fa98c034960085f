"""Everything that is shown of escrows, with one question to the database, however many they are.

An escrow is looked at far more often than it changes, and each question costs more than what it fetches.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Select,
    Text,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    union_all,
)

from escrowd.domain.escrow.assess import Account, Ledger, Overview
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.outputs import ReceivedOutput, Spend
from escrowd.domain.payouts.books import paid_out_keys, planned_keys
from escrowd.domain.payouts.records import Attempt, Payout
from escrowd.store import schema
from escrowd.store.coding import decoded, encoded
from escrowd.store.ledgers import COMMON, SIGNED
from escrowd.store.prepared import Prepared, Runs
from escrowd.store.session import NOW


class OverviewTable:
    """Escrows as they are shown, of one transaction, or of the moment of the question where it is asked outside."""

    def __init__(self, session: Runs) -> None:
        self._session = session

    async def of(self, escrows: Sequence[EscrowId]) -> Overview:
        """Return these escrows with their money, and the moment. Those that do not exist are left out."""
        # SQLite knows no lists, but reads JSON.
        wanted = encoded(list(escrows)) if self._session.dialect == "sqlite" else list(escrows)
        return _overview((await self._session.run(_QUESTION, escrows=wanted)).rows)


# ---------------------------------------------------------------------------------------------------------------------

_ESCROW, _OUTPUT, _LOST, _PAYOUT, _ATTEMPT, _SPEND, _KEY_IMAGE, _TIP, _CLOCK = (
    "escrow",
    "output",
    "lost",
    "payout",
    "attempt",
    "spend",
    "key_image",
    "tip",
    "clock",
)
_NOBODYS: Final = literal_column("''", Text)


def _question(dialect: str) -> CompoundSelect[Any]:
    escrows, outputs, lost = schema.escrows, schema.outputs, schema.lost_outputs
    payouts, attempts = schema.payouts, schema.attempts
    spends, images = schema.spends, schema.key_images
    wanted = partial(_wanted, dialect)
    return union_all(
        _part(_ESCROW, escrows.c.id, escrows.c.version, escrows.c.body).where(wanted(escrows.c.id)),
        _part(_OUTPUT, outputs.c.escrow, null(), outputs.c.body).where(wanted(outputs.c.escrow)),
        _part(_LOST, lost.c.escrow, lost.c.lost_at, lost.c.body).where(
            wanted(lost.c.escrow), lost.c.lost_at.is_not(None)
        ),
        _part(_PAYOUT, payouts.c.escrow, payouts.c.number, payouts.c.body).where(wanted(payouts.c.escrow)),
        _part(_ATTEMPT, payouts.c.escrow, null(), attempts.c.body)
        .join_from(payouts, attempts, attempts.c.payout == payouts.c.id)
        .where(wanted(payouts.c.escrow), attempts.c.step.in_([literal_column(f"'{each}'", Text) for each in SIGNED])),
        _part(
            _SPEND, spends.c.escrow, spends.c.height, spends.c.key_image + literal_column("' '", Text) + spends.c.txid
        ).where(wanted(spends.c.escrow)),
        _part(
            _KEY_IMAGE, images.c.escrow, null(), images.c.key + literal_column("' '", Text) + images.c.key_image
        ).where(wanted(images.c.escrow)),
        _part(_TIP, _NOBODYS, schema.cursors.c.height, cast(schema.cursors.c.time, Text)).where(
            schema.cursors.c.lane == literal_column(f"'{COMMON}'", Text)
        ),
        _part(
            _CLOCK,
            _NOBODYS,
            select(schema.service_clock.c.running).scalar_subquery(),
            cast(literal_column(f"({NOW[dialect]})"), Text),
        ),
    )


def _wanted(dialect: str, column: ColumnElement[str]) -> ColumnElement[bool]:
    """Say that a column names one of the escrows that are asked for."""
    if dialect == "sqlite":
        given = func.json_each(bindparam("escrows", type_=Text)).table_valued("value")
        return column.in_(select(given.c.value))
    # Not a list of rows: PostgreSQL takes that for a long one, and reads the whole tables.
    return column == any_(bindparam("escrows", type_=ARRAY(Text)))


_QUESTION: Final = Prepared(_question)


def _part(kind: str, escrow: Any, number: Any, body: Any) -> Select[Any]:
    return select(
        literal_column(f"'{kind}'", Text).label("kind"),
        escrow.label("escrow"),
        cast(number, BigInteger),
        body.label("body"),
    )


@dataclass(slots=True)
class _Found:
    """What the rows say of one escrow."""

    escrow: Escrow | None = None
    outputs: list[ReceivedOutput] = field(default_factory=list)
    #: Each with the time at which it was lost.
    lost: list[tuple[int, ReceivedOutput]] = field(default_factory=list)
    payouts: list[tuple[int, Payout]] = field(default_factory=list)
    spends: list[Spend] = field(default_factory=list)
    txids: set[str] = field(default_factory=set)
    key_images: dict[str, str] = field(default_factory=dict)


def _overview(rows: Iterable[Any]) -> Overview:
    found = defaultdict[str, _Found](_Found)
    tip, moment = (0, 0), Moment(0, 0)
    for kind, escrow, number, body in rows:
        if kind == _TIP:
            tip = (number, int(body))
        elif kind == _CLOCK:
            moment = Moment(int(body), number or 0)
        else:
            _take(found[escrow], kind, number, body)
    accounts = {each.escrow.id: (each.escrow, _account(each, tip)) for each in found.values() if each.escrow}
    return Overview(moment, accounts)


def _take(found: _Found, kind: str, number: int | None, body: str) -> None:
    if kind == _ESCROW:
        found.escrow = decoded(body, Escrow)
    elif kind == _OUTPUT:
        found.outputs.append(decoded(body, ReceivedOutput))
    elif kind == _LOST:
        found.lost.append((number or 0, decoded(body, ReceivedOutput)))
    elif kind == _PAYOUT:
        found.payouts.append((number or 0, decoded(body, Payout)))
    elif kind == _ATTEMPT:
        found.txids.update(one.txid for one in decoded(body, Attempt).transactions)
    elif kind == _KEY_IMAGE:
        key, _, image = body.partition(" ")
        found.key_images[key] = image
    else:
        key_image, _, txid = body.partition(" ")
        found.spends.append(Spend(key_image, txid, number))


def _account(found: _Found, tip: tuple[int, int]) -> Account:
    payouts = tuple(payout for _, payout in sorted(found.payouts, key=lambda each: each[0]))
    outputs = tuple(sorted(found.outputs, key=_place))
    spends = tuple(sorted(found.spends, key=lambda each: (each.key_image, each.txid)))
    ledger = Ledger(
        chain_height=tip[0],
        chain_time=tip[1],
        outputs=outputs,
        spends=spends,
        our_txids=frozenset(found.txids),
        key_images=found.key_images,
        planned=planned_keys(payouts, outputs, spends),
        paid_out=paid_out_keys(payouts, spends, found.key_images),
        lost=tuple(each for _, each in sorted(found.lost, key=_loss)),
    )
    return Account(ledger, payouts)


def _loss(lost: tuple[int, ReceivedOutput]) -> tuple[int, str, str, int]:
    """Return where a lost output stands in the order of losses, the latest last."""
    return lost[0], lost[1].txid, lost[1].key, lost[1].index


def _place(output: ReceivedOutput) -> tuple[bool, int, str, int]:
    """Return where an output stands in the order of the chain, the pool last."""
    return output.height is None, output.height or 0, output.txid, output.index
