"""What can become of deposits and payouts without the service: mined after all or in part, spent or double spent."""

from escrowd.domain.escrow.events import Resumed
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.machine import allowed_actions
from escrowd.domain.escrow.status import Status, Who
from escrowd.testing.simulation.nature import Payment
from escrowd.testing.simulation.people import draw_event
from escrowd.testing.simulation.transactions import OUTSIDE, SimulatedTransaction, key_image_of
from escrowd.testing.simulation.world import World


async def the_daemon_refuses_a_payout(world: World) -> None:
    """Drop a transaction of ours from the pool, which does not take its bytes again."""
    sent = [txid for txid in world.chain.pool if txid in world.log.txids]
    if sent:
        world.happens("payout refused")
        world.chain.refuse(world.chance.choice(sent))


async def a_refused_payout_is_decided_anew(world: World) -> None:
    """Let the daemon refuse a payout, and the operator decide otherwise; the old bytes may be mined after all."""
    chance = world.chance
    sent = [txid for txid in world.chain.pool if txid in world.log.txids]
    if not sent:
        return
    old = chance.choice(sent)
    world.chain.refuse(old)
    for _ in range(2):
        world.pass_time(30)
        world.watcher.look()
        await world.work()
    for escrow in world.escrows:
        offered = [each for each in ("release", "refund", "split") if each in allowed_actions(escrow, Who.OPERATOR)]
        if offered and escrow.status is Status.HELD:
            world.happens("decided anew")
            await world.command(escrow.id, Who.OPERATOR, draw_event(chance, escrow, chance.choice(offered)))
    await world.work()
    fate = chance.random()
    if fate < 0.4 and world.chain.can_be_mined(old):
        world.happens("old payout mined")
        world.chain.mine_instead(world.chain.known[old])
    elif fate < 0.8:
        world.mine(chance.choice((1, 12)))
        world.watcher.look()
        await world.work()
        await a_rival_payout_is_mined_instead(world)


async def the_daemon_takes_them_again(world: World) -> None:
    """Let the pool take whatever it refused."""
    world.chain.unwelcome.clear()


async def an_old_payout_is_mined(world: World) -> None:
    """Mine signed bytes that are not in the pool, whatever was decided since."""
    old = [each.txid for each in _unmined(world) if each.txid not in world.chain.pool]
    possible = [txid for txid in old if world.chain.can_be_mined(txid)]
    if possible:
        world.happens("old payout mined")
        world.chain.mine_instead(world.chain.known[world.chance.choice(possible)])
        world.mine(world.chance.choice((0, 3, 12)))


async def a_rival_payout_is_mined_instead(world: World) -> None:
    """Replace the blocks since a payout by others, which hold an older one that spends the same."""
    chain = world.chain
    rivals = {
        each.txid: {chain.spent_by.get(image, "") for image in each.key_images} - {""} for each in _unmined(world)
    }
    beaten = [txid for txid, others in rivals.items() if others]
    if not beaten:
        return
    txid = world.chance.choice(beaten)
    depth = chain.height - min(chain.height_of[each] for each in rivals[txid])
    chain.reorganise(depth, rivals[txid], blocks=0)
    chain.mine()
    if chain.can_be_mined(txid):
        world.happens("rival mined instead")
        chain.mine_instead(chain.known[txid])
    chain.mine(depth)


def parts_in_pool(world: World) -> list[list[str]]:
    """Return the transactions of each payout that has several of them in the pool."""
    pool = world.chain.pool
    here = ([each.txid for each in made.signed if each.txid in pool] for made in world.log.sets.values())
    return [each for each in here if len(each) > 1] if len(pool) > 1 else []


async def a_part_of_a_payout_is_mined(world: World) -> None:
    """Mine one transaction of a payout of several alone; another one may never be mined any more."""
    chance, chain = world.chance, world.chain
    parts = parts_in_pool(world)
    if not parts:
        return
    mined, other = chance.sample(chance.choice(parts), 2)
    world.happens("part of a payout mined")
    chain.mine(leave_out=[txid for txid in chain.pool if txid != mined])
    fate = chance.random()
    if fate < 0.4:
        _spend_outside_what(world, chain.known[other])
    elif fate < 0.7:
        deposits = [txid for txid in chain.known[other].sources if _is_mined_from_outside(world, txid)]
        if deposits:
            double_spend(world, chance.choice(deposits))
    elif fate < 0.9:
        chain.refuse(other)


