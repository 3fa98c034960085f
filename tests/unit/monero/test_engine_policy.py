"""Which Monero may hold money (E8 of the faults found by use): 0.19 and 1.0 once passed as able to do everything."""

import pytest

from escrowd.domain.networks import Network
from escrowd.monero.versions import NEWEST_FORK, Engine, Override, Release, judge_engine

TESTED = Release(0, 18, 5, 3)
GOOD = Engine(TESTED, TESTED, NEWEST_FORK)
ALL = frozenset(Override)


def test_tested_engine_is_neither_refused_nor_warned_of() -> None:
    """The newest tested release on the chain of today has no objection on any network."""
    for network in Network:
        verdict = judge_engine(GOOD, network)
        assert (verdict.refusals, verdict.warnings) == ((), ())


@pytest.mark.parametrize("release", ["0.18.0.0", "0.18.4.6", "0.18.5.0"])
def test_wallet_that_forgets_to_erase_nonces_is_refused_on_mainnet(release: str) -> None:
    """Below 0.18.5.1 mainnet is refused, and the refusal names the release, the risk to keys and the override."""
    verdict = judge_engine(Engine(Release.parse(release), TESTED, NEWEST_FORK), Network.MAINNET)
    (refusal,) = verdict.refusals
    assert release in refusal
    assert "nonces" in refusal
    assert "private key" in refusal
    assert "monero.allow_unsafe_version = true" in refusal


def test_override_makes_the_risk_to_keys_a_warning() -> None:
    """With the override the same sentence is a warning, first of all; the other override does not allow it."""
    engine = Engine(Release(0, 18, 5, 0), TESTED, NEWEST_FORK)
    allowed = judge_engine(engine, Network.MAINNET, frozenset({Override.UNSAFE_VERSION}))
    assert allowed.refusals == ()
    assert "nonces" in allowed.warnings[0]
    assert judge_engine(engine, Network.MAINNET, frozenset({Override.UNTESTED_VERSION})).refusals


def test_wallet_that_can_be_locked_up_is_warned_of_on_mainnet() -> None:
    """0.18.5.1 may hold money, and the warning names the transaction that locks up an escrow."""
    verdict = judge_engine(Engine(Release(0, 18, 5, 1), TESTED, NEWEST_FORK), Network.MAINNET)
    assert verdict.refusals == ()
    (warning,) = verdict.warnings
    assert "lock up an escrow" in warning


@pytest.mark.parametrize("release", ["0.19.0.0", "0.20.1.0", "1.0.0.0"])
@pytest.mark.parametrize("program", ["monero-wallet-rpc", "monerod"])
def test_untested_release_is_refused_on_mainnet(release: str, program: str) -> None:
    """A wallet or a daemon of 0.19 or newer is refused until it was tested, and the refusal names which of both."""
    newer = Release.parse(release)
    wallet, daemon = (newer, TESTED) if program == "monero-wallet-rpc" else (TESTED, newer)
    (refusal,) = judge_engine(Engine(wallet, daemon, NEWEST_FORK), Network.MAINNET).refusals
    assert refusal.startswith(f"{program} is of Monero {release}")
    assert "monero.allow_untested_version = true" in refusal


def test_unknown_hard_fork_is_refused_on_mainnet() -> None:
    """A chain at a hard fork above the one that escrowd knows is refused whatever the releases are."""
    (refusal,) = judge_engine(Engine(TESTED, TESTED, NEWEST_FORK + 1), Network.MAINNET).refusals
    assert f"hard fork {NEWEST_FORK + 1}" in refusal


def test_further_0_18_is_a_warning() -> None:
    """Another 0.18 changes no rules of the chain: it may hold money, and is named as untested."""
    verdict = judge_engine(Engine(Release(0, 18, 5, 4), TESTED, NEWEST_FORK), Network.MAINNET)
    assert verdict.refusals == ()
    assert "0.18.5.4" in verdict.warnings[0]


def test_untested_override_allows_all_that_is_untested() -> None:
    """With its override an untested release and an unknown fork are warnings; the other one does not allow them."""
    engine = Engine(Release(0, 19, 0, 0), Release(0, 19, 0, 0), NEWEST_FORK + 1)
    assert len(judge_engine(engine, Network.MAINNET, frozenset({Override.UNTESTED_VERSION})).warnings) == 3
    assert len(judge_engine(engine, Network.MAINNET, frozenset({Override.UNSAFE_VERSION})).refusals) == 3


@pytest.mark.parametrize("network", [Network.STAGENET, Network.TESTNET, Network.REGTEST])
@pytest.mark.parametrize("release", ["0.18.0.0", "0.19.0.0"])
def test_other_networks_are_never_refused(network: Network, release: str) -> None:
    """Play money may lie anywhere: at most a warning, and on a private chain not even that."""
    engine = Engine(Release.parse(release), Release.parse(release), NEWEST_FORK + 1)
    verdict = judge_engine(engine, network)
    assert verdict.refusals == ()
    assert (verdict.warnings == ()) is (network is Network.REGTEST)


def test_daemon_that_does_not_answer_hides_no_risk_of_the_wallets() -> None:
    """What is not known is not objected to, and what is known is."""
    assert judge_engine(Engine(Release(0, 18, 0, 0)), Network.MAINNET).refusals
    assert judge_engine(Engine(), Network.MAINNET).refusals == ()
