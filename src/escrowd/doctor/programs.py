"""Checks of the wallet program and of the wallet files."""

import asyncio
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import select

from escrowd.doctor.check import Check, Need, Surroundings, others_may
from escrowd.doctor.findings import Finding, Kind, warning
from escrowd.domain.networks import Network
from escrowd.monero.errors import UnknownVersion
from escrowd.monero.programs import MoneroProgram, release_of
from escrowd.monero.versions import Release, risks
from escrowd.store import schema

MISSING: Final = Kind(
    "wallet_program.missing",
    "{program} is missing",
    "run scripts/install-monero (or 'make setup'), or name the directory of your own programs as monero.directory",
)
NOT_EXECUTABLE: Final = Kind(
    "wallet_program.not_executable",
    "{path} may not be executed",
    "run: chmod +x {path}; its file system must not be mounted with noexec",
)
NOT_MONERO: Final = Kind(
    "wallet_program.not_monero",
    "{path} prints no version of Monero: {why}",
    "name a directory with monero-wallet-rpc of Monero 0.18, built for this machine, as monero.directory",
)
OTHER_VERSION: Final = warning(
    "wallet_program.other_version",
    "{path} is of Monero {here}, and the daemon of {there}",
    "install both of the same release; the newer one of both is the one to keep",
)
#: The sentences are those of ``risks()``, for which the service does not start, or warns at its start.
AT_RISK: Final = Kind(
    "wallet_program.at_risk",
    "{path} is not fit for real money. {risk}",
    "install a newer release, and replace the programs as docs/operating.md says under 'Upgrading Monero'",
)
FILES_MISSING: Final = Kind(
    "wallets.files_missing",
    "wallet files that are not in {directory}: {count}, {first} among them",
    "bring them back from a backup, or run 'escrowd restore': the keys are also in the database, under seal",
)
FILES_READABLE: Final = Kind(
    "wallets.files_readable",
    "wallet files that others than their owner may read: {count}, {first} among them (mode {mode})",
    "run: chmod -R go-rwx {directory}",
)


# ---------------------------------------------------------------------------------------------------------------------


async def _there(around: Surroundings) -> Iterable[Finding]:
    program = _program(around)
    if not program.is_file():
        return (MISSING.found(program=program),)
    return () if os.access(program, os.X_OK) else (NOT_EXECUTABLE.found(path=program),)


def _program(around: Surroundings) -> Path:
    return around.settings.programs_directory.absolute() / MoneroProgram.WALLET_RPC


async def _tells_version(around: Surroundings) -> Iterable[Finding]:
    path = _program(around)
    try:
        await _release(path)
    except (OSError, UnknownVersion) as error:
        return (NOT_MONERO.found(path=path, why=error),)
    return ()


async def _release(path: Path) -> Release:
    return await asyncio.to_thread(release_of, path)


async def _same_version(around: Surroundings) -> Iterable[Finding]:
    path = _program(around)
    here = await _release(path)
    info = await around.daemon.get_info()
    if info.restricted or here == info.running_release:
        return ()
    return (OTHER_VERSION.found(path=path, here=here, there=info.running_release),)


async def _risks(around: Surroundings) -> Iterable[Finding]:
    if around.network is not Network.MAINNET:
        return ()
    path = _program(around)
    here = await _release(path)
    return [AT_RISK.found(path=path, risk=f"Monero {here}: {each.what}") for each in risks(here)]


async def _files(around: Surroundings) -> Iterable[Finding]:
    """Look for the keys of each wallet that this node has made. A cache that is missing is made again."""
    directory = around.settings.wallet_directory
    query = (
        select(schema.wallets.c.filename)
        .join(schema.key_sets, schema.key_sets.c.escrow == schema.wallets.c.escrow)
        .where(schema.key_sets.c.node == around.settings.model.node)
        .order_by(schema.wallets.c.escrow)
    )
    async with around.opened.reading() as session:
        names = (await session.connection.execute(query)).scalars().all()
    missing = await asyncio.to_thread(
        lambda: [each for each in names if not (directory / f"{each}.keys").exists()],
    )
    if not missing:
        return ()
    return (FILES_MISSING.found(count=len(missing), directory=directory, first=f"{missing[0]}.keys"),)


async def _private(around: Surroundings) -> Iterable[Finding]:
    directory = around.settings.wallet_directory
    found = await asyncio.to_thread(lambda: tuple(_readable(directory)))
    if not found:
        return ()
    first, mode = found[0]
    return (FILES_READABLE.found(count=len(found), first=first, mode=mode, directory=directory),)


def _readable(directory: Path) -> Iterator[tuple[Path, str]]:
    if not directory.is_dir():
        return
    for path in (directory, *sorted(directory.iterdir())):
        try:
            mode = others_may(path)
        except FileNotFoundError:
            continue  # a wallet was saved meanwhile
        if mode:
            yield path, mode


_PROGRAM: Final = frozenset({Need.WALLET_PROGRAM})
_HERE: Final = frozenset({Need.WALLET_PROGRAM_THERE})

CHECKS: Final = (
    Check("the wallet program is there", _there, (MISSING, NOT_EXECUTABLE), gives=Need.WALLET_PROGRAM_THERE),
    Check("the wallet program runs", _tells_version, (NOT_MONERO,), _HERE, gives=Need.WALLET_PROGRAM),
    Check("wallet program and daemon are of one release", _same_version, (OTHER_VERSION,), _PROGRAM | {Need.DAEMON}),
    Check("the wallet program is fit for real money", _risks, (AT_RISK,), _PROGRAM),
    Check("the wallet files are there", _files, (FILES_MISSING,), frozenset({Need.DATA_DIRECTORY, Need.SCHEMA})),
    Check("the wallet files are private", _private, (FILES_READABLE,), frozenset({Need.DATA_DIRECTORY})),
)
