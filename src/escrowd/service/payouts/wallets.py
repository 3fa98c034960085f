"""The two wallets that sign a payout, and what is done with them. Nothing here decides who gets what.

No call of the signing path saves a wallet (``wallet_rpc_server.cpp``, up to 0.18.5.0), and a wallet that is opened
again after a crash offers the nonces that it has already used. Two signatures with the same nonces give the key away.
So each of these steps stores the wallets before it returns what came of it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import structlog

from escrowd.domain.errors import EscrowdError
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.payouts.plan import PayoutPlan
from escrowd.domain.payouts.records import PaidOutput
from escrowd.domain.payouts.signers import Pair
from escrowd.domain.secret import Secret
from escrowd.monero.errors import NotEnoughMoney, TransferRefused
from escrowd.monero.methods import Work
from escrowd.monero.results_signing import DescribedTransaction, Priority
from escrowd.monero.results_wallet import IncomingTransfer, Recipient
from escrowd.monero.versions import Capability
from escrowd.monero.wallet import MoneroClient
from escrowd.service.crash_points import CrashPoint, crash_point
from escrowd.service.payouts.errors import PlanOutdated, ProposalRefused, WalletBehind, WalletNotReady
from escrowd.service.ports import Lease
from escrowd.service.reading import as_received, found_in, is_primary, refresh_up_to

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Proposal:
    """A transaction set with the proposer's signatures in it, its fees and the key images that it spends."""

    txset: Secret
    fees: tuple[int, ...]
    key_images: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the two wallets see after a sync: the outputs of all accounts."""

    by_proposer: tuple[IncomingTransfer, ...]
    by_cosigner: tuple[IncomingTransfer, ...]
    #: What came to other addresses than the primary one, as the proposer's wallet tells of it.
    elsewhere: tuple[ReceivedOutput, ...]

    @property
    def key_images(self) -> dict[str, str]:
        """Key image of each one-time key, as the co-signer knows them: whoever proposes does not choose them."""
        return {each.pubkey: each.key_image for each in self.by_cosigner if each.key_image}


class Signers:
    """The wallets of a pair, out of one lease, for a plan.

    ``height`` is how many blocks they have to know at least. Their calls get the time that the plan's inputs and all
    ``outputs`` of the wallet take: an export makes nonces for each of them, dust and spent ones included. ``factor``
    multiplies that time.
    """

    def __init__(
        self, lease: Lease, pair: Pair, plan: PayoutPlan, height: int = 0, outputs: int = 0, factor: int = 1
    ) -> None:
        self._lease = lease
        self._pair = pair
        self._height = height
        # An import takes a wallet back to the oldest output that it learns of, and reads from there on.
        oldest = min((each.height for each in plan.inputs if each.height is not None), default=height)
        work = Work(len(plan.inputs), max(0, height - oldest), max(outputs, len(plan.inputs)), factor)
        self._proposer, self._cosigner = (lease.wallet(role).doing(work) for role in pair)
        self._seen = Seen((), (), ())
        #: What the processes of the wallets can do, known from the first export on: an upgrade exchanges the program
        #: under one wallet after the other.
        self.proposer_capabilities: frozenset[Capability] = frozenset()
        self.cosigner_capabilities: frozenset[Capability] = frozenset()

    async def export(self) -> tuple[Secret, Secret]:
        """Let both read the chain, make fresh nonces, and be stored.

        Raises:
            WalletBehind: a wallet does not come as far in the chain as we know it to be.
            UnknownVersion: a wallet process is of no known version.

        """
        self.proposer_capabilities, self.cosigner_capabilities = await asyncio.gather(
            self._proposer.capabilities(), self._cosigner.capabilities()
        )
        height = await self._refreshed_height()
        if height < self._height:
            # The first refresh after a deep reorganisation stops a few blocks short on 0.18.0.0 (measured).
            height = await self._refreshed_height()
        if height < self._height:
            raise WalletBehind(height, self._height)
        exported = await asyncio.gather(self._proposer.export_multisig_info(), self._cosigner.export_multisig_info())
        crash_point(CrashPoint.P2_EXPORTED)
        await self._lease.store()
        crash_point(CrashPoint.P3_EXPORT_STORED)
        return exported

    async def _refreshed_height(self) -> int:
        """Let both read the chain, and return how far both have read it.

        A refresh was seen to answer OK and to stay behind, at a transaction made for that.
        """
        await asyncio.gather(refresh_up_to(self._proposer, self._height), refresh_up_to(self._cosigner, self._height))
        return min(await asyncio.gather(self._proposer.get_height(), self._cosigner.get_height()))

    async def import_from_each_other(self, exported: tuple[Secret, Secret]) -> None:
        """Let each know the other's key images and nonces.

        Raises:
            WalletNotReady: an import has left out outputs.

        """
        from_proposer, from_cosigner = exported
        seen = await asyncio.gather(
            self._proposer.import_multisig_info([from_cosigner]), self._cosigner.import_multisig_info([from_proposer])
        )
        # An import that failed half-way leaves a wallet that says it needs none: only the numbers tell.
        if len(set(seen)) != 1:
            raise WalletNotReady(f"the signers' wallets have imported data on {seen[0]} and on {seen[1]} outputs")
        crash_point(CrashPoint.P4_IMPORTED)

    async def see(self, account: int) -> Seen:
        """Return what both know now, of this account and of all that hold money.

        Raises:
            WalletNotReady: the proposer's knowledge of key images is not complete.

        """
        balance = await self._proposer.get_balance_of_all_accounts()
        if balance.multisig_import_needed:
            raise WalletNotReady("the proposer's wallet still needs data of a co-signer after an import")
        accounts = {account, *(each.account_index for each in balance.per_subaddress)}
        by_proposer, by_cosigner = await asyncio.gather(
            _thawed(self._proposer, accounts), _thawed(self._cosigner, accounts)
        )
        elsewhere = await as_received(self._proposer, (each for each in by_proposer if not is_primary(each)))
        self._seen = Seen(by_proposer, by_cosigner, elsewhere)
        return self._seen

    async def sweep(self, plan: PayoutPlan) -> Proposal:
        """Build transactions that pay all of the account to the one receiver. Raises WalletNotReady."""
        try:
            built = await self._proposer.sweep_all(
                plan.receivers[0].address, account_index=plan.account, priority=Priority.NORMAL
            )
        except (TransferRefused, NotEnoughMoney) as error:
            raise WalletNotReady(f"the wallet could not build the payout: {error.reason}") from error
        return Proposal(
            built.multisig_txset, built.fee_list, tuple(each.key_images for each in built.spent_key_images_list)
        )

    async def transfer(self, plan: PayoutPlan, outputs: Sequence[PaidOutput]) -> Proposal | None:
        """Build one transaction that pays each receiver its amount, out of what is planned and nothing else.

        ``None``: the amounts leave too little for the network.
        """
        try:
            return await self._transfer(plan, outputs)
        except (TransferRefused, NotEnoughMoney):
            return None

    async def transfer_less_fee(self, plan: PayoutPlan, outputs: Sequence[PaidOutput]) -> Proposal:
        """Build one transaction that pays each receiver its amount, the first one less the network fee.

        Raises:
            ProposalRefused: the wallet does not build it. After some attempts an operator has to look at it.

        """
        try:
            return await self._transfer(plan, outputs, subtract_fee_from=[0])
        except (TransferRefused, NotEnoughMoney) as error:
            raise ProposalRefused(f"the wallet does not build the payout: {error.reason}") from error

    async def _transfer(
        self, plan: PayoutPlan, outputs: Sequence[PaidOutput], subtract_fee_from: Sequence[int] = ()
    ) -> Proposal:
        async with self._only_planned(plan):
            built = await self._proposer.transfer(
                [Recipient(each.to, each.amount) for each in outputs],
                account_index=plan.account,
                subaddr_indices=plan.address_indices,
                priority=Priority.NORMAL,
                subtract_fee_from_outputs=subtract_fee_from,
            )
        return Proposal(built.multisig_txset, (built.fee,), (built.spent_key_images.key_images,))

    async def keep_proposal(self) -> None:
        """Store the proposer's wallet: it has signed what it proposes, and its nonces are used."""
        await self._proposer.store()

    async def describe(self, txset: Secret) -> tuple[DescribedTransaction, ...]:
        """Let the co-signer say what a set would do."""
        return await self._cosigner.describe_transfer(multisig_txset=txset)

    async def sign(self, txset: Secret) -> tuple[Secret, tuple[str, ...]]:
        """Let the co-signer complete the set, and be stored; return it with the ids of its transactions.

        Raises:
            MultisigRefused: it was made with nonces that the co-signer does not have any more.

        """
        signed = await self._cosigner.sign_multisig(txset)
        crash_point(CrashPoint.P8_SIGNED)
        await self._cosigner.store()
        crash_point(CrashPoint.P9_SIGN_STORED)
        return signed.tx_data_hex, signed.tx_hash_list

    async def submitted(self, signed: Secret, txids: Sequence[str]) -> Mapping[str, str]:
        """Return the bytes, hex, by id of the transactions that the co-signer's wallet would send. Nothing is sent.

        Raises:
            MultisigRefused: the wallet does not take its own set: the attempt is to be given up, and made anew.

        """
        return await self._lease.submitted(self._pair[1], signed, txids)

    async def rescan_spent(self) -> None:
        """Let both wallets take from the daemon which outputs are spent, in chain or pool.

        An earlier attempt that a wallet submitted counts as spent there for 500 seconds, though the daemon may have
        refused it (``process_unconfirmed_transfer``).
        """
        await asyncio.gather(self._proposer.rescan_spent(), self._cosigner.rescan_spent())

    async def primary_address(self) -> str:
        """Return the escrow's own address, as the co-signer knows it."""
        return await self._cosigner.get_address()

    @asynccontextmanager
    async def _only_planned(self, plan: PayoutPlan) -> AsyncIterator[None]:
        """Keep the proposer's wallet, which picks its inputs as it likes, from what the plan leaves out.

        It leaves dust out by itself.
        """
        keys = frozenset(plan.keys)
        others = [
            each
            for each in _spendable(self._seen.by_proposer, plan.account)
            if each.pubkey not in keys and each.amount > plan.dust
        ]
        try:
            for each in others:
                await self._proposer.freeze(each.key_image)
            yield
        finally:
            try:
                for each in others:
                    await self._proposer.thaw(each.key_image)
            except EscrowdError as error:
                # The next attempt thaws what it finds. What went wrong before is what the caller has to know.
                log.warning("payout.not_thawed", error=str(error))


