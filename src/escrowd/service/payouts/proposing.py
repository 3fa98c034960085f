"""How several receivers are paid exact amounts, out of all that there is.

Since ``Capability.SUBTRACT_FEE`` one receiver bears the fee: the wallet takes it out of that output, and nothing is
left over. That output is the first one. With more than two outputs wallet2 counts wrongly which of them bear the fee,
unless it is the first (``create_transactions_2``: ``pop_index`` moves the last one up), and refuses what it built.

Before ``Capability.SUBTRACT_FEE`` the amounts have to be known before the fee is, and what they leave beyond it becomes
change. wallet2 asks for the fee of its own estimate, which we can reckon too: with just that set aside nothing is left
over. Where it asks for something else, a first proposal is built to learn that, and thrown away; the signers get fresh
nonces, and it is built again.

Out of many small inputs wallet2 may refuse what it has just asked for: once it adds inputs for the sake of the fee, it
counts only those (``create_transactions_2``). Then a little more is set aside, and what is not needed comes back to the
escrow's own address, too little to be worth its own fee.
"""

from collections.abc import Callable, Mapping
from typing import Final

import structlog

from escrowd.domain.payouts.fees import FeeRate
from escrowd.domain.payouts.plan import NotAllThere, PayoutPlan
from escrowd.service.payouts.errors import TooManyInputs
from escrowd.service.payouts.wallets import Proposal, Signers

log = structlog.get_logger()

#: By how many percent more than the expected fee is set aside, one after the other.
MARGINS: Final = (0, 1, 3, 7, 14, 25, 40)
#: How often a plan is fitted to what the wallet spends.
ROUNDS: Final = 4


async def propose_less_fee(signers: Signers, plan: PayoutPlan, rate: FeeRate) -> Proposal:
    """Build one transaction that pays all receivers, and whose fee one of them bears. Needs ``SUBTRACT_FEE``.

    Raises:
        ProposalRefused: the wallet does not build it.

    """
    outputs = plan.outputs_before_fee(plan.expected_fee(rate))
    bearer_first = sorted(outputs, key=lambda each: each.to != plan.bearer.address)
    return await signers.transfer_less_fee(plan, bearer_first)


async def propose_exact_amounts(
    signers: Signers, plan: PayoutPlan, rate: FeeRate, key_images: Mapping[str, str], check: Callable[[], None]
) -> tuple[Proposal, PayoutPlan]:
    """Build one transaction that pays all receivers; return it, and the plan that it carries out.

    wallet2 takes no more inputs than it needs. One that is worth less than the fee it may leave out. Then the parts of
    the receivers are reckoned anew without it: it is the buyer's, to whom it goes back later if it is worth that. Where
    the wallet then leaves out a further one each time, it counts as a part of what is set aside for the network.

    ``key_images`` names the key image of each one-time key; ``check`` is called before the signers are used once more.

    Raises:
        TooManyInputs: the wallet does not get along with so many small ones.
        Uneconomic: the network takes it all.

    """
    key_of = {image: key for key, image in key_images.items()}
    fitted = plan
    for _ in range(ROUNDS):
        proposal = await _built(signers, fitted, rate, check)
        spent = _spent(proposal, key_of)
        if spent == set(fitted.keys):
            return proposal, fitted
        log.info("payout.inputs_left_out", planned=len(fitted.keys), spent=len(spent))
        try:
            fitted = plan.spending(spent)
        except NotAllThere:
            # The vendor's side is to get more than is spent: the deposit itself came in pieces as small as that.
            break
        await _refreshed(signers, check)
    await _refreshed(signers, check)
    proposal = await _built(signers, plan, rate, check)
    return proposal, plan.sparing(_spent(proposal, key_of))


# ---------------------------------------------------------------------------------------------------------------------


def _spent(proposal: Proposal, key_of: Mapping[str, str]) -> set[str]:
    return {key_of.get(image, "") for each in proposal.key_images for image in each}


async def _built(signers: Signers, plan: PayoutPlan, rate: FeeRate, check: Callable[[], None]) -> Proposal:
    asked = rate.asked(len(plan.inputs), len(plan.receivers))
    first, margin = await _with_margin(signers, plan, rate, asked)
    if first is not None and (margin or sum(first.fees) == asked):
        return first
    if first is None:
        first = await signers.transfer(plan, plan.outputs(2 * asked, plan.expected_fee(rate)))
    if first is None:
        raise TooManyInputs(
            f"the wallet does not pay {len(plan.receivers)} receivers out of {len(plan.inputs)} outputs"
        )
    learned = sum(first.fees)
    log.info("payout.fee_learned", fee=learned, expected=asked)
    await _refreshed(signers, check)
    second, _ = await _with_margin(signers, plan, rate, learned)
    if second is None:
        raise TooManyInputs(f"the wallet asked for a fee of {learned} piconero, and does not build with that")
    return second


async def _refreshed(signers: Signers, check: Callable[[], None]) -> None:
    """Give the signers fresh nonces: what was built holds signatures, and no second one is made with the same."""
    check()
    await signers.import_from_each_other(await signers.export())


async def _with_margin(signers: Signers, plan: PayoutPlan, rate: FeeRate, fee: int) -> tuple[Proposal | None, int]:
    """Build with the smallest margin that works; return it, too.

    What was refused has left no signature outside the wallet, so the same nonces serve for the next one.
    """
    for margin in MARGINS:
        proposal = await signers.transfer(plan, plan.outputs(fee + fee * margin // 100, plan.expected_fee(rate)))
        if proposal is not None:
            return proposal, margin
    return None, 0
