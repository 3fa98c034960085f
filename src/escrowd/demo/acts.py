"""The acts of the story. Each does one thing, checks its own claim, and returns what it saw."""

import statistics
import time
from typing import Final

from escrowd.demo.stage import MAX_SESSIONS, Facts, Stage, claim
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.money import PICONERO_PER_XMR, format_xmr_short
from escrowd.domain.parties import WalletRole
from escrowd.testing.chain_cache import BLOCKS
from escrowd.testing.house import open_sessions
from escrowd.wallets.errors import ProcessLost
from escrowd.wallets.process import WalletProcess
from escrowd.wallets.registry import ProcessRecord
from escrowd.wallets.running import RunningProcess
from escrowd.wallets.session import SessionLease
from escrowd.wallets.settings import AtExit

#: Piconero that are paid into the first escrow.
DEPOSIT: Final = 3 * PICONERO_PER_XMR // 2
#: Blocks until money may be spent.
DEPTH: Final = 10
#: How often the balance is looked at.
LOOKS: Final = 10
#: The wallets of the sessions that may be open at the same time.
WALLETS: Final = MAX_SESSIONS * len(WalletRole)


async def start_a_chain(stage: Stage) -> Facts:
    """Start a private chain, with the wallets of four escrows on disk beside it."""
    stage.says("monerod is starting")
    await stage.start_chain(escrows=MAX_SESSIONS + 1)
    info = await stage.lab.daemon.get_info()
    claim(info.height > BLOCKS, f"the chain has {BLOCKS} blocks on top of its first one")
    return {"monerod": info.version, "blocks": str(info.height)}


async def open_three_sessions(stage: Stage) -> Facts:
    """Start the service and open all sessions that may be open: nine real wallets in nine processes."""
    escrows = stage.house.escrows[:MAX_SESSIONS]
    started = time.monotonic()
    await stage.start_service(AtExit.LEAVE)
    await open_sessions(stage.running, escrows)
    stage.measured.opening = time.monotonic() - started
    for escrow in escrows:
        await _claim_two_of_three(stage, escrow)
    processes = {record.identity for record in stage.holders}
    claim(len(processes) == WALLETS, f"each of {WALLETS} wallets is open in a process of its own")
    addresses = {stage.name(escrow).replace(" ", "_"): _short(stage.wallets(escrow).address) for escrow in escrows}
    return {"wallets": str(len(stage.holders)), "processes": str(len(processes)), **addresses}


async def pay_a_deposit(stage: Stage) -> Facts:
    """Pay the first escrow from the funder, mine until the money may be spent, and ask all three wallets."""
    escrow = stage.house.escrows[0]
    stage.says("the payer's wallet opens, and pays")
    txid = await stage.lab.pay(stage.wallets(escrow).address, DEPOSIT)
    stage.says(f"mining until it is {DEPTH} blocks deep")
    await stage.lab.mine(DEPTH)
    async with stage.running.manager.lease(escrow) as lease:
        for role in lease.roles:
            await _claim_deposit_is_there(lease, role)
            found = (await lease.wallet(role).get_transfer_by_txid(txid)).transfer
            claim(
                (found.amount, found.confirmations) == (DEPOSIT, DEPTH),
                f"the {role}'s wallet finds the deposit {DEPTH} blocks deep",
            )
    return {"txid": txid, "amount": _xmr(DEPOSIT), "depth": f"{DEPTH} blocks", "seen_by": ", ".join(lease.roles)}


async def look_at_the_balance(stage: Stage) -> Facts:
    """Lease the session, verify the wallet and read its balance, several times, without any open or close."""
    escrow = stage.house.escrows[0]
    seconds = []
    for _ in range(LOOKS):
        started = time.monotonic()
        async with stage.running.manager.lease(escrow, (WalletRole.ARBITER,)) as lease:
            await _claim_deposit_is_there(lease, WalletRole.ARBITER)
        seconds.append(time.monotonic() - started)
    made = stage.methods_since(stage.act_began)
    claim(made["get_balance"] == LOOKS, "each look asked the wallet")
    claim(not made["open_wallet"] + made["close_wallet"], "no look opened or closed a wallet")
    stage.measured.look = statistics.median(seconds)
    return {
        "balance": _xmr(DEPOSIT),
        "median": _milliseconds(stage.measured.look),
        "slowest": _milliseconds(max(seconds)),
        "opened": str(made["open_wallet"]),
        "closed": str(made["close_wallet"]),
    }


