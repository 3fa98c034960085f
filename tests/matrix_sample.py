"""Runs a sample of the crash matrix, chosen by a seed that is printed: ``--matrix-sample 6 --matrix-seed 4711``.

Without ``--matrix-sample`` all of it runs. Tests outside of ``tests/faults/matrix`` are not affected.
"""

import os
import random
from collections.abc import Collection
from pathlib import Path
from typing import Final

import pytest

#: Hands the seed that was drawn on to the worker processes of the same run.
SEED_VARIABLE: Final = "ESCROWD_TEST_MATRIX_SEED"
MATRIX: Final = Path(__file__).parent / "faults" / "matrix"


def sample(names: Collection[str], size: int, seed: int) -> frozenset[str]:
    """Choose so many of the names; the same ones for the same seed, in whichever order they come."""
    return frozenset(random.Random(seed).sample(sorted(names), min(size, len(names))))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("crash matrix")
    group.addoption("--matrix-sample", type=int, default=None, help="How many tests of the crash matrix run.")
    group.addoption("--matrix-seed", type=int, default=None, help="Chooses them; a random one by default.")


def pytest_configure(config: pytest.Config) -> None:
    # Worker processes of pytest-xdist get the arguments of the command line and its environment, so all of them choose
    # the same tests by the seed that stands there.
    if config.option.matrix_seed is None:
        seed = os.environ.setdefault(SEED_VARIABLE, str(random.SystemRandom().randrange(10**6)))
        config.option.matrix_seed = int(seed)


def pytest_report_header(config: pytest.Config) -> str | None:
    size, seed = config.option.matrix_sample, config.option.matrix_seed
    return None if size is None else f"crash matrix: --matrix-sample {size} --matrix-seed {seed}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    size, seed = config.option.matrix_sample, config.option.matrix_seed
    if size is None:
        return
    matrix = {item.nodeid for item in items if item.path.is_relative_to(MATRIX)}
    left_out = matrix - sample(matrix, size, seed)
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]
