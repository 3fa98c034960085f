"""Runs worlds: one, told event by event, or many, in several processes.

``python -m escrowd.testing.simulation SEED`` or ``python -m escrowd.testing.simulation --seeds 0-100000 --processes 2``
"""

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import structlog

from escrowd.testing.simulation.driver import BrokenLaw, run_world
from escrowd.testing.simulation.world import World

#: Worlds that a process runs before it reports.
BATCH: Final = 100
#: Batches between two lines of progress.
_PROGRESS: Final = 10


def tell(seed: int) -> int:
    """Run a world, write what happens as it happens, and return the exit code: 1 where a law was broken."""
    _log_from(logging.INFO)
    try:
        run_world(seed, _tell_event)
    except BrokenLaw as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


def run_many(seeds: range, processes: int) -> int:
    """Run the worlds of these seeds, write each broken law, and return the exit code: 1 where one was broken."""
    begun = time.monotonic()
    batches = [seeds[place : place + BATCH] for place in range(0, len(seeds), BATCH)]
    worlds = failures = 0
    with ProcessPoolExecutor(processes, initializer=_log_from, initargs=(logging.CRITICAL,)) as pool:
        for number, (batch, broken) in enumerate(zip(batches, pool.map(_failures, batches), strict=True), start=1):
            worlds, failures = worlds + len(batch), failures + len(broken)
            sys.stdout.writelines(f"{each}\n" for each in broken)
            if number % _PROGRESS == 0 or number == len(batches):
                seconds = time.monotonic() - begun
                sys.stdout.write(f"{worlds} worlds in {seconds:.0f} s, {failures} with a broken law\n")
            sys.stdout.flush()
    return 1 if failures else 0


def main(arguments: Sequence[str]) -> int:
    """Run what the command line names, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m escrowd.testing.simulation", description=__doc__)
    parser.add_argument("seed", nargs="?", type=int, help="run the world of this seed, and write what happens in it")
    parser.add_argument("--seeds", type=_seeds, metavar="FIRST-LAST", help="run these worlds; LAST is not run")
    parser.add_argument("--processes", type=int, default=1, help="how many at a time (default: 1)")
    chosen = parser.parse_args(arguments)
    if (chosen.seed is None) == (chosen.seeds is None):
        parser.error("name either a seed or --seeds")
    return tell(chosen.seed) if chosen.seeds is None else run_many(chosen.seeds, chosen.processes)


# ---------------------------------------------------------------------------------------------------------------------


def _seeds(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIRST-LAST, as in 0-100000") from None


def _failures(seeds: Sequence[int]) -> list[str]:
    return list(_broken(seeds))


def _broken(seeds: Sequence[int]) -> Iterator[str]:
    for seed in seeds:
        try:
            run_world(seed)
        except BrokenLaw as error:
            yield str(error)


def _log_from(level: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))


def _tell_event(world: World, event: str) -> None:
    statuses = ", ".join(f"{each.id[-4:]} {each.status} v{each.version}" for each in world.escrows)
    sys.stdout.write(f"--- {event} | height {world.chain.height}, life {world.life.number} | {statuses}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
