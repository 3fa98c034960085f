"""What follows when nothing goes wrong any more: every escrow comes to its end, and all money to where it belongs."""

from collections import Counter
from typing import Final

from escrowd.domain.escrow.events import Divided, Event, Refunded, Released, Resumed, Ruled, Settled
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import allowed_actions
from escrowd.domain.escrow.status import ENDED, Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.payouts.records import Payout, PayoutStatus
from escrowd.testing.simulation.checks import SIGNED, check_always
from escrowd.testing.simulation.spending import rate
from escrowd.testing.simulation.transactions import MinedOutput, key_image_of
from escrowd.testing.simulation.watcher import is_looked_for
from escrowd.testing.simulation.world import Violation, World

#: Rounds of blocks, time and work within which every escrow has to come to its end.
ROUNDS: Final = 40
#: Blocks and seconds of one round.
BLOCKS: Final = 6
SECONDS: Final = 2_000
#: How often the operator finds nothing wrong with an escrow that is held, before deciding on the money.
RESUMES: Final = 3


async def heal(world: World) -> None:
    """Let nothing go wrong any more, and wait until every escrow has come to its end.

    Raises:
        Violation: one does not, or money that could be sent stayed behind.

    """
    await world.thaw()
    world.faults.disarm()
    world.faults.daemon_is_down = False
    world.faults.hostility = None
    world.watcher.blind_to.clear()
    world.watcher.phantoms.clear()
    if world.chance.random() < 0.5:
        world.chain.unwelcome.clear()
    world.restart()
    resumed: Counter[EscrowId] = Counter()
    for _ in range(ROUNDS):
        world.chain.forget_invalid()
        world.mine(BLOCKS)
        world.pass_time(SECONDS)
        world.watcher.look(everywhere=True)
        await world.work()
        for escrow in world.escrows:
            await _operator_helps(world, escrow, resumed)
        await world.work()
        check_always(world)
        if not any(why_not_over(world, each) for each in world.escrows):
            return
    stuck = [
        f"{each.id} is {each.status}: {why} ({world.last_error.get(each.id, 'no error')})"
        for each in world.escrows
        if (why := why_not_over(world, each))
    ]
    raise Violation("; ".join(stuck))


def why_not_over(world: World, escrow: Escrow) -> str:
    """Say what is still to be done for an escrow; an empty text for nothing."""
    tables = world.memory.tables
    payouts = [each for each in tables.payouts.values() if each.escrow == escrow.id]
    if not world.house.can_sign(escrow.id):
        # Of an escrow with one key left only what is signed can be paid out.
        unsent = [txid for payout in payouts for txid in _unsent(world, payout)]
        return f"{unsent} is signed and not sent" if unsent else ""
    if escrow.status not in ENDED:
        why = f" for {escrow.hold}, {escrow.deposit.unspent} left" if escrow.hold is not None else ""
        return f"no end within {ROUNDS} rounds{why}"
    if effects := tables.effects.get(escrow.id):
        return f"{[each.effect for each in effects]} is not done"
    if open_payouts := [each.id for each in payouts if each.status.is_open]:
        return f"{open_payouts} is open"
    if wrong := [each.id for each in payouts if _is_booked_wrong(world, each)]:
        return f"{wrong} is not booked as blocks have it"
    amounts = [each.output.amount for each in left_behind(world, escrow)]
    return f"{amounts} could be sent and was not" if amounts else ""


def left_behind(world: World, escrow: Escrow) -> list[MinedOutput]:
    """Return what can be spent now, is worth its fee, and is still there.

    What went to an address that nobody was given, and that no watcher looks for, comes to light only when a wallet is
    asked for another reason.
    """
    sums: dict[int, list[MinedOutput]] = {}
    best: dict[str, MinedOutput] = {}
    for each in world.chain.mined_of(escrow.id):
        image = key_image_of(each.output.key)
        rival = best.get(image)
        if world.chain.spender_of(image) is None and (rival is None or rival.output.amount < each.output.amount):
            best[image] = each
    for each in best.values():
        is_worth_it = each.output.amount > WORTH_SENDING and is_looked_for(each.output)
        if is_worth_it and each.is_unlocked(world.chain.height, world.now // 1000):
            sums.setdefault(each.output.account, []).append(each)
    return [each for outputs in sums.values() for each in outputs]


# ---------------------------------------------------------------------------------------------------------------------

#: Above this an output brings more than it costs in any case, in piconero.
WORTH_SENDING: Final = 2 * rate(2).estimate(1, 2)


async def _operator_helps(world: World, escrow: Escrow, resumed: Counter[EscrowId]) -> None:
    """Do what a patient operator does: look after what is held, and rule where the arbiter does not."""
    offered = allowed_actions(escrow, Who.OPERATOR)
    if escrow.status is Status.DISPUTED and "rule" in offered:
        await world.command(escrow.id, Who.OPERATOR, Ruled(escrow.divisible // 2))
    if escrow.has_ended and "resume" in offered:
        # Late money is there, and was not sent back.
        await world.command(escrow.id, Who.OPERATOR, Resumed())
    if escrow.status is not Status.HELD:
        return
    if "resume" in offered and resumed[escrow.id] < RESUMES:
        resumed[escrow.id] += 1
        await world.command(escrow.id, Who.OPERATOR, Resumed())
        return
    decisions: dict[str, Event] = {
        "release": Released(),
        "refund": Refunded(),
        "split": Divided(escrow.divisible // 2),
    }
    for action in (*world.chance.sample(tuple(decisions), len(decisions)), "settle"):
        event = decisions.get(action, Settled("nothing is left"))
        # What is left and not worth its fee is known to the service alone, which judges the command.
        if (action in offered or action == "settle") and await world.command(escrow.id, Who.OPERATOR, event):
            return


def _is_booked_wrong(world: World, payout: Payout) -> bool:
    """Return whether a payout is recorded as paid and in no block, or as given up and in one."""
    is_mined = any(each.txid in world.chain.height_of for each in payout.transactions)
    return payout.status is (PayoutStatus.ABANDONED if is_mined else PayoutStatus.CONFIRMED)


def _unsent(world: World, payout: Payout) -> list[str]:
    """Return the transactions of a payout under way that are signed, could be mined, and are not."""
    attempts = world.memory.tables.attempts.values()
    stored = [
        one.txid for each in attempts if each.payout == payout.id and each.step in SIGNED for one in each.transactions
    ]
    chain = world.chain
    return [
        txid
        for txid in stored
        if payout.status.is_open
        and txid not in chain.height_of
        and txid not in chain.unwelcome
        and (txid not in chain.known or chain.can_be_mined(txid))
    ]
