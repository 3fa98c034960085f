"""The laws of money, asked of a world from outside: its chain, its log and what its people said."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from escrowd.domain.escrow.events import (
    Divided,
    PayoutReinstated,
    Refunded,
    Released,
    Resumed,
    Ruled,
    Settled,
    SplitAccepted,
    SplitProposed,
)
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.history import broken_links
from escrowd.domain.escrow.status import ENDED, DeadlineName, Status, Who
from escrowd.domain.escrow.terms import LEAST_RETURN
from escrowd.domain.payouts.records import AttemptStep, Payout, PayoutKind
from escrowd.monero.results_signing import Priority
from escrowd.service.ports import LogEntry
from escrowd.testing.simulation.spending import rate
from escrowd.testing.simulation.transactions import SimulatedTransaction
from escrowd.testing.simulation.world import Violation, World


def check_always(world: World) -> None:
    """Check what must hold after every event.

    Raises:
        Violation: it does not.

    """
    if world.log.reuses:
        raise Violation(f"a nonce was used twice: {world.log.reuses}")
    if world.broken_laws:
        raise Violation(world.broken_laws[0])
    for transaction in _ours(world):
        _check_is_stored(world, transaction)
    for escrow in world.escrows:
        _check_one_attempt(world, escrow)
        _check_words(world, escrow)


# --- one payout ------------------------------------------------------------------------------------------------------


def _ours(world: World) -> Iterator[SimulatedTransaction]:
    """Yield the transactions of pool and chain that were signed by two of our wallets."""
    return (world.chain.known[txid] for txid in world.log.txids if _is_there(world, txid))


def _is_there(world: World, txid: str) -> bool:
    return txid in world.chain.height_of or txid in world.chain.pool


def _check_is_stored(world: World, transaction: SimulatedTransaction) -> None:
    """Nothing is sent that is not in the database, signed."""
    for attempt in world.memory.tables.attempts.values():
        if any(each.txid == transaction.txid for each in attempt.transactions) and attempt.step in SIGNED:
            return
    raise Violation(f"transaction {transaction.txid} was sent, and no attempt with it is stored as signed")


def _check_one_attempt(world: World, escrow: Escrow) -> None:
    """Check that of all attempts at a payout one at most is in the chain; payouts are checked when they are signed."""
    tables = world.memory.tables
    for payout in tables.payouts.values():
        if payout.escrow != escrow.id:
            continue
        attempts = [each for each in tables.attempts.values() if each.payout == payout.id]
        done = [each.number for each in attempts if any(_is_mined(world, one.txid) for one in each.transactions)]
        if len(done) > 1:
            raise Violation(f"attempts {done} at payout {payout.id} are both in the chain")


# --- whose word it was -----------------------------------------------------------------------------------------------


def _check_words(world: World, escrow: Escrow) -> None:
    """Whoever decided on the money had the right to, said so, and is on record with it."""
    log = world.memory.tables.log[escrow.id]
    checked = world.checked.get(escrow.id, 0)
    if checked == len(log):
        return
    world.checked[escrow.id] = len(log)
    entries = [_Entry(each) for each in log]
    for entry in entries[checked:]:
        if entry.event == PayoutReinstated.__name__:
            _check_reinstated(world, escrow, entry)
        elif entry.goes_to == Status.PAYING and entry.comes_from in DECIDING:
            _check_decision(world, escrow, entries, entry)
        elif entry.event == Settled.__name__:
            _check_said(world, escrow, entry)


class _Entry:
    """One log entry, read."""

    def __init__(self, entry: LogEntry) -> None:
        data = msgspec.json.decode(entry.data)
        self.version = entry.version
        self.who = Who(entry.who)
        self.event: str = data["event"]
        self.comes_from: str | None = data["status_before"]
        self.goes_to: str = data["status"]
        self.said: dict[str, object] = data["details"]


#: From where a decision leads to a payout. From an end it is only thrown back there.
DECIDING: Final = (Status.FUNDED, Status.DELIVERED, Status.DISPUTED, Status.HELD)

#: Who may decide what, from where.
_RIGHTS: Final = {
    Released.__name__: {
        Who.BUYER: {Status.FUNDED, Status.DELIVERED, Status.DISPUTED},
        Who.OPERATOR: {Status.HELD},
    },
    Refunded.__name__: {
        Who.VENDOR: {Status.FUNDED, Status.DELIVERED, Status.DISPUTED},
        Who.OPERATOR: {Status.HELD},
    },
    Ruled.__name__: {Who.ARBITER: {Status.DISPUTED}, Who.OPERATOR: {Status.DISPUTED}},
    Resumed.__name__: {Who.OPERATOR: {Status.HELD}},
    Divided.__name__: {Who.OPERATOR: {Status.HELD}},
    Settled.__name__: {Who.OPERATOR: {Status.HELD}},
}


def _check_decision(world: World, escrow: Escrow, entries: list[_Entry], entry: _Entry) -> None:
    if entry.event == "DeadlineReached":
        _check_deadline(escrow, entry)
        return
    if entry.event == SplitAccepted.__name__:
        _check_split(escrow, entries, entry)
    _check_said(world, escrow, entry)


def _check_said(world: World, escrow: Escrow, entry: _Entry) -> None:
    if not any(each.escrow == escrow.id and each.version == entry.version for each in world.commands):
        raise Violation(f"{escrow.id} has a decision {entry.event} of {entry.who} that no actor took")
    if entry.event != SplitAccepted.__name__ and entry.comes_from not in _RIGHTS.get(entry.event, {}).get(
        entry.who, set()
    ):
        raise Violation(f"{entry.who} may not decide {entry.event} while {escrow.id} is {entry.comes_from}")


def _check_reinstated(world: World, escrow: Escrow, entry: _Entry) -> None:
    """Check that what takes the place of a later decision is in a block, or was when the watcher looked last."""
    spends = {each.txid for each in world.memory.tables.spends.get(escrow.id, ()) if each.height is not None}
    payout = world.memory.tables.payouts[str(entry.said["payout"])]
    if not any(one.txid in spends or _is_mined(world, one.txid) for one in payout.transactions):
        raise Violation(f"{payout.id} of {escrow.id} counts again, and no block has it")


def _check_deadline(escrow: Escrow, entry: _Entry) -> None:
    expected = {Status.FUNDED: DeadlineName.DELIVERY, Status.DELIVERED: DeadlineName.INSPECTION}
    if entry.who is not Who.CLOCK or entry.said["name"] != expected.get(Status(entry.comes_from or "")):
        raise Violation(f"{escrow.id} is paid out by a deadline that is none of {entry.comes_from}")


def _check_split(escrow: Escrow, entries: list[_Entry], accepted: _Entry) -> None:
    offers = [each for each in entries if each.event == SplitProposed.__name__ and each.version < accepted.version]
    other = {Who.BUYER: Who.VENDOR, Who.VENDOR: Who.BUYER}.get(accepted.who)
    if not offers or offers[-1].who is not other or offers[-1].said != accepted.said:
        raise Violation(f"{escrow.id} is split as nobody offered it to the {accepted.who}")


# --- where the money went --------------------------------------------------------------------------------------------


def check_money(world: World) -> None:
    """Check at the end of a world that every piconero is where it has to be. Raises Violation."""
    for escrow in world.escrows:
        if broken := broken_links(world.memory.tables.log[escrow.id]):
            raise Violation(f"the log of {escrow.id} is broken at {broken}")
        _check_conservation(world, escrow)
        _check_receivers(world, escrow)
        _check_late_money(world, escrow)
        _check_end(world, escrow)


def _check_conservation(world: World, escrow: Escrow) -> None:
    """Whatever is spent in the chain is what was paid and what miners got, to the piconero, and was deposited once."""
    deposited: dict[str, set[int]] = {}
    for each in world.chain.mined_of(escrow.id):
        deposited.setdefault(each.output.key, set()).add(each.output.amount)
    for transaction in _payments(world, escrow):
        proposed = world.log.proposed(transaction.txid)
        # Of several outputs with the same key one can be spent, so its amount is one of theirs.
        if any(each.amount not in deposited.get(each.key, ()) for each in proposed.inputs):
            raise Violation(f"{escrow.id} spends what was never deposited")
        paid = sum(each.amount for each in transaction.outputs)
        if proposed.amount_in != paid + transaction.fee:
            raise Violation(f"{escrow.id} spends {proposed.amount_in}, pays {paid}, and {transaction.fee} go to miners")


def _check_receivers(world: World, escrow: Escrow) -> None:
    """Each side got what the decision says, less fees; and nobody else got anything."""
    terms = escrow.terms
    got: dict[str, int] = {}
    fees = 0
    for transaction in _payments(world, escrow):
        # The vendor bears its part of the fee that is expected, and the buyer what that is off by.
        inputs, receivers = len(transaction.key_images), len(transaction.outputs)
        fees += max(transaction.fee, rate(Priority.NORMAL).estimate(inputs, max(2, receivers)))
        for output in transaction.outputs:
            got[output.address] = got.get(output.address, 0) + output.amount
    strangers = set(got) - {terms.refund_address, terms.payout_address, escrow.address}
    if terms.fee is not None:
        strangers.discard(terms.fee.address)
    if strangers:
        raise Violation(f"{escrow.id} paid to {sorted(strangers)}")
    vendor = got.get(terms.payout_address, 0) + (got.get(terms.fee.address, 0) if terms.fee is not None else 0)
    change = got.get(escrow.address or "", 0)
    paid = [each for each in _ordered(world, escrow) if any(_is_mined(world, one.txid) for one in each.transactions)]
    share = sum(each.vendor_share for each in paid if each.kind is not PayoutKind.REFUND)
    # Pieces of a deposit that are worth less than their own fee stay behind.
    dust = min(sum(each.residue for each in paid), 2 * rate(2).dust() * len(list(world.chain.mined_of(escrow.id))))
    least = 0 if any(_is_in_part(world, each) for each in paid) else max(0, share - fees - change - dust)
    # Too little excess to go back to the buyer goes to the vendor.
    if not least <= vendor <= share + LEAST_RETURN * bool(share):
        raise Violation(f"{escrow.id}: the vendor's side got {vendor} of a share of {share}, with fees of {fees}")


def _check_end(world: World, escrow: Escrow) -> None:
    """Check that an escrow ended with a payout by the decision of one in the chain, and that any other has none."""
    mined = {
        each.kind for each in _ordered(world, escrow) if any(_is_mined(world, one.txid) for one in each.transactions)
    }
    kind = _KIND_OF_END.get(escrow.status)
    if kind is not None and (escrow.order is None or escrow.order.kind is not kind or kind not in mined):
        raise Violation(f"{escrow.id} is {escrow.status} with the order {escrow.order}, and {sorted(mined)} are mined")
    if escrow.status in (Status.EXPIRED, Status.CANCELLED) and mined:
        raise Violation(f"{escrow.id} is {escrow.status}, and {sorted(mined)} are mined")


_KIND_OF_END: Final = {
    Status.COMPLETED: PayoutKind.RELEASE,
    Status.REFUNDED: PayoutKind.REFUND,
    Status.SPLIT: PayoutKind.SPLIT,
}


def _check_late_money(world: World, escrow: Escrow) -> None:
    """Check that what is told as late was paid by somebody outside, and is not what the payout spent."""
    spent = {
        each.key
        for payout in _ordered(world, escrow)
        for one in payout.transactions
        if _is_mined(world, one.txid)
        for each in world.log.proposed(one.txid).inputs
    }
    paid: dict[str, int] = {}
    for output in world.chain.ever_sent_to(escrow.id, world.log.txids):
        if output.key not in spent:
            paid[output.key] = max(output.amount, paid.get(output.key, 0))
    if escrow.status in ENDED and escrow.deposit.late_seen > sum(paid.values()):
        raise Violation(f"{escrow.id} tells {escrow.deposit.late_seen} as late, and {sum(paid.values())} were paid")


def _is_in_part(world: World, payout: Payout) -> bool:
    """Return whether some transactions of a payout are in the chain, and others are not."""
    return len({_is_mined(world, each.txid) for each in payout.transactions}) > 1


def _payments(world: World, escrow: Escrow) -> Iterable[SimulatedTransaction]:
    """Return our mined transactions that spend outputs of an escrow."""
    return [
        world.chain.known[txid]
        for txid, made in world.log.txids.items()
        if made.wallet == escrow.id and txid in world.chain.height_of
    ]


def _ordered(world: World, escrow: Escrow) -> list[Payout]:
    payouts = world.memory.tables.payouts.values()
    return [each for each in payouts if each.escrow == escrow.id and each.kind is not PayoutKind.RETURN]


def _is_mined(world: World, txid: str) -> bool:
    return txid in world.chain.height_of


# ---------------------------------------------------------------------------------------------------------------------

#: Attempts that gave signed bytes away.
SIGNED: Final = (AttemptStep.SIGNED, AttemptStep.SUBMITTED)
