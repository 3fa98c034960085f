"""What follows when nothing goes wrong any more: every escrow comes to its end, and all money to where it belongs."""

from typing import Final

from escrowd.domain.escrow.events import Refunded, Resumed, Ruled
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import allowed_actions
from escrowd.domain.escrow.status import ENDED, Status, Who
from escrowd.domain.identifiers import EscrowId
from escrowd.testing.simulation.checks import EXCUSES, check_always, is_torn
from escrowd.testing.simulation.spending import rate
from escrowd.testing.simulation.transactions import MinedOutput, key_image_of
from escrowd.testing.simulation.watcher import is_looked_for
from escrowd.testing.simulation.world import Violation, World

#: Rounds of blocks, time and work within which every escrow has to come to its end.
ROUNDS: Final = 40
#: Blocks and seconds of one round.
BLOCKS: Final = 6
SECONDS: Final = 2_000
#: How often the operator finds nothing wrong with an escrow that is held, before the money goes back.
RESUMES: Final = 2


async def heal(world: World) -> None:
    """Let nothing go wrong any more, and wait until every escrow has come to its end.

    Raises:
        Violation: one does not, or is held without a reason, or money that could be sent stayed behind.

    """
    await world.thaw()
    world.faults.disarm()
    world.faults.daemon_is_down = False
    world.faults.hostility = None
    world.watcher.blind_to.clear()
    world.watcher.phantoms.clear()
    world.restart()
    resumed: dict[EscrowId, int] = {}
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
        if all(_is_over(world, each, resumed) for each in world.escrows):
            return
    stuck = [
        f"{each.id} is {each.status}: {why} ({world.last_error.get(each.id, 'no error')})"
        for each in world.escrows
        if (why := why_not_over(world, each))
    ]
    raise Violation("; ".join(stuck) or "escrows are held, and the operator could do nothing")


def check_excuses(world: World) -> None:
    """Check that whatever is held is held for something that the world did. Raises Violation."""
    for escrow in world.escrows:
        if escrow.hold is not None and not EXCUSES[escrow.hold.reason] & world.excuses_of(escrow.id):
            raise Violation(f"{escrow.id} is held for no reason: {escrow.hold}")


def why_not_over(world: World, escrow: Escrow) -> str:
    """Say what is still to be done for an escrow; an empty text for nothing."""
    tables = world.memory.tables
    payouts = [each for each in tables.payouts.values() if each.escrow == escrow.id]
    if any(is_torn(world, each) for each in payouts):
        return ""
    if escrow.status not in ENDED and escrow.status is not Status.HELD:
        return f"no end within {ROUNDS} rounds"
    if effects := tables.effects.get(escrow.id):
        return f"{[each.effect for each in effects]} is not done"
    open_payouts = [each.id for each in payouts if each.status.is_open]
    if open_payouts and escrow.status is not Status.HELD:
        return f"{open_payouts} is open"
    if escrow.status in ENDED and any('"PayoutFailed"' in each.data for each in tables.log[escrow.id]):
        # The operator was told that late money cannot be sent back, and sees to it.
        return ""
    left = left_behind(world, escrow) if escrow.status in ENDED else []
    amounts = [each.output.amount for each in left]
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


async def _operator_helps(world: World, escrow: Escrow, resumed: dict[EscrowId, int]) -> None:
    """Do what a patient operator does: look after what is held, and rule where the arbiter does not."""
    if escrow.status is Status.DISPUTED and "rule" in allowed_actions(escrow, Who.OPERATOR):
        await world.command(escrow.id, Who.OPERATOR, Ruled(escrow.divisible // 2))
    if escrow.status is not Status.HELD:
        return
    times = resumed.get(escrow.id, 0)
    resumed[escrow.id] = times + 1
    if times < RESUMES:
        await world.command(escrow.id, Who.OPERATOR, Resumed())
    elif times < 2 * RESUMES and "refund" in allowed_actions(escrow, Who.OPERATOR):
        await world.command(escrow.id, Who.OPERATOR, Refunded())


def _is_over(world: World, escrow: Escrow, resumed: dict[EscrowId, int]) -> bool:
    if escrow.status is Status.HELD:
        return resumed.get(escrow.id, 0) > 2 * RESUMES
    return not why_not_over(world, escrow)