async def a_deposit_is_double_spent(world: World) -> None:
    """Replace the blocks since a deposit by others without it and what spends it; the buyer may pay again."""
    chance, chain = world.chance, world.chain
    deposits = [
        (escrow, each.transaction.txid)
        for escrow in world.escrows
        for each in chain.mined_of(escrow.id)
        if is_from_outside(world, each.transaction.txid) and not each.transaction.is_coinbase
    ]
    if not deposits:
        return
    escrow, txid = chance.choice(deposits)
    world.happens("deposit double spent")
    double_spend(world, txid)
    if chance.random() < 0.7:
        pay_again(world, escrow)


async def an_outside_spend_goes_and_comes(world: World) -> None:
    """Take a spend of two parties out of the chain; the operator goes on, and it is mined again or is not."""
    chain, chance = world.chain, world.chance
    foreign = [
        (txid, escrow)
        for escrow in world.escrows
        for each in chain.mined_of(escrow.id)
        if (txid := chain.spent_by.get(key_image_of(each.output.key), "")) and txid not in world.log.txids
    ]
    if not foreign:
        return
    txid, escrow = chance.choice(foreign)
    world.happens("outside spend gone")
    depth = chain.height - chain.height_of[txid]
    chain.reorganise(depth, set())
    world.watcher.look()
    await world.work()
    if "resume" in allowed_actions(world.memory.tables.escrows[escrow.id], Who.OPERATOR):
        await world.command(escrow.id, Who.OPERATOR, Resumed())
    world.mine(chance.choice((0, 1, 12)), frozenset({txid}))
    world.watcher.look()
    await world.work()
    if chance.random() < 0.7:
        world.mine(chance.choice((1, 12)))


async def two_parties_spend_outside(world: World) -> None:
    """Let two of the three spend a part of an escrow's money, or all of it, without the service."""
    funded = [each for each in world.escrows if any(world.chain.mined_of(each.id))]
    if not funded:
        return
    chance = world.chance
    is_all, is_mined = chance.random() < 0.3, chance.random() < 0.4
    if world.nature.spend_outside(chance.choice(funded).id, is_all=is_all, is_mined=is_mined):
        world.happens("spent outside")


def double_spend(world: World, txid: str) -> None:
    """Replace the blocks since a payment from outside, and mine another spend of the payer's money in its place."""
    chain = world.chain
    depth = chain.height - chain.height_of[txid]
    chain.reorganise(depth, {txid}, blocks=0)
    world.nature.replace_by_rival(txid)
    chain.mine(depth)
    chain.forget_invalid()


def pay_again(world: World, escrow: Escrow) -> None:
    """Let the buyer pay the amount once more."""
    world.nature.pay(escrow.id, escrow.address or "", escrow.terms, Payment.EXACT)
    world.mine(world.chance.choice((0, 1, 12)))


def is_from_outside(world: World, txid: str) -> bool:
    """Return whether a transaction is a payment from outside to an escrow."""
    return txid not in world.log.txids and OUTSIDE not in world.chain.known[txid].outputs[0].wallet


# ---------------------------------------------------------------------------------------------------------------------


def _unmined(world: World) -> list[SimulatedTransaction]:
    """Return what we have sent at any time, and is in no block."""
    known, mined = world.chain.known, world.chain.height_of
    return [known[txid] for txid in world.log.txids if txid in known and txid not in mined]


def _is_mined_from_outside(world: World, txid: str) -> bool:
    return txid in world.chain.height_of and is_from_outside(world, txid)


def _spend_outside_what(world: World, transaction: SimulatedTransaction) -> None:
    """Mine a transaction of two parties that spends an input of this one."""
    image = world.chance.choice(transaction.key_images)
    rival = SimulatedTransaction(
        world.chain.unique("transaction"), (image,), (world.nature.elsewhere(1),), fee=0, sources=transaction.sources
    )
    world.happens("spent outside")
    world.chain.mine_instead(rival)
