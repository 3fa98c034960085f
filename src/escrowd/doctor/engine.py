"""Checks of what is newer than escrowd: releases of Monero, hard forks that come, and whether new escrows are taken."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from escrowd.doctor.check import Check, Need, Surroundings
from escrowd.doctor.findings import Finding, Kind, warning
from escrowd.domain.networks import Network
from escrowd.monero.programs import MoneroProgram
from escrowd.monero.versions import Override, untested
from escrowd.service.engine import EngineSettings, EngineState, engine_state

UNTESTED: Final = Kind(
    "engine.untested",
    "{what}",
    "use a release that was tested, or a version of escrowd that knows the newer one; 'escrowd serve' does not start "
    "on it and takes no new escrows, unless monero.allow_untested_version is set",
)
NEWER: Final = warning(
    "engine.newer",
    "{what}",
    "see whether there is a newer escrowd, and make the first payouts with little money",
)
FORK: Final = warning(
    "fork.announced",
    "hard fork {version} is announced for height {height}, expected on {day}: {days} days are left",
    "settle what can be settled before it, and install a version of escrowd that knows it; see 'A hard fork is "
    "announced' in docs/operating.md",
)
DRAINING: Final = warning(
    "escrows.draining",
    "new escrows are refused, since escrows.accept_new is false",
    "set it to true and restart the service when new escrows are wanted again",
)


# ---------------------------------------------------------------------------------------------------------------------


async def _tested(around: Surroundings) -> Iterable[Finding]:
    is_allowed = Override.UNTESTED_VERSION in around.settings.allowed_engines
    matters = around.network is Network.MAINNET and not is_allowed
    state = await _state(around)
    return [
        (UNTESTED if each.is_refused and matters else NEWER).found(what=each.what)
        for each in untested(state.engine)
        if around.network is not Network.REGTEST
    ]


async def _fork(around: Surroundings) -> Iterable[Finding]:
    state = await _state(around)
    if state.fork is None or state.height is None or not state.blocks_left:
        return ()  # a fork that is past is one that is untested
    day = datetime.fromtimestamp(around.clock() + state.fork.seconds_left(state.height), UTC).date()
    days = state.fork.days_left(state.height)
    return (FORK.found(version=state.fork.version, height=state.fork.height, day=day, days=days),)


async def _state(around: Surroundings) -> EngineState:
    program: Path = around.settings.programs_directory.absolute() / MoneroProgram.WALLET_RPC
    settings = EngineSettings(around.network, around.settings.allowed_engines, around.settings.model.monero.fork_height)
    return await engine_state(around.daemon, program, settings)


async def _drain(around: Surroundings) -> Iterable[Finding]:
    return () if around.settings.model.escrows.accept_new else (DRAINING.found(),)


_BOTH: Final = frozenset({Need.WALLET_PROGRAM, Need.DAEMON, Need.NETWORK})

CHECKS: Final = (
    Check("Monero is one that was tested", _tested, (UNTESTED, NEWER), _BOTH),
    Check("no hard fork is announced", _fork, (FORK,), _BOTH),
    Check("new escrows are taken", _drain, (DRAINING,)),
)
