"""Finds the wallet processes that an earlier run of the service left behind, and takes them over.

A process is kept only if everything agrees: its record, its process id and start time, its login, and the wallet that
it says is open. Whatever is unknown, broken or holds another wallet is ended, by process id and start time. It gets
the time to save its wallet first. So is a process of another release of Monero than the installed program: the version
table decides by the program what may hold money, and a wallet that was left open must not escape an upgrade.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.monero.errors import NoWalletOpen
from escrowd.monero.programs import release_of
from escrowd.monero.versions import Release, is_of_release
from escrowd.wallets.errors import OtherRelease, UnknownEscrow, WrongWallet
from escrowd.wallets.pool import END_PATIENCE, WalletPool
from escrowd.wallets.process import WalletProcess
from escrowd.wallets.records import WalletRecord, WalletRecords
from escrowd.wallets.registry import ProcessRecord
from escrowd.wallets.running import ProcessIdentity, RunningProcess
from escrowd.wallets.session import OpenWallet, WalletSession

log = structlog.get_logger()

#: Seconds in which a process must say which wallet it holds.
CHECK_TIMEOUT: Final = 10.0
#: How many processes are asked at the same time.
AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Adopted:
    """What was found: sessions to serve again, and how many processes were kept in reserve or ended."""

    sessions: tuple[WalletSession, ...]
    reserve: int
    ended: int


async def adopt(pool: WalletPool, records: WalletRecords) -> Adopted:
    """Take over the running wallet processes of this run directory. Called once, before the first lease."""
    found = pool.around.registry.records()
    unknown = pool.around.registry.unknown_processes()
    escrows = {record.holding.escrow for record in found if record.holding is not None}
    known = dict(zip(escrows, await asyncio.gather(*(_wallets(records, each) for each in escrows)), strict=True))
    gate = asyncio.Semaphore(AT_ONCE)

    release = await asyncio.to_thread(release_of, pool.program.path) if found else None

    async def check(record: ProcessRecord) -> WalletProcess | None:
        async with gate:
            return await _process_of(record, pool, release)

    kept = [process for process in await asyncio.gather(*(check(record) for record in found)) if process is not None]
    sessions = _sessions(kept, known)
    mine = {wallet.server for session in sessions for wallet in session.wallets.values()}
    strays = [process for process in kept if process.holding is not None and process not in mine]
    await asyncio.gather(*(stray.end(END_PATIENCE) for stray in strays), *(_end_unknown(each) for each in unknown))
    for process in kept:
        if process not in strays:
            pool.take_over(process)
    adopted = Adopted(
        sessions,
        reserve=sum(process.holding is None for process in kept),
        ended=len(found) - len(kept) + len(strays) + len(unknown),
    )
    log.info("wallets.adopted", sessions=len(sessions), reserve=adopted.reserve, ended=adopted.ended)
    return adopted


# ---------------------------------------------------------------------------------------------------------------------


async def _wallets(records: WalletRecords, escrow: EscrowId) -> dict[WalletRole, WalletRecord]:
    try:
        return {record.role: record for record in await records.wallets_of(escrow)}
    except UnknownEscrow:
        return {}


async def _process_of(record: ProcessRecord, pool: WalletPool, release: Release | None) -> WalletProcess | None:
    """Return the process of a record if it runs and holds what the record says; end it and forget it if not."""
    try:
        process = WalletProcess.grip(record, pool.around)
    except EscrowdError as error:
        log.warning("adoption.login_sealed_otherwise", process=record.name, error=str(error))
        await _end_record(record, pool)
        return None
    if process is None:
        pool.around.registry.forget(record.name)
        return None
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await _check(process, release)
    except (EscrowdError, TimeoutError) as error:
        log.warning("adoption.refused", process=record.name, error=str(error))
        hangs_or_lies = not isinstance(error, WrongWallet | OtherRelease)
        await process.end(0 if hangs_or_lies else END_PATIENCE)
        return None
    return process


async def _check(process: WalletProcess, release: Release | None) -> None:
    version = (await process.client.get_version()).rpc_version
    if release is not None and not is_of_release(version, release):
        raise OtherRelease(f"wallet process {process.name} has the RPC {version}, and the program is of {release}")
    if process.holding is not None:
        await process.verify()
        # The settings may name another daemon by now; and a service that ended while it recorded a submission has left
        # the wallet with the address of its recorder.
        await process.client.set_daemon(process.daemon)
        return
    try:
        address = await process.client.get_address()
    except NoWalletOpen:
        return
    raise WrongWallet(f"wallet process {process.name} should hold no wallet and holds the one of {address}")


def _sessions(
    processes: Iterable[WalletProcess], known: dict[EscrowId, dict[WalletRole, WalletRecord]]
) -> tuple[WalletSession, ...]:
    """Put the wallets of each escrow together. A session that lacks one is repaired by its next lease."""
    sessions: dict[EscrowId, WalletSession] = {}
    for process in processes:
        holding = process.holding
        if holding is None:
            continue
        records = known[holding.escrow]
        record = records.get(holding.role)
        if record is None or (record.filename, record.address) != (holding.filename, holding.address):
            continue
        session = sessions.setdefault(holding.escrow, WalletSession(holding.escrow, records))
        if holding.role not in session.wallets:
            session.wallets[holding.role] = OpenWallet(record, process)
    return tuple(sessions.values())


async def _end_record(record: ProcessRecord, pool: WalletPool) -> None:
    if record.identity is not None:
        await _end_unknown(record.identity)
    pool.around.registry.forget(record.name)


async def _end_unknown(identity: ProcessIdentity) -> None:
    running = RunningProcess.grip(identity)
    if running is None:
        return
    log.warning("adoption.unknown_process_ended", pid=identity.pid)
    await running.end(END_PATIENCE)
    running.close()
