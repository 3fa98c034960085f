"""How a simulated wallet builds transactions: what it picks, what it leaves out, and what that costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

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


def rate(priority: int) -> FeeRate:
    """Return what a byte costs at a priority."""
    return FeeRate(FEE_PER_BYTE * MULTIPLES[priority])


class Builder:
    """Builds transaction sets for one wallet."""

    def __init__(self, wallet: SimulatedWallet, chain: SimulatedChain, costs: Costs, now: int) -> None:
        self._wallet = wallet
        self._chain = chain
        self._costs = costs
        self._now = now

    def sweep(self, address: str, account: int, priority: int, *, all_indices: bool) -> TransactionSet:
        """Pay all of an account to the address, in as many transactions as it takes.

        Raises:
            TransferRefused: there is nothing, or it is not worth its fee.

        """
        chosen = self._usable(account, priority)
        if not all_indices:
            index = max((each.mined.output.address_index for each in chosen), default=0)
            chosen = [each for each in chosen if each.mined.output.address_index == index]
        size = self._costs.most_inputs
        batches = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        built = [self._swept(batch, address, priority) for batch in batches]
        if not built or None in built:
            raise TransferRefused("sweep_all", -4, "No unlocked balance in the specified account")
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
        wanted = sum(each.amount for each in recipients)
        here = [
            each
            for each in self._usable(account, priority)
            if not indices or each.mined.output.address_index in indices
        ]
        usable = sorted(here, key=_amount, reverse=True)
        for count in range(1, len(usable) + 1):
            if count > MOST_INPUTS:
                raise TransferRefused("transfer", -4, "Transaction would be too large.  try /transfer_split.")
            fee = self._costs.of_transfer(count, len(recipients), priority)
            have = sum(map(_amount, usable[:count]))
            if have >= wanted + (0 if subtract else fee):
                paid = _less(recipients, subtract, fee)
                built = self._built(usable[:count], paid, have - fee - sum(each.amount for each in paid), fee)
                return TransactionSet(self._wallet.name, self._wallet.role, (built,))
        raise NotEnoughMoney("transfer", -17, "not enough money")

    def _usable(self, account: int, priority: int) -> list[Known]:
        """Return what it may spend: unlocked, not frozen, worth its fee, and with the co-signers' data.

        The rest it passes over in silence.
        """
        dust = rate(priority).dust()
        return [
            each
            for each in self._wallet.unspent(account)
            if each.imported
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
            weight=estimated_weight(len(chosen), max(2, len(outputs))),
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


def _less(recipients: Sequence[Recipient], subtract: Sequence[int], fee: int) -> list[Recipient]:
    """Take the fee out of the recipients with these indices, in equal parts (``subtract_fee_from_outputs``)."""
    if not subtract:
        return list(recipients)
    share, rest = divmod(fee, len(subtract))
    return [
        Recipient(each.address, each.amount - share - (rest if index == subtract[0] else 0))
        if index in subtract
        else each
        for index, each in enumerate(recipients)
    ]
