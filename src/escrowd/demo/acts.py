"""The acts of the story. Each does one thing, checks its own claim, and returns what it saw."""

import time
from typing import Final

from escrowd.demo.stage import DEPTH, Facts, Play, Stage, claim
from escrowd.domain.escrow.events import (
    Delivered,
    Disputed,
    Refunded,
    Released,
    Ruled,
    SplitAccepted,
    SplitProposed,
)
from escrowd.domain.escrow.status import Status, Who
from escrowd.domain.escrow.terms import FeeRule, Terms
from escrowd.domain.money import PICONERO_PER_XMR, format_xmr_short
from escrowd.domain.networks import Network
from escrowd.domain.payouts.records import PayoutStatus
from escrowd.service.orchestrator import EscrowView

#: What each escrow is about, in piconero.
AMOUNT: Final = 3 * PICONERO_PER_XMR // 2
#: What the operator of the service takes of what the vendor gets.
FEE_BASIS_POINTS: Final = 250
#: What the vendor gets of a split, in piconero.
VENDOR_SHARE: Final = AMOUNT // 3


async def start_a_chain(stage: Stage) -> Facts:
    """Start a private chain."""
    stage.says("monerod is starting")
    await stage.start_chain()
    info = await stage.lab.daemon.get_info()
    return {"monerod": info.version, "blocks": str(info.height)}


async def start_the_service(stage: Stage) -> Facts:
    """Start the service, and beside it three wallets that it does not own."""
    stage.says("wallets of the buyer, the vendor and the operator are made, outside of the service")
    await stage.make_outsiders()
    await stage.start_service()
    return {"outside_wallets": ", ".join(stage.outsiders), "database": "SQLite, in a directory that goes with the demo"}


async def create(stage: Stage) -> Facts:
    """Make an escrow. Its wallets are made on the spot, or were made ahead of need."""
    terms = Terms(
        network=Network.REGTEST,
        amount=AMOUNT,
        refund_address=stage.outsiders["buyer"].address,
        payout_address=stage.outsiders["vendor"].address,
        fee=FeeRule(FEE_BASIS_POINTS, stage.outsiders["operator"].address),
        confirmations=DEPTH,
    )
    scenario = f"escrow {len(stage.plays) + 1}"
    if stage.plays:
        await _until_stocked(stage)
    started = time.monotonic()
    made = await stage.running.orchestrator.create(terms)
    seconds = time.monotonic() - started
    from_stock = made.address is not None
    stage.plays.append(Play(scenario, made.id, made.address or ""))
    stage.says("buyer, vendor and arbiter make their keys, and exchange them")
    view = await stage.until_status(Status.AWAITING_FUNDING)
    address = view.escrow.address or ""
    stage.play.address = address
    return {
        "id": made.id,
        "address": address,
        "amount": _xmr(AMOUNT),
        "wallets": f"from the stock, {1000 * seconds:.0f} ms" if from_stock else "made on the spot, 2 of 3",
    }


async def fund(stage: Stage) -> Facts:
    """Pay the deposit, see it in the pool, and mine until it is final and a real wallet agrees."""
    play = stage.play
    stage.says("the buyer's money leaves")
    txid = await stage.lab.pay(play.address, AMOUNT)
    sent = time.monotonic()
    await stage.until("the deposit is seen in the pool", lambda view: view.escrow.deposit.seen >= AMOUNT)
    seen = time.monotonic() - sent
    stage.says(f"mining until it is {DEPTH} blocks deep")
    await stage.lab.mine(DEPTH)
    view = await stage.until_status(Status.FUNDED)
    play.deposit = view.escrow.deposit.confirmed
    claim(play.deposit == AMOUNT, "exactly the deposit counts")
    return {
        "txid": txid,
        "amount": _xmr(AMOUNT),
        "seen_after": f"{seen:.1f} s, in the pool",
        "depth": f"{DEPTH} blocks",
    }


async def deliver(stage: Stage) -> Facts:
    """Let the vendor say that the goods were delivered."""
    await stage.says_who(Delivered(), Who.VENDOR)
    return await _said(stage, "the vendor")


