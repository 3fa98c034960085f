"""Tells the story of the world of one seed: ``python -m escrowd.testing.simulation SEED``."""

import logging
import sys

import structlog

from escrowd.testing.simulation.driver import BrokenLaw, run_world
from escrowd.testing.simulation.world import World


def tell(seed: int) -> int:
    """Run a world, write what happens as it happens, and return the exit code: 1 where a law was broken."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        run_world(seed, _tell_event)
    except BrokenLaw as error:
        sys.stdout.write(f"{error}\n")
        return 1
    return 0


# ---------------------------------------------------------------------------------------------------------------------


def _tell_event(world: World, event: str) -> None:
    statuses = ", ".join(f"{each.id[-4:]} {each.status} v{each.version}" for each in world.escrows)
    sys.stdout.write(f"--- {event} | height {world.chain.height}, life {world.life.number} | {statuses}\n")


if __name__ == "__main__":
    sys.exit(tell(int(sys.argv[1])))
