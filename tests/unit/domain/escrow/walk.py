"""A walk over everything that an escrow can come to, breadth first, from its creation."""

import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

from escrowd.domain.escrow.assess import _changes
from escrowd.domain.escrow.events import Event
from escrowd.domain.escrow.facts import Escrow, Moment
from escrowd.domain.escrow.machine import InvalidShare, Step, _with_facts, create, step
from escrowd.domain.escrow.status import ENDED, Status, Who
from escrowd.domain.escrow.table import Row, rows_for
from tests.unit.domain.escrow.world import AMOUNT, DEPOSITS, HALF, ID, START, TERMS, tries

#: Enough to tell all rows apart: what was seen and confirmed, without late money or with such that can be spent.
COARSE = tuple(facts for facts in DEPOSITS if facts.late_seen == facts.late_spendable)

#: What two escrows have in common between which the table makes no difference.
Shape: TypeAlias = tuple[object, ...]


@dataclass(frozen=True)
class Walk:
    """All escrows that were come to, one of each shape, and all steps between them."""

    escrows: tuple[Escrow, ...]
    steps: tuple[Step, ...]

    def edges(self) -> Iterator[tuple[Shape, Shape]]:
        """Yield from which shape a step leads to which."""
        return ((shape(each.before), shape(each.after)) for each in self.steps if each.before is not None)


@cache
def whole_walk() -> Walk:
    """Try everything in every shape that is reached, until nothing new is."""
    first = create(ID, TERMS, Who.INTEGRATOR, START).after
    known = {shape(first): first}
    waiting = deque([first])
    steps: list[Step] = []
    while waiting:
        for taken in possible_steps(waiting.popleft()):
            steps.append(taken)
            if shape(taken.after) not in known:
                known[shape(taken.after)] = taken.after
                waiting.append(taken.after)
    return Walk(tuple(known.values()), tuple(steps))


def possible_steps(escrow: Escrow) -> Iterator[Step]:
    """Yield what every try leads to, whoever makes it."""
    for event, who in itertools.product([*tries(escrow), *news_of_the_chain(escrow)], Who):
        if not passing(escrow, event, who):
            continue  # refused moves are the matter of other tests
        try:
            yield step(escrow, event, who, Moment(START.utc, escrow.version))
        except InvalidShare:
            continue


def news_of_the_chain(escrow: Escrow) -> Iterator[Event]:
    """Yield what the assessment of a ledger may say first; what it says next is found from there."""
    # What is spent makes no difference to what else comes, so these need not be tried together.
    for facts in COARSE if not escrow.deposit.spent else ():
        if escrow.status in ENDED:
            facts = replace(escrow.deposit, late_seen=facts.late_seen, late_spendable=facts.late_spendable)
        elif escrow.status in (Status.PAYING, Status.HELD):
            facts = replace(facts, late_spendable=0)
        else:
            facts = replace(facts, late_seen=0, late_spendable=0)
        yield from _changes(escrow.deposit, facts)[:1]
    if escrow.status in ENDED and escrow.deposit.late_spendable:
        sent_back = replace(escrow.deposit, late_spent=escrow.deposit.late_spendable)
        yield from _changes(escrow.deposit, sent_back)
    if escrow.status not in ENDED and not escrow.deposit.late_seen:
        parts = (0, escrow.deposit.seen) if escrow.deposit.seen <= AMOUNT else (0, HALF, escrow.deposit.seen)
        for spent in parts:
            yield from _changes(escrow.deposit, replace(escrow.deposit, spent=spent))


def passing(escrow: Escrow, event: Event, who: Who) -> list[Row]:
    """Return the rows whose guards an event passes."""
    rows = tuple(rows_for(escrow.status, type(event), who))
    if not rows:
        return []
    noted = _with_facts(escrow, event)
    return [row for row in rows if row.provided(noted, event, who)]


def shape(escrow: Escrow) -> Shape:
    """Return what matters to the table: no counts that only grow, and nothing that an order says beside its kind."""
    return (
        escrow.status,
        escrow.deposit,
        escrow.deadline and escrow.deadline.name,
        escrow.proposal,
        escrow.order and escrow.order.kind,
        escrow.returns_to,
        min(2, escrow.reminders),
        escrow.hold and (escrow.hold.reason, escrow.hold.since),
        escrow.outside_spends,
    )
