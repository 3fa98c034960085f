"""What the doctor finds of untested releases, announced hard forks and drain mode."""

from tests.doctor_place import Place, StubDaemon, told, write_program


async def test_untested_wallet_is_a_fault_on_mainnet(place: Place) -> None:
    """Wallets of 0.19 are a fault with real money, unless allowed; on a test network they are a warning (E8)."""
    write_program(place.program, "Monero 'Next' (v0.19.0.0-release)")
    check = "Monero is one that was tested"
    warned = told(await place.look(check), "engine.newer", mend="newer escrowd")
    assert warned.severity == "warning"
    place.write(network="mainnet")
    finding = told(await place.look(check), "engine.untested", mend="monero.allow_untested_version")
    assert finding.severity == "fault"
    assert "0.19.0.0" in finding.what
    place.write(monero__allow_untested_version=True)
    told(await place.look(check), "engine.newer", mend="newer escrowd")


async def test_unknown_hard_fork_is_a_fault_on_mainnet(place: Place, daemon: StubDaemon) -> None:
    """A chain past a hard fork that escrowd does not know is a fault with real money."""
    daemon.hard_fork |= {"earliest_height": 900, "enabled": True, "version": 17}
    place.write(network="mainnet")
    finding = told(await place.look("Monero is one that was tested"), "engine.untested", mend="knows the newer one")
    assert "hard fork 17" in finding.what
    assert await place.look("no hard fork is announced") == ()


async def test_announced_hard_fork_is_named_with_the_days_left(place: Place, daemon: StubDaemon) -> None:
    """The daemon's fork is named with its height and the days left, 720 blocks each, and what to do."""
    assert await place.look("no hard fork is announced") == ()
    daemon.hard_fork["earliest_height"] = daemon.info["height"] + 20 * 720
    finding = told(await place.look("no hard fork is announced", clock=lambda: 0.0), "fork.announced", mend="settle")
    assert "height 15400, expected on 1970-01-21: 20.0 days" in finding.what
    assert finding.severity == "warning"


async def test_fork_of_the_settings_needs_no_daemon_that_knows_it(place: Place, daemon: StubDaemon) -> None:
    """A height that the operator names counts where the daemon knows none, and the lower of both where it does."""
    place.write(monero__fork_height=8200)
    finding = told(await place.look("no hard fork is announced"), "fork.announced", mend="settle")
    assert "height 8200" in finding.what
    daemon.hard_fork["earliest_height"] = 3000
    assert "height 3000" in told(await place.look("no hard fork is"), "fork.announced", mend="settle").what


async def test_drain_mode_is_named(place: Place) -> None:
    """A service that refuses new escrows by its settings shows it."""
    assert await place.look("new escrows are taken") == ()
    place.write(escrows__accept_new=False)
    told(await place.look("new escrows are taken"), "escrows.draining", mend="set it to true")
