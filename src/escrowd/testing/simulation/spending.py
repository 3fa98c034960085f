"""How a simulated wallet builds transactions: what it picks, what it leaves out, and what that costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from escrowd.domain.money import format_xmr
from escrowd.domain.payouts.fees import FeeRate, estimated_weight
from escrowd.monero.errors import NotEnoughMoney, TransferRefused
from escrowd.monero.results_wallet import Recipient
from escrowd.testing.simulation.addresses import address
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.faults import Hostility
from escrowd.testing.simulation.signing import Proposed, SetInput, TransactionSet
from escrowd.testing.simulation.transactions import SimulatedOutput
from escrowd.testing.simulation.wallet import Known, SimulatedWallet

#: Piconero per byte of weight at the lowest priority, and how many times that each priority pays.
FEE_PER_BYTE: Final = 20_000
MULTIPLES: Final = (1, 1, 4, 20, 166)
#: By how many bytes a transaction is lighter than its estimate, as recorded on a young chain: at all, for each input,
#: for each output beyond two, and with several receivers, who get no encrypted payment id.
LIGHTER: Final = (10, 19, 4, 11)
#: Inputs of the largest transaction that wallet2 was seen to build.
MOST_INPUTS: Final = 146


@dataclass(frozen=True, slots=True)
class Costs:
    """What the chain of a world asks for, and how many outputs a wallet sweeps with one transaction."""

    most_inputs: int = MOST_INPUTS
    #: By how many percent more a wallet asks for than anybody expects, where it pays several.
    unexpected: int = 0

    def of_sweep(self, inputs: int, priority: int) -> int:
        """Return the fee of a sweep, in piconero."""
        return rate(priority).estimate(inputs, 2)

    def of_transfer(self, inputs: int, receivers: int, priority: int) -> int:
        """Return the fee of a payment to several, in piconero."""
        return rate(priority).asked(inputs, receivers) * (100 + self.unexpected) // 100

    def of_built(self, inputs: int, receivers: int, priority: int, *, has_change: bool) -> int:
        """Return the fee of the weight of what was made, in piconero."""
        weight = built_weight(inputs, receivers, has_change=has_change)
        return rate(priority).of(weight) * (100 + self.unexpected) // 100


def built_weight(inputs: int, receivers: int, *, has_change: bool) -> int:
    """Return the weight of a transaction that was made."""
    outputs = max(2, receivers + has_change)
    always, each_input, each_output, several = LIGHTER
    lighter = always + each_input * inputs + each_output * (outputs - 2) + (several if receivers > 1 else 0)
    return estimated_weight(inputs, outputs) - lighter


def rate(priority: int) -> FeeRate:
    """Return what a byte costs at a priority."""
    return FeeRate(FEE_PER_BYTE * MULTIPLES[priority])


class Builder:
    """Builds transaction sets for one wallet."""

    def __init__(
        self, wallet: SimulatedWallet, chain: SimulatedChain, costs: Costs, now: int, *, is_new: bool = False
    ) -> None:
        self._is_new = is_new
        self._wallet = wallet
        self._chain = chain
        self._costs = costs
        self._now = now

    def sweep(self, address: str, account: int, priority: int, *, all_indices: bool) -> TransactionSet:
        """Pay all of an account to the address, in as many transactions as it takes.

        Raises:
            TransferRefused: there is nothing, or it is not worth its fee.

        """
        if not any(self._wallet.is_unlocked(each, self._now) for each in self._wallet.unspent(account)):
            raise TransferRefused("sweep_all", -4, "No unlocked balance in the specified account")
        chosen = self._usable(account, priority)
        if not all_indices:
            index = max((each.mined.output.address_index for each in chosen), default=0)
            chosen = [each for each in chosen if each.mined.output.address_index == index]
        size = self._costs.most_inputs
        batches = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        built = [self._swept(batch, address, priority) for batch in batches]
        if not built or None in built:
            raise TransferRefused("sweep_all", -4, "No unlocked balance in the specified subaddress(es)")
        return TransactionSet(self._wallet.name, self._wallet.role, tuple(each for each in built if each is not None))

    def transfer(
        self,
        recipients: Sequence[Recipient],
        account: int,
        indices: Sequence[int],
        priority: int,
        subtract: Sequence[int],
    ) -> TransactionSet:
        """Pay the recipients, out of as few outputs of the account as do, and the rest back to the wallet.

        ``indices`` names the addresses of the account that may be emptied; without any, all may.

        Raises:
            NotEnoughMoney: it has less than that and the fee.
            TransferRefused: it takes more outputs than one transaction holds.

        """
        self._need_balance(recipients, account, indices, priority, subtract)
        usable = sorted(self._usable(account, priority, indices), key=_amount, reverse=True)
        if not usable:
            raise TransferRefused("transfer", -16, "No transaction created")
        for count in range(1, len(usable) + 1):
            if count > MOST_INPUTS:
                raise TransferRefused("transfer", -18, "Transaction would be too large.  try /transfer_split.")
            built = self._transferred(usable[:count], recipients, priority, subtract)
            if built is not None:
                return TransactionSet(self._wallet.name, self._wallet.role, (built,))
        raise TransferRefused("transfer", -16, "tx not possible")

    def _transferred(
        self, chosen: Sequence[Known], recipients: Sequence[Recipient], priority: int, subtract: Sequence[int]
    ) -> Proposed | None:
        """Pay out of exactly these outputs, or return ``None`` where they are too little for amounts and fee."""
        rest = sum(map(_amount, chosen)) - sum(each.amount for each in recipients)
        if subtract:
            fee = self._costs.of_built(len(chosen), len(recipients), priority, has_change=rest > 0)
            paid = _less(recipients, subtract, fee)
            return self._built(chosen, paid, rest, fee) if rest >= 0 and paid is not None else None
        # The estimate has to be there in any case. Since 0.18.3.2 what is charged is the fee of the weight of what was
        # made, which is a little less: no amounts are both possible and without change (commit bdebf680b).
        estimate = self._costs.of_transfer(len(chosen), len(recipients), priority)
        fee = estimate
        if self._is_new:
            fee = self._costs.of_built(len(chosen), len(recipients), priority, has_change=True)
        return self._built(chosen, recipients, rest - fee, fee) if rest >= max(fee, estimate) else None

    def _need_balance(
        self,
        recipients: Sequence[Recipient],
        account: int,
        indices: Sequence[int],
        priority: int,
        subtract: Sequence[int],
    ) -> None:
        """Hold first all money, then the unlocked, against amounts and least fee (``create_transactions_2``)."""
        here = [each for each in self._wallet.unspent(account) if _is_at(each, indices)]
        needed = sum(each.amount for each in recipients) + (0 if subtract else rate(priority).estimate(1, 2))
        if sum(map(_amount, here)) < needed:
            raise NotEnoughMoney("transfer", -17, "not enough money")
        if sum(_amount(each) for each in here if self._wallet.is_unlocked(each, self._now)) < needed:
            raise NotEnoughMoney("transfer", -37, "not enough unlocked money")

    def _usable(self, account: int, priority: int, indices: Sequence[int] = ()) -> list[Known]:
        """Return what it may spend: unlocked, not frozen, worth its fee, and with the co-signers' data.

        The rest it passes over in silence.
        """
        dust = rate(priority).dust()
        return [
            each
            for each in self._wallet.unspent(account)
            if each.imported
            and _is_at(each, indices)
            and each.key_image not in self._wallet.frozen
            and self._wallet.is_unlocked(each, self._now)
            and _amount(each) >= dust
        ]

    def _swept(self, batch: Sequence[Known], address: str, priority: int) -> Proposed | None:
        fee = self._costs.of_sweep(len(batch), priority)
        amount = sum(map(_amount, batch)) - fee
        return self._built(batch, [Recipient(address, amount)], 0, fee) if amount > 0 else None

    def _built(self, chosen: Sequence[Known], paid: Sequence[Recipient], change: int, fee: int) -> Proposed:
        outputs = [
            SimulatedOutput(self._chain.unique("key"), *_owner(each.address, self._wallet), each.amount)
            for each in paid
        ]
        if change:
            outputs.append(SimulatedOutput(self._chain.unique("key"), self._wallet.name, self._wallet.address, change))
        return Proposed(
            unique=self._chain.unique("proposal"),
            inputs=tuple(_input(each) for each in chosen),
            outputs=tuple(outputs),
            change=change,
            change_address=self._wallet.address if change else "",
            fee=fee,
            weight=built_weight(len(chosen), len(paid), has_change=change > 0),
        )


def hostile(made: TransactionSet, how: Hostility | None) -> TransactionSet:
    """Return the set as a wallet proposes it that somebody has taken over."""
    return made if how is None else replace(made, transactions=tuple(_turned(each, how) for each in made.transactions))


# ---------------------------------------------------------------------------------------------------------------------


def _turned(proposed: Proposed, how: Hostility) -> Proposed:
    first = proposed.outputs[0]
    match how:
        case Hostility.PAYS_A_STRANGER:
            stranger = replace(first, wallet="payee stranger", address=address("stranger"))
            return replace(proposed, outputs=(stranger, *proposed.outputs[1:]))
        case Hostility.LOCKS:
            return replace(proposed, unlock_time=1_000_000)
        case Hostility.BURNS:
            burnt = first.amount // 2
            less = replace(first, amount=first.amount - burnt)
            return replace(proposed, outputs=(less, *proposed.outputs[1:]), fee=proposed.fee + burnt)


def _amount(known: Known) -> int:
    return known.mined.output.amount


def _input(known: Known) -> SetInput:
    mined = known.mined
    return SetInput(
        key=mined.output.key,
        key_image=known.key_image,
        amount=mined.output.amount,
        global_index=mined.global_index,
        txid=mined.transaction.txid,
        nonces=dict(known.imported),
    )


def _owner(address: str, wallet: SimulatedWallet) -> tuple[str, str]:
    """Return whose an address is, and the address."""
    return (wallet.name if address == wallet.address else f"payee {address}"), address


def _is_at(known: Known, indices: Sequence[int]) -> bool:
    return not indices or known.mined.output.address_index in indices


def _less(recipients: Sequence[Recipient], subtract: Sequence[int], fee: int) -> list[Recipient] | None:
    """Take the fee out of recipients in equal parts; ``None`` where a part is too small for that.

    wallet2 counts the indices in the order in which it works, which for n recipients is 0, n - 1, ..., 1 (``pop_index``
    of ``create_transactions_2``). Where that makes others bear the fee its own check refuses the transaction.

    Raises:
        TransferRefused: others than these would bear the fee.

    """
    working = [0, *range(len(recipients) - 1, 0, -1)]
    bearers = [working[index] for index in sorted(subtract)]
    share, rest = divmod(fee, len(bearers))
    part = {bearer: share + (place < rest) for place, bearer in enumerate(bearers)}
    paid = [Recipient(each.address, each.amount - part.get(place, 0)) for place, each in enumerate(recipients)]
    if any(each.amount <= 0 for each in paid):
        return None
    wrong = next((bearer for bearer in bearers if bearer not in subtract), None)
    if wrong is not None:
        total = f"{format_xmr(paid[wrong].amount)}, expected {format_xmr(recipients[wrong].amount)}"
        raise TransferRefused("transfer", -4, f"Total received by {recipients[wrong].address}: {total}")
    return paid