async def release(stage: Stage) -> Facts:
    """Let the buyer release the money."""
    await stage.says_who(Released(), Who.BUYER)
    return await _said(stage, "the buyer")


async def refund(stage: Stage) -> Facts:
    """Let the vendor give the money back."""
    await stage.says_who(Refunded(), Who.VENDOR)
    return await _said(stage, "the vendor")


async def agree_on_a_split(stage: Stage) -> Facts:
    """Let the buyer offer a split, and the vendor take it."""
    await stage.says_who(SplitProposed(VENDOR_SHARE), Who.BUYER)
    await stage.says_who(SplitAccepted(VENDOR_SHARE), Who.VENDOR)
    return {"vendor_share": _xmr(VENDOR_SHARE), **await _said(stage, "buyer and vendor")}


async def dispute(stage: Stage) -> Facts:
    """Let the buyer ask the arbiter."""
    await stage.says_who(Disputed("half of it was broken"), Who.BUYER)
    return await _said(stage, "the buyer")


async def rule(stage: Stage) -> Facts:
    """Let the arbiter divide the money."""
    await stage.says_who(Ruled(AMOUNT // 2), Who.ARBITER)
    return {"vendor_share": _xmr(AMOUNT // 2), **await _said(stage, "the arbiter")}


async def pay_out(stage: Stage) -> Facts:
    """Sign with two of three keys, send, and mine until the payout is final."""
    view = await stage.until("the payout is sent", _is_sent)
    payout = view.payouts[-1]
    for one in payout.transactions:
        stage.play.network_fees += one.network_fee
        for output in one.outputs:
            stage.play.paid[output.to] = stage.play.paid.get(output.to, 0) + output.amount
    stage.says(f"mining until it is {DEPTH} blocks deep")
    await stage.lab.mine(DEPTH)
    view = await stage.until("the payout is final", lambda seen: seen.escrow.has_ended)
    return {
        "txid": ", ".join(one.txid for one in payout.transactions),
        **{_name(stage, to): _xmr(amount) for to, amount in stage.play.paid.items()},
        "network_fee": _xmr(stage.play.network_fees),
        "status": view.escrow.status,
    }


async def prove_from_outside(stage: Stage) -> Facts:
    """Ask the wallets that the service does not own what they got, and compare to the piconero."""
    play = stage.play
    facts: Facts = {}
    for name, outsider in stage.outsiders.items():
        got = await stage.received_by(name)
        claim(got == play.paid.get(outsider.address, 0), f"the {name}'s wallet shows what was paid to it")
        if got:
            facts[f"the_{name}s_wallet_shows"] = _xmr(got)
    paid = sum(play.paid.values()) + play.network_fees
    claim(paid == play.deposit, "deposit = payouts + network fee, to the piconero")
    facts["sum"] = f"{_xmr(play.deposit)} paid in = {_xmr(paid)} paid out, network fee included"
    return facts


async def close_everything(stage: Stage) -> Facts:
    """Stop the service and the chain; nothing is left running."""
    counters = stage.running.worker.counters
    escrows = str(len(stage.plays))
    await stage.close()
    return {"escrows": escrows, "steps_of_work": str(counters.steps), "failures": str(counters.failures)}


# ---------------------------------------------------------------------------------------------------------------------


async def _until_stocked(stage: Stage) -> None:
    """Let the stock be ready, if it is being filled: making a set ahead is what it is for."""
    stage.says("the stock is being filled")
    await stage.stock_is_ready()


async def _said(stage: Stage, who: str) -> Facts:
    view = await stage.running.orchestrator.view(stage.play.escrow)
    return {"by": who, "status": view.escrow.status}


def _is_sent(view: EscrowView) -> bool:
    return bool(view.payouts) and view.payouts[-1].status in (PayoutStatus.BROADCAST, PayoutStatus.CONFIRMED)


def _name(stage: Stage, address: str) -> str:
    return next((f"to_the_{name}" for name, each in stage.outsiders.items() if each.address == address), address)


def _xmr(amount: int) -> str:
    return f"{format_xmr_short(amount)} XMR"
