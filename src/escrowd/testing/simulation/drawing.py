"""What happens next in a world, how likely it is, and what goes wrong meanwhile."""

from enum import Enum
from typing import Final

from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import Delivered, Disputed, Event, Refunded, Released, Ruled
from escrowd.domain.escrow.status import HOLDING, Status, Who
from escrowd.service.crash_points import CrashPoint
from escrowd.testing.simulation.checks import check_always
from escrowd.testing.simulation.faults import Trouble
from escrowd.testing.simulation.happenings import (
    Happening,
    a_cache_is_lost,
    a_payment_is_called_back,
    a_set_is_made_ahead,
    an_old_wallet_comes_back,
    blocks_come,
    chain_is_reorganised,
    key_files_are_lost,
    somebody_begins,
    somebody_oversteps,
    somebody_pays,
    somebody_speaks,
    the_clock_is_set,
    the_daemon_goes_or_comes,
    the_frozen_goes_on,
    the_pool_forgets,
    the_service_is_down,
    the_watcher_passes_over_something,
    the_watcher_sees_what_is_not_there,
    time_passes,
    wallets_die,
    wallets_turn_hostile,
)
from escrowd.testing.simulation.nature import Payment
from escrowd.testing.simulation.reversals import (
    a_deposit_is_double_spent,
    a_part_of_a_payout_is_mined,
    a_refused_payout_is_decided_anew,
    a_rival_payout_is_mined_instead,
    an_old_payout_is_mined,
    an_outside_spend_goes_and_comes,
    parts_in_pool,
    the_daemon_refuses_a_payout,
    the_daemon_takes_them_again,
    two_parties_spend_outside,
)
from escrowd.testing.simulation.world import Temper, World

#: How likely trouble is after an event, and that the watcher looks before the service works.
TROUBLE: Final = 0.25
PAYING_TROUBLE: Final = 0.6
MORTAL_TROUBLE: Final = 0.9
LOOK: Final = 0.85


async def something_happens(world: World) -> None:
    """Draw an event, let it happen, and let the service work, most of the time with a look at the chain before it."""
    happening = _reversal(world) or world.chance.choices(_HAPPENINGS, _WEIGHTS_OF[world.temper, _mood(world)])[0]
    world.happens(happening.__name__)
    await happening(world)
    if world.chance.random() < LOOK and not world.faults.daemon_is_down:
        world.watcher.look()
    if world.has_work and world.chance.random() < _likelihood_of_trouble(world):
        _arm(world, pays=_pays(world))
    await world.work()
    world.faults.disarm()


async def deadlines_pass(world: World) -> None:
    """Let time and blocks go on without anybody's word, in trouble: what is due is paid out in it."""
    world.faults.daemon_is_down = False
    for _ in range(world.chance.choice((1, 3, 5))):
        world.happens("deadlines pass")
        world.pass_time(2_000)
        world.mine(world.chance.choice((1, 4, 11)))
        if world.chance.random() < 0.25:
            await somebody_pays(world)
        if world.chance.random() < (0.6 if world.temper is Temper.FORKING else 0.15):
            await chain_is_reorganised(world)
        world.watcher.look()
        if world.chance.random() < MORTAL_TROUBLE:
            _arm(world, pays=True)
        await world.work()
        world.faults.disarm()
        check_always(world)


async def trade_is_under_way(world: World) -> None:
    """Bring a trade forward without any trouble, some way or even to its end, so that less of a world is beginnings."""
    chance = world.chance
    if chance.random() < 0.3:
        return
    world.add_stock()
    await world.create()
    escrow = world.escrows[0]
    for how in chance.choice(((Payment.EXACT,), (Payment.EXACT, Payment.EXACT), (Payment.MANY, Payment.PART))):
        world.nature.pay(escrow.id, escrow.address or "", escrow.terms, how)
        await _goes_on(world, 1)
    await _goes_on(world, 12)
    for said in chance.choice(_TRADES):
        await world.command(escrow.id, *said)
        await _goes_on(world, 0)
    if chance.random() < 0.5:
        await _goes_on(world, 12)


# ---------------------------------------------------------------------------------------------------------------------