async def use_one_escrow_too_many(stage: Stage) -> Facts:
    """Ask for one session more than may be open: the least recently used one makes room, saved."""
    manager = stage.running.manager
    before = [info.escrow for info in manager.list_sessions()]
    victim, kept, newcomer = before[0], before[1:], stage.house.escrows[MAX_SESSIONS]
    began = time.time()
    stage.says(f"{stage.name(victim)} makes room")
    await open_sessions(stage.running, (newcomer,))
    claim({info.escrow for info in manager.list_sessions()} == {*kept, newcomer}, f"only {victim} was evicted")
    claim(manager.get_stats().counters.evictions == 1, "one session was evicted")
    saved = stage.saved_since(began, (victim,))
    claim(saved == len(WalletRole), f"the wallets of {victim} were saved before they were closed")
    stage.evicted = victim
    return {
        "evicted": f"{stage.name(victim)}, the least recently used",
        "saved": f"{saved} wallets",
        "opened": stage.name(newcomer),
        "open_now": ", ".join(sorted(stage.name(info.escrow) for info in manager.list_sessions())),
    }


async def kill_a_wallet(stage: Stage) -> Facts:
    """Kill the process of one wallet; the next lease finds out and opens that one wallet again."""
    escrow, role = stage.house.escrows[0], WalletRole.VENDOR
    record = stage.holder(escrow, role)
    await _kill(record)
    started = time.monotonic()
    async with stage.running.manager.lease(escrow) as lease:
        await _claim_deposit_is_there(lease, role)
    seconds = time.monotonic() - started
    opened = stage.methods_since(stage.act_began)["open_wallet"]
    claim(opened == 1, "the lost wallet was opened again, and no other")
    claim(stage.holder(escrow, role).identity != record.identity, "it is open in another process")
    return {
        "killed": f"the {role}'s wallet of {stage.name(escrow)}, process {_pid(record)}",
        "repaired_in": f"{seconds:.1f} s, by the next who used it",
        "opened": f"{opened} wallet",
        "balance": _xmr(DEPOSIT),
    }


async def swap_a_wallet(stage: Stage) -> Facts:
    """Open another escrow's wallet in a process of the first one; the next lease does not fall for it."""
    escrow, role = stage.house.escrows[0], WalletRole.BUYER
    record = stage.holder(escrow, role)
    stage.says(f"opening a wallet of {stage.name(stage.evicted)} in process {_pid(record)}")
    await _open_another_wallet(stage, record)
    mark = len(stage.calls)
    stage.says("using the session")
    started = time.monotonic()
    async with stage.running.manager.lease(escrow) as lease:
        await _claim_deposit_is_there(lease, role)
    seconds = time.monotonic() - started
    asked = stage.methods_since(mark, record.port)
    claim(asked.keys() <= {"get_attribute", "get_address"}, f"the wrong wallet was asked only who it is, not {asked}")
    claim(stage.holder(escrow, role).identity != record.identity, "the right wallet is open in another process")
    return {
        "swapped": f"the {role}'s wallet, for one of {stage.name(stage.evicted)}",
        "asked_of_it": f"only who it is: {', '.join(sorted(asked))}",
        "mended_in": f"{seconds:.1f} s",
        "balance": _xmr(DEPOSIT),
    }


