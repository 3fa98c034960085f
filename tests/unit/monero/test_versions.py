import pytest

from escrowd.monero.errors import UnknownVersion
from escrowd.monero.versions import (
    OLDEST_RELEASE,
    SINCE,
    Capability,
    Release,
    RpcVersion,
    capabilities,
    is_of_release,
    oldest_release_of,
)

OLDEST, NEWEST = Release(0, 18, 0, 0), Release(0, 18, 5, 3)


@pytest.mark.parametrize(
    "text",
    [
        "Monero 'Fluorine Fermi' (v0.18.3.4-release)",
        "Monero 'Fluorine Fermi' (v0.18.3.4-unknown)\n",
        "0.18.3.4-4bfb8d3b3",
        "0.18.3.4",
    ],
)
def test_a_release_is_found_in_all_that_monero_prints(text: str) -> None:
    """What --version prints and what get_info answers both name the release."""
    assert Release.parse(text) == Release(0, 18, 3, 4)


@pytest.mark.parametrize("text", ["", "Monero", "0.18.3", "10.0.18.3.4", "0.18.3.4.5"])
def test_a_release_is_not_read_into_other_text(text: str) -> None:
    """A text without a release, such as a restricted daemon's, is refused and not guessed at."""
    with pytest.raises(UnknownVersion):
        Release.parse(text)


def test_releases_are_ordered_by_number_and_not_by_text() -> None:
    """0.18.10.0 is newer than 0.18.9.9."""
    assert Release.parse("0.18.10.0") > Release.parse("0.18.9.9")


def test_a_release_prints_as_it_is_read() -> None:
    """The text of a release reads as that release again."""
    assert str(NEWEST) == "0.18.5.3"
    assert Release.parse(str(NEWEST)) == NEWEST


def test_the_packed_rpc_version_is_unpacked() -> None:
    """65561, as monero-wallet-rpc 0.18.0.0 answers, is 1.25, and 196618 of its monerod is 3.10."""
    assert RpcVersion.unpack(65561) == RpcVersion(1, 25)
    assert str(RpcVersion.unpack(196618)) == "3.10"


def test_the_oldest_release_can_do_nothing_extra() -> None:
    """0.18.0.0 is the base that everything else is counted from."""
    assert capabilities(OLDEST) == frozenset()


def test_the_newest_release_can_do_everything() -> None:
    """Each capability is in some release that we know."""
    assert capabilities(NEWEST) == frozenset(Capability)


def test_every_capability_has_a_first_release() -> None:
    """The table leaves no capability out, and each begins exactly with its release."""
    assert set(SINCE) == set(Capability)
    for capability, since in SINCE.items():
        before = max(release for release in [*OLDEST_RELEASE.values(), *SINCE.values()] if release < since)
        assert capability in capabilities(since)
        assert capability not in capabilities(before)


@pytest.mark.parametrize(
    ("version", "release"),
    [
        (RpcVersion(1, 25), Release(0, 18, 0, 0)),
        (RpcVersion(1, 26), Release(0, 18, 1, 2)),
        (RpcVersion(1, 29), Release(0, 18, 4, 1)),
        (RpcVersion(1, 31), Release(0, 18, 5, 1)),
        (RpcVersion(1, 32), Release(0, 18, 5, 3)),
    ],
)
def test_an_rpc_version_stands_for_its_oldest_release(version: RpcVersion, release: Release) -> None:
    """Releases that share an RPC version are taken for the oldest, so that no capability is assumed wrongly."""
    assert oldest_release_of(version) == release


def test_a_newer_rpc_version_counts_as_the_newest_known() -> None:
    """A further 0.18 can do what the newest known can; whether it may hold money is decided by its release."""
    assert oldest_release_of(RpcVersion(1, 99)) == NEWEST


@pytest.mark.parametrize("version", [RpcVersion(1, 24), RpcVersion(0, 0), RpcVersion(2, 0), RpcVersion(2, 31)])
def test_a_foreign_rpc_version_is_refused(version: RpcVersion) -> None:
    """An interface older than 0.18, or of another major version, is not worked with."""
    with pytest.raises(UnknownVersion, match=str(version)):
        oldest_release_of(version)


@pytest.mark.parametrize(
    ("version", "program", "agrees"),
    [
        (RpcVersion(1, 25), Release(0, 18, 0, 0), True),
        (RpcVersion(1, 25), Release(0, 18, 5, 3), False),
        (RpcVersion(1, 31), Release(0, 18, 5, 3), False),
        (RpcVersion(1, 32), Release(0, 18, 5, 3), True),
        (RpcVersion(1, 32), Release(0, 18, 0, 0), False),
        (RpcVersion(1, 30), Release(0, 18, 5, 0), True),
        (RpcVersion(1, 33), Release(0, 18, 5, 3), False),
        (RpcVersion(1, 33), Release(0, 18, 6, 0), True),
        (RpcVersion(1, 32), Release(0, 18, 6, 0), True),
        (RpcVersion(1, 25), Release(0, 17, 3, 2), False),
    ],
)
def test_process_of_another_release_shows_by_its_rpc_version(
    version: RpcVersion, program: Release, *, agrees: bool
) -> None:
    """A wallet process from before an upgrade, or from before going back, is not taken for one of the new program."""
    assert is_of_release(version, program) is agrees