class Mood(Enum):
    """Which kind of event gets a world on."""

    IDLE = "no escrow waits for money"
    WAITING = "an escrow waits for money"
    GOING_ON = "money is on its way"


#: What happens, and its weight while no escrow waits for money, while one does, and while one is on its way.
_TABLE: Final[tuple[tuple[Happening, tuple[int, int, int]], ...]] = (
    (somebody_begins, (40, 3, 3)),
    (somebody_pays, (16, 60, 8)),
    (somebody_speaks, (2, 3, 40)),
    (somebody_oversteps, (2, 3, 6)),
    (blocks_come, (25, 20, 45)),
    (chain_is_reorganised, (5, 4, 8)),
    (a_payment_is_called_back, (0, 2, 1)),
    (the_pool_forgets, (1, 2, 3)),
    (the_daemon_refuses_a_payout, (1, 1, 4)),
    (a_refused_payout_is_decided_anew, (1, 1, 8)),
    (the_daemon_takes_them_again, (0, 0, 1)),
    (an_old_payout_is_mined, (1, 1, 4)),
    (a_rival_payout_is_mined_instead, (2, 1, 2)),
    (a_part_of_a_payout_is_mined, (1, 1, 6)),
    (an_outside_spend_goes_and_comes, (1, 3, 3)),
    (a_deposit_is_double_spent, (1, 1, 2)),
    (two_parties_spend_outside, (0, 1, 1)),
    (the_watcher_passes_over_something, (0, 1, 1)),
    (the_watcher_sees_what_is_not_there, (0, 1, 1)),
    (wallets_turn_hostile, (0, 1, 1)),
    (time_passes, (4, 6, 8)),
    (the_service_is_down, (1, 2, 2)),
    (the_daemon_goes_or_comes, (2, 2, 2)),
    (wallets_die, (1, 1, 2)),
    (an_old_wallet_comes_back, (0, 1, 2)),
    (a_cache_is_lost, (1, 1, 2)),
    (key_files_are_lost, (0, 1, 1)),
    (the_clock_is_set, (1, 1, 1)),
    (a_set_is_made_ahead, (6, 1, 1)),
    (the_frozen_goes_on, (2, 2, 3)),
)
_HAPPENINGS: Final = tuple(happening for happening, _ in _TABLE)
#: How many times as often something happens in a world of some temper.
_MORE: Final[dict[Temper, dict[Happening, int]]] = {
    Temper.MILD: {},
    Temper.FORKING: {
        chain_is_reorganised: 6,
        a_payment_is_called_back: 3,
        the_pool_forgets: 2,
        the_daemon_refuses_a_payout: 3,
        an_old_payout_is_mined: 4,
        a_rival_payout_is_mined_instead: 4,
        a_deposit_is_double_spent: 4,
    },
    Temper.THIEVISH: {
        two_parties_spend_outside: 20,
        an_outside_spend_goes_and_comes: 6,
        chain_is_reorganised: 4,
        a_part_of_a_payout_is_mined: 3,
    },
    Temper.MORTAL: {
        the_service_is_down: 3,
        wallets_die: 3,
        an_old_wallet_comes_back: 3,
        a_cache_is_lost: 3,
        key_files_are_lost: 3,
        the_frozen_goes_on: 2,
    },
    Temper.LYING: {
        the_watcher_passes_over_something: 10,
        the_watcher_sees_what_is_not_there: 12,
        wallets_turn_hostile: 10,
    },
}
_WEIGHTS_OF: Final = {
    (temper, mood): tuple(weights[place] * more.get(happening, 1) for happening, weights in _TABLE)
    for temper, more in _MORE.items()
    for place, mood in enumerate(Mood)
}

#: What people say in a trade that is under way when a world begins.
_TRADES: Final[tuple[tuple[tuple[Who, Event], ...], ...]] = (
    (),
    (),
    ((Who.VENDOR, Delivered()),),
    ((Who.VENDOR, Delivered()),),
    ((Who.BUYER, Disputed()),),
    ((Who.VENDOR, Delivered()), (Who.BUYER, Disputed())),
    ((Who.BUYER, Released()),),
    ((Who.VENDOR, Refunded()),),
    ((Who.VENDOR, Delivered()), (Who.BUYER, Released())),
    ((Who.BUYER, Disputed()), (Who.ARBITER, Ruled(10**9))),
)

