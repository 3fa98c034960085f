"""How long a call may take follows from its work (findings E7)."""

import pytest

from escrowd.monero.methods import MAX_TIMEOUT, WALLET_METHODS, Work

#: Of a usual payout: one deposit, read up to the tip.
USUAL = Work(inputs=1, outputs=1)
SIGNING = ("refresh", "export_multisig_info", "import_multisig_info", "rescan_spent", "sweep_all", "sign_multisig")


def seconds(method: str, work: Work) -> float:
    """Return the time-out of a wallet method for so much work."""
    return WALLET_METHODS[method].doing(work).timeout


@pytest.mark.parametrize("method", SIGNING)
def test_hung_wallet_of_a_usual_payout_is_given_up_in_half_a_minute(method: str) -> None:
    """The other pair still pays within a minute."""
    assert seconds(method, USUAL) < 30


@pytest.mark.parametrize("method", ["export_multisig_info", "import_multisig_info", "rescan_spent"])
def test_dust_gives_the_calls_that_read_every_output_more_time(method: str) -> None:
    """An export makes nonces for every output of the wallet: dust that a stranger sends must not run it into its limit.

    An output takes some 3 ms in an export and less in the others (226 outputs, measured); twenty times that is given.
    """
    for outputs in (1_000, 10_000):
        assert seconds(method, Work(inputs=1, outputs=outputs)) >= outputs * 0.06


@pytest.mark.parametrize("method", SIGNING)
def test_time_grows_with_the_attempts_up_to_a_bound(method: str) -> None:
    """A limit that is too short for a wallet cannot lock its money up: later attempts get more time."""
    assert seconds(method, Work(inputs=1, outputs=1, factor=4)) == pytest.approx(4 * seconds(method, USUAL))
    assert seconds(method, Work(inputs=1, outputs=1, factor=10**9)) == MAX_TIMEOUT


def test_call_without_known_work_keeps_its_own_limit() -> None:
    """Where the caller does not know the work, the limit of the table holds."""
    assert WALLET_METHODS["refresh"].doing(None) == WALLET_METHODS["refresh"]
