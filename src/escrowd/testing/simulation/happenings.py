"""What can happen in a world: each is drawn, and lets something happen once."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.status import ENDED
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.testing.simulation.chain import FIRST_HEIGHT
from escrowd.testing.simulation.faults import Hostility
from escrowd.testing.simulation.people import draw_allowed, draw_illegal
from escrowd.testing.simulation.reversals import is_from_outside, two_parties_spend_outside
from escrowd.testing.simulation.world import Temper, World

Happening: TypeAlias = Callable[[World], Awaitable[None]]

#: Escrows of one world.
MOST_ESCROWS: Final = 3
#: Blocks of the deepest reorganisation that is aimed at a transaction, most of the time.
DEEPEST: Final = 30


# --- people ----------------------------------------------------------------------------------------------------------


async def somebody_begins(world: World) -> None:
    """Let somebody make an escrow."""
    if len(world.escrows) < MOST_ESCROWS:
        await world.create()


async def somebody_pays(world: World) -> None:
    """Let somebody pay to an address, in time or not."""
    payable = [each for each in world.escrows if each.address is not None]
    if not payable:
        return
    escrow = world.chance.choice(payable)
    how = world.nature.draw_payment()
    world.happens(f"pays {how}")
    txid = world.nature.pay(escrow.id, escrow.address or "", escrow.terms, how)
    if world.temper is Temper.LYING and world.chance.random() < 0.3:
        world.watcher.blind_to.add(txid)


async def somebody_speaks(world: World) -> None:
    """Let somebody say what they may say."""
    escrow = _any(world)
    said = draw_allowed(world.chance, escrow) if escrow is not None else None
    if escrow is None or said is None:
        return
    if not await world.command(escrow.id, *said):
        world.happens("word refused")


async def somebody_oversteps(world: World) -> None:
    """Let somebody say what is most likely not theirs to say."""
    escrow = _any(world)
    if escrow is not None:
        await world.command(escrow.id, *draw_illegal(world.chance, escrow))


# --- the chain -------------------------------------------------------------------------------------------------------


async def blocks_come(world: World) -> None:
    """Mine blocks, which may leave out some of the pool."""
    left_out = frozenset(txid for txid in world.chain.pool if world.chance.random() < 0.1)
    world.mine(world.chance.choice((1, 1, 2, 5, 10, 12)), left_out)


async def chain_is_reorganised(world: World) -> None:
    """Replace blocks, most likely those of something that matters; some of their transactions are lost."""
    chance, chain = world.chance, world.chain
    depth = chance.choice((1, 1, 2, 3, 5, 10, 18))
    deepest = DEEPEST if chance.random() < 0.9 else chain.height
    mined = [txid for txid, height in chain.height_of.items() if chain.height - height <= deepest]
    payouts = [txid for txid in mined if txid in world.log.txids]
    aims = payouts if payouts and chance.random() < 0.5 else mined
    if aims and chance.random() < 0.7:
        depth = chain.height - chain.height_of[chance.choice(aims)] + chance.choice((0, 0, 1, 3))
    popped = [txid for block in chain.blocks[-depth:] for txid in block.txids]
    lost = {txid for txid in popped if chance.random() < chance.choice((0, 0.3, 0.6))}
    chain.reorganise(depth, lost)
    if world.temper is Temper.THIEVISH and chance.random() < 0.4:
        await two_parties_spend_outside(world)


async def a_payment_is_called_back(world: World) -> None:
    """Let a buyer spend the money elsewhere before it is mined."""
    rivals = [txid for txid in world.chain.pool if is_from_outside(world, txid)]
    if rivals:
        world.nature.replace_by_rival(world.chance.choice(rivals))


async def the_pool_forgets(world: World) -> None:
    """Drop a transaction from the pool."""
    if world.chain.pool:
        world.chain.forget(world.chance.choice(tuple(world.chain.pool)))


async def the_watcher_passes_over_something(world: World) -> None:
    """Let the watcher not see a payment that is there."""
    payments = [txid for txid in (*world.chain.pool, *world.chain.height_of) if is_from_outside(world, txid)]
    if payments:
        world.watcher.blind_to.add(world.chance.choice(payments))


async def the_watcher_sees_what_is_not_there(world: World) -> None:
    """Let the watcher see a payment that never was."""
    escrow = _any(world)
    if escrow is not None and escrow.address is not None:
        key, txid = world.chain.unique("phantom"), world.chain.unique("phantom")
        world.watcher.phantoms[escrow.id] = ReceivedOutput(txid, 0, key, escrow.terms.amount, height=FIRST_HEIGHT)


# --- machines --------------------------------------------------------------------------------------------------------


async def time_passes(world: World) -> None:
    """Let nothing happen for a while."""
    world.pass_time(world.chance.choice((10, 60, 600, 2_000, 4_000)))


async def the_service_is_down(world: World) -> None:
    """Let the service die at rest and be down for a while, which counts for nobody's deadline."""
    world.pass_time(world.chance.choice((60, 20_000)), is_running=False)
    world.restart()


async def the_daemon_goes_or_comes(world: World) -> None:
    """Stop the daemon, or start it again."""
    world.faults.daemon_is_down = not world.faults.daemon_is_down


async def wallets_die(world: World) -> None:
    """Kill the wallet processes, or end them kindly."""
    world.end_wallets(kindly=world.chance.random() < 0.3)


async def wallets_turn_hostile(world: World) -> None:
    """Let wallets propose what they were not asked for, or be honest again."""
    world.faults.hostility = world.chance.choice((None, *Hostility))


async def a_cache_is_lost(world: World) -> None:
    """Remove what a wallet knows beside its keys."""
    if world.house.files:
        world.happens("cache lost")
        world.house.lose_cache(world.chance.choice(tuple(world.house.files)))


async def key_files_are_lost(world: World) -> None:
    """Remove the keys of a role, or of two of the three: then only what is signed already can be paid out."""
    escrow = _any(world)
    if escrow is not None and escrow.address is not None:
        for role in world.chance.sample(tuple(WalletRole), world.chance.choice((1, 1, 1, 2))):
            world.happens("keys lost")
            world.house.lose_keys(escrow.id, role)


async def the_clock_is_set(world: World) -> None:
    """Set the wall clock forward or back, by an hour or by a day."""
    world.jump_clock(world.chance.choice((-86_400, -3_600, 3_600, 86_400)))


async def an_old_wallet_comes_back(world: World) -> None:
    """Restore an older copy of a wallet's cache from a backup."""
    world.end_wallets(kindly=True)
    keys = [key for key in world.house.older if key[0] == world.node]
    if keys and world.house.restore_older(world.chance.choice(keys), world.chance.choice((1, 2, 3))):
        world.happens("older wallet restored")


async def a_set_is_made_ahead(world: World) -> None:
    """Add one more set of wallets to the stock."""
    world.add_stock()


async def the_frozen_goes_on(world: World) -> None:
    """Wake up a service that was stopped while another one took over."""
    await world.thaw()


# ---------------------------------------------------------------------------------------------------------------------


def _any(world: World) -> Escrow | None:
    """Draw an escrow, those first that are not over."""
    escrows = world.escrows
    going_on = [each for each in escrows if each.status not in ENDED]
    if going_on and world.chance.random() < 0.9:
        return world.chance.choice(going_on)
    return world.chance.choice(escrows) if escrows else None