#: Trouble that is drawn, and its weight. It strikes within so many places.
_TROUBLES: Final = {
    Trouble.CRASH_BEFORE: 5,
    Trouble.CRASH_AFTER: 5,
    Trouble.LOST_BEFORE: 2,
    Trouble.LOST_AFTER: 4,
    Trouble.DEATH_BEFORE: 1,
    Trouble.DEATH_AFTER: 2,
    Trouble.DISK_FULL: 2,
    Trouble.DAEMON_DOWN: 1,
    Trouble.FREEZE: 2,
}
_OF_WALLETS: Final = (
    Trouble.LOST_BEFORE,
    Trouble.LOST_AFTER,
    Trouble.LOST_AFTER,
    Trouble.DEATH_BEFORE,
    Trouble.DEATH_AFTER,
    Trouble.CRASH_AFTER,
)
#: Calls on the way of a payout, which trouble is aimed at when one is about to be made.
_SIGNING_CALLS: Final = (
    "export_multisig_info",
    "import_multisig_info",
    "sweep_all",
    "transfer",
    "sign_multisig",
    "sign_multisig",
    "store",
    "submit_multisig",
)
_REACH: Final = (1, 2, 3, 5, 8, 13, 21, 34, 55)


_POINTS: Final = tuple(CrashPoint)
_PAYING: Final = (Effect.PAY, Effect.RETURN_LATE)
#: The places of a payout until its bytes are known to be in the pool.
_PAYOUT_POINTS: Final = _POINTS[_POINTS.index(CrashPoint.P1_INTENT) : _POINTS.index(CrashPoint.P14_MINED)]


def _reversal(world: World) -> Happening | None:
    """Draw a reversal where there is something to be reversed, which is seldom; ``None`` for anything else."""
    happened = world.tally.happened
    for happening, is_possible, likelihood in (
        (a_part_of_a_payout_is_mined, bool(parts_in_pool(world)), 0.4),
        (an_outside_spend_goes_and_comes, happened["spent outside"] > 0, 0.2),
        (a_rival_payout_is_mined_instead, happened["decided anew"] > 0, 0.2),
    ):
        if is_possible and world.chance.random() < likelihood:
            return happening
    return None


async def _goes_on(world: World, blocks: int) -> None:
    """Let blocks come, and the service do what is due."""
    world.mine(blocks)
    world.watcher.look()
    await world.work()


def _pays(world: World) -> bool:
    """Whether the service is about to pay something out."""
    return any(each.effect in _PAYING for effects in world.memory.tables.effects.values() for each in effects)


def _likelihood_of_trouble(world: World) -> float:
    if world.temper is Temper.MORTAL:
        return MORTAL_TROUBLE
    return PAYING_TROUBLE if _pays(world) else TROUBLE


def _mood(world: World) -> Mood:
    """Say what kind of event gets this world on."""
    statuses = {each.status for each in world.escrows}
    if statuses & {Status.CONFIRMING, Status.PAYING, *HOLDING}:
        return Mood.GOING_ON
    return Mood.WAITING if Status.AWAITING_FUNDING in statuses else Mood.IDLE


def _arm(world: World, *, pays: bool) -> None:
    """Let something go wrong soon: at the n-th place that fits, or at a place with a name; ``pays`` says of what."""
    chance = world.chance
    kind = chance.random()
    if kind < (0.35 if pays else 0.2):
        points = _PAYOUT_POINTS if pays else _POINTS
        world.faults.arm(Trouble.CRASH_BEFORE, chance.choice((1, 1, 2)), chance.choice(points))
        return
    if pays and kind < 0.7:
        world.faults.arm(chance.choice(_OF_WALLETS), chance.choice((1, 1, 2)), chance.choice(_SIGNING_CALLS))
        return
    trouble = chance.choices(tuple(_TROUBLES), tuple(_TROUBLES.values()))[0]
    if trouble is Trouble.FREEZE and world.zombie is not None:
        return
    most = 8 if trouble is Trouble.DISK_FULL else 55
    world.faults.arm(trouble, chance.choice([reach for reach in _REACH if reach <= most]))
