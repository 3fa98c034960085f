"""What it costs to use a session that is open, beside the bare calls."""

from functools import partial

from escrowd.bench.houses import SideBySide
from escrowd.bench.rows import Row, at_most_times_floor, below, row
from escrowd.bench.sampling import side_by_side
from escrowd.bootstrap import RunningHouse
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.monero.results_wallet import Balance

#: In milliseconds.
LEASE_GOAL = below(10)
BALANCE_GOAL = below(15)
REFRESH_GOAL = at_most_times_floor(1.15)

#: The wallet that is asked for its balance, on both sides.
ASKED = WalletRole.BUYER


async def measure_leases(sides: SideBySide, rounds: int) -> tuple[Row, ...]:
    """Measure what it takes to get hold of warm wallets that were verified.

    The floor is to ask the same wallets for their address, which is the least that shows that they are there. The
    manager asks each one also for its name, since the three wallets of an escrow share one address.
    """
    lease = await side_by_side(rounds, sides.raw.addresses, partial(take_lease, sides.running, sides.escrow))
    wallet = await side_by_side(
        rounds, partial(sides.raw.address, ASKED), partial(_take_wallet, sides.running, sides.escrow)
    )
    return (
        row(
            "lease of a warm session, its three wallets verified (floor: three get_address)",
            lease.managed_milliseconds,
            "ms",
            floor=lease.raw_milliseconds,
            goal=LEASE_GOAL,
        ),
        row(
            "one warm wallet, verified (floor: get_address)",
            wallet.managed_milliseconds,
            "ms",
            floor=wallet.raw_milliseconds,
            goal=LEASE_GOAL,
        ),
    )


async def measure_balances(sides: SideBySide, rounds: int, rounds_with_block: int) -> tuple[Row, ...]:
    """Measure a balance check on a warm session: when a block came since the last one, and when none did.

    With a block the floor is ``refresh`` and ``get_balance``; both sides have the same one block to read in each
    round. Without one the floor is ``get_balance`` alone.
    """
    check = partial(check_balance, sides.running, sides.escrow)
    moved = await side_by_side(
        rounds_with_block, partial(sides.raw.refreshed_balance, ASKED), check, before=partial(sides.lab.mine, 1)
    )
    still = await side_by_side(rounds, partial(sides.raw.balance, ASKED), check)
    return (
        row(
            "balance on a warm session, one new block (floor: refresh, get_balance)",
            moved.managed_milliseconds,
            "ms",
            floor=moved.raw_milliseconds,
            goal=REFRESH_GOAL,
        ),
        row(
            "balance on a warm session, no new block (floor: get_balance)",
            still.managed_milliseconds,
            "ms",
            floor=still.raw_milliseconds,
            goal=BALANCE_GOAL,
        ),
    )


async def take_lease(running: RunningHouse, escrow: EscrowId) -> None:
    """Lease a session with all its wallets, and give it back."""
    async with running.manager.lease(escrow):
        pass


async def check_balance(running: RunningHouse, escrow: EscrowId) -> Balance:
    """Lease one wallet and ask for its balance."""
    async with running.manager.lease(escrow, (ASKED,)) as lease:
        return await lease.balance(ASKED)


# ---------------------------------------------------------------------------------------------------------------------


async def _take_wallet(running: RunningHouse, escrow: EscrowId) -> None:
    async with running.manager.get_wallet(escrow, ASKED):
        pass
