"""``escrowd serve`` on mainnet refuses a Monero that may not hold money, before anything is opened."""

from pathlib import Path

import pytest

from escrowd.bootstrap.engine_gate import EngineRefused, check_engine
from escrowd.bootstrap.from_settings import engine_settings_of, house_of
from escrowd.cli.serve import serve_until_told
from escrowd.monero.errors import UnknownVersion
from tests.doctor_place import Place, make_place, stub_daemon, write_program


async def check(place: Place) -> None:
    settings = place.loaded()
    await check_engine(house_of(settings).program, engine_settings_of(settings))


async def test_old_wallets_are_refused_on_mainnet_unless_allowed(tmp_path: Path) -> None:
    """Wallets of 0.18.0.0 are refused with the risk to keys and the setting that allows them, which then does."""
    async with stub_daemon() as daemon:
        place = make_place(tmp_path, daemon.port, network="mainnet")
        await check(place)
        write_program(place.program, "Monero 'Fluorine Fermi' (v0.18.0.0-unknown)")
        with pytest.raises(EngineRefused, match=r"nonces.*monero\.allow_unsafe_version = true"):
            await check(place)
        place.write(monero__allow_unsafe_version=True)
        await check(place)


async def test_refused_service_opens_nothing(tmp_path: Path) -> None:
    """The refusal comes before the database is made and before anything runs."""
    async with stub_daemon() as daemon:
        place = make_place(tmp_path, daemon.port, network="mainnet")
        write_program(place.program, "Monero 'Fluorine Fermi' (v0.18.5.0-release)")
        with pytest.raises(EngineRefused):
            await serve_until_told(place.loaded())
        assert not (place.data / "escrowd.sqlite").exists()


async def test_untested_daemon_is_refused_on_mainnet_unless_allowed(tmp_path: Path) -> None:
    """A daemon of 0.19 is refused with good wallets; a hard fork above the known one on a known daemon is, too (E8)."""
    async with stub_daemon() as daemon:
        place = make_place(tmp_path, daemon.port, network="mainnet")
        daemon.info["version"] = "0.19.0.0-release"
        with pytest.raises(EngineRefused, match=r"monerod is of Monero 0\.19\.0\.0"):
            await check(place)
        daemon.info["version"] = "0.18.5.3-release"
        daemon.hard_fork |= {"version": 17, "earliest_height": 900, "enabled": True}
        with pytest.raises(EngineRefused, match="hard fork 17"):
            await check(place)
        place.write(monero__allow_untested_version=True)
        await check(place)


async def test_other_networks_are_not_refused(tmp_path: Path) -> None:
    """Whatever the versions are, a test network and a private chain are served."""
    async with stub_daemon() as daemon:
        daemon.info["version"] = "1.0.0.0-release"
        for network in ("stagenet", "testnet", "regtest"):
            place = make_place(tmp_path / network, daemon.port, network=network)
            write_program(place.program, "Monero 'Fluorine Fermi' (v0.18.0.0-unknown)")
            await check(place)


async def test_daemon_that_is_away_hides_no_old_wallets(tmp_path: Path) -> None:
    """Without a daemon the service starts on good wallets, and is refused on old ones all the same."""
    async with stub_daemon() as daemon:
        port = daemon.port
    place = make_place(tmp_path, port, network="mainnet")
    await check(place)
    write_program(place.program, "Monero 'Fluorine Fermi' (v0.18.5.0-release)")
    with pytest.raises(EngineRefused, match="nonces"):
        await check(place)


async def test_program_of_no_version_is_refused(tmp_path: Path) -> None:
    """A program that prints no version of Monero is never taken for a good one."""
    async with stub_daemon() as daemon:
        place = make_place(tmp_path, daemon.port, network="mainnet")
        write_program(place.program, "GNU coreutils")
        with pytest.raises(UnknownVersion):
            await check(place)
