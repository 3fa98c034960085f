"""The sample of the crash matrix that runs on the old engine."""

from tests.matrix_sample import sample

NAMES = [f"test_crash[{number}]" for number in range(31)]


def test_sample_depends_on_its_seed_alone() -> None:
    """Worker processes that collect in another order run the same tests, and another seed chooses others."""
    assert sample(NAMES, 6, seed=1) == sample(NAMES[::-1], 6, seed=1)
    assert len({sample(NAMES, 6, seed) for seed in range(20)}) > 1


def test_sample_has_its_size_or_everything() -> None:
    """As many tests run as are asked for, and all of them where there are fewer."""
    assert len(sample(NAMES, 6, seed=1)) == 6
    assert sample(NAMES, 99, seed=1) == frozenset(NAMES)
