"""``escrowd bench sessions``: wallet sessions beside the raw wallet RPC, on this machine, in one run.

Both sides work on the same private chain, with the same kind of real 2-of-3 wallets, through the same HTTP transport,
and take their samples in turn. Short works are compared by their medians; for openings see
:mod:`escrowd.bench.opening`.
"""

from dataclasses import dataclass

from escrowd.bench.adoption import measure_adoption
from escrowd.bench.crowd import measure_crowd
from escrowd.bench.houses import both_sides
from escrowd.bench.opening import measure_openings
from escrowd.bench.rows import Row
from escrowd.bench.sampling import Tell, tell_nobody
from escrowd.bench.warm import measure_balances, measure_leases
from escrowd.bootstrap import raise_open_files_limit
from escrowd.testing.lab import RegtestLab


@dataclass(frozen=True, slots=True)
class Samples:
    """How much is measured. More samples make the verdicts surer, and take longer."""

    #: Leases and balances without a new block, on each side.
    warm: int = 60
    #: Balances with a new block, on each side.
    with_block: int = 40
    #: Sessions opened on each side.
    openings: int = 8
    #: Sessions of the service that is killed, and how often it is killed.
    adopted_sessions: int = 20
    adoptions: int = 3
    #: Seconds in which idle wallets are watched.
    idle_window: float = 30.0


async def measure_sessions(
    samples: Samples | None = None, crowd: int | None = None, tell: Tell = tell_nobody
) -> tuple[Row, ...]:
    """Measure everything; with ``crowd`` also so many sessions open at once.

    Raises:
        ProgramMissing: Monero is not installed.
        EscrowdError: a measurement could not be made.

    """
    wanted = samples or Samples()
    if crowd is not None:
        raise_open_files_limit()  # before the daemon starts, which inherits it
    async with RegtestLab.start(progress=lambda what: tell(what, 0, 1)) as lab:
        rows = await _measure_both_sides(lab, wanted, tell)
        rows += await measure_adoption(lab, wanted.adopted_sessions, wanted.adoptions, tell)
        if crowd is not None:
            rows += await measure_crowd(lab, crowd, wanted.warm, wanted.idle_window, tell)
    return rows


# ---------------------------------------------------------------------------------------------------------------------


async def _measure_both_sides(lab: RegtestLab, wanted: Samples, tell: Tell) -> tuple[Row, ...]:
    tell("opening both sides", 0, 1)
    async with both_sides(lab) as sides:
        tell("opening both sides", 1, 1)
        tell("using warm sessions", 0, 2)
        rows = await measure_leases(sides, wanted.warm)
        tell("using warm sessions", 1, 2)
        rows += await measure_balances(sides, wanted.warm, wanted.with_block)
        tell("using warm sessions", 2, 2)
        return rows + await measure_openings(sides, wanted.openings, tell)