async def kill_the_service(stage: Stage) -> Facts:
    """Restart the service in a process of its own, kill that, and start again: each time the wallets stay open."""
    stage.says("the service moves to a process of its own")
    held = {record.identity for record in stage.holders}
    await stage.stop_service()
    async with stage.house.service(0) as service:
        claim({record.identity for record in stage.holders} == held, "the wallets are open when the service is killed")
        await service.kill()
    mark = len(stage.calls)
    stage.says("the next start of the service")
    started = time.monotonic()
    await stage.start_service(AtExit.CLOSE)
    stage.measured.adoption = time.monotonic() - started
    adopted = sum(len(session.wallets) for session in stage.running.adopted.sessions)
    async with stage.running.manager.lease(stage.house.escrows[0]) as lease:
        await _claim_deposit_is_there(lease, WalletRole.BUYER)
    opened = stage.methods_since(mark)["open_wallet"]
    claim((adopted, opened) == (WALLETS, 0), f"{WALLETS} wallets are adopted and none is opened")
    claim({record.identity for record in stage.holders} == held, "the wallets are in the processes they were in")
    return {
        "killed": f"the service, process {service.identity.pid}",
        "next_start": f"{_milliseconds(stage.measured.adoption)} until all sessions were ready",
        "wallets_adopted": str(adopted),
        "wallets_opened": str(opened),
        "balance": _xmr(DEPOSIT),
    }


async def close_everything(stage: Stage) -> Facts:
    """Stop the service for good and the chain after it: all wallets saved, no process and no record left."""
    escrows = [info.escrow for info in stage.running.manager.list_sessions()]
    began = time.time()
    stage.says("wallets are saved")
    await stage.stop_service()
    saved = stage.saved_since(began, escrows)
    claim(saved == WALLETS, f"all {WALLETS} wallets were saved")
    left = (*stage.registry.records(), *stage.registry.unknown_processes())
    claim(not left, "no wallet process and no record of one is left")
    stage.says("the chain ends")
    await stage.close()
    left_running = stage.still_running()
    claim(not left_running, "no process of this story still runs")
    return {
        "wallets_saved": str(saved),
        "wallet_processes_ended": str(stage.seen),
        "processes_left": str(len(left_running)),
    }


# ---------------------------------------------------------------------------------------------------------------------


async def _claim_two_of_three(stage: Stage, escrow: EscrowId) -> None:
    address = stage.wallets(escrow).address
    async with stage.running.manager.lease(escrow) as lease:
        for role in lease.roles:
            claim(await lease.wallet(role).get_address() == address, f"the {role}'s wallet has the escrow's address")
            status = await lease.wallet(role).is_multisig()
            claim(
                (status.ready, status.threshold, status.total) == (True, 2, 3), f"the {role}'s wallet is one of 2-of-3"
            )


async def _claim_deposit_is_there(lease: SessionLease, role: WalletRole) -> None:
    balance = await lease.balance(role)
    claim(
        balance.balance == balance.unlocked_balance == DEPOSIT,
        f"the {role}'s wallet has {_xmr(DEPOSIT)} to spend, "
        f"not {format_xmr_short(balance.unlocked_balance)} of {_xmr(balance.balance)}",
    )


async def _kill(record: ProcessRecord) -> None:
    running = RunningProcess.grip(record.identity) if record.identity else None
    if running is None:
        raise ProcessLost(f"wallet process {record.name} ended by itself")
    await running.kill()
    running.close()


async def _open_another_wallet(stage: Stage, record: ProcessRecord) -> None:
    """Open a wallet of the evicted escrow in a process, past the session that the process belongs to."""
    process = WalletProcess.grip(record, stage.running.pool.around)
    if process is None:
        raise ProcessLost(f"wallet process {record.name} ended by itself")
    other = stage.wallets(stage.evicted).wallets[WalletRole.BUYER]
    await process.client.open_wallet(other.filename, other.password)
    process.running.close()


def _pid(record: ProcessRecord) -> int:
    return record.identity.pid if record.identity else 0


def _short(address: str) -> str:
    return f"{address[:10]}...{address[-6:]}"


def _xmr(amount: int) -> str:
    return f"{format_xmr_short(amount)} XMR"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 0.1 else f"{1000 * seconds:.0f} ms"