def check_spendable(plan: PayoutPlan, seen: Seen) -> None:
    """Make sure that both wallets know exactly what was planned.

    Raises:
        WalletNotReady: something is missing, has another amount or no key image.
        PlanOutdated: the proposer could spend more than was planned.

    """
    for known in (seen.by_proposer, seen.by_cosigner):
        there = {each.pubkey: each for each in _spendable(known, plan.account)}
        for output in plan.inputs:
            found = there.get(output.key)
            if found is None or found.amount != output.amount:
                raise WalletNotReady(f"a wallet cannot spend the output of transaction {output.txid} yet")
            if not found.key_image:
                raise WalletNotReady(f"a wallet lacks the key image of an output of transaction {output.txid}")
    planned = {each.key for each in (*plan.inputs, *plan.left_out)}
    more = [each for each in _spendable(seen.by_proposer, plan.account) if each.pubkey not in planned]
    if more:
        raise PlanOutdated(f"a wallet can spend an output of transaction {more[0].tx_hash} that is not planned")


# ---------------------------------------------------------------------------------------------------------------------


async def _thawed(wallet: MoneroClient, accounts: Iterable[int]) -> tuple[IncomingTransfer, ...]:
    """Return the outputs of these accounts, and thaw what an interrupted attempt has left frozen."""
    found = await found_in(wallet, accounts)
    for each in found:
        if each.frozen:
            await wallet.thaw(each.key_image)
    return tuple(msgspec.structs.replace(each, frozen=False) for each in found)


def _spendable(known: Sequence[IncomingTransfer], account: int) -> list[IncomingTransfer]:
    return [
        each
        for each in known
        if each.subaddr_index.major == account and each.unlocked and not each.frozen and not each.spent
    ]
