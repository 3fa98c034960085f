"""Asks a real wallet before money state changes, whether it sees the very deposit that the watcher sees.

The watcher scans by view key, with code of our own. Two independent readers of the chain have to agree before an escrow
counts as funded, and before it counts as unfunded; where they do not, it is held and a person looks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from escrowd.domain.escrow.assess import Judgement, Ledger, judge
from escrowd.domain.escrow.events import Event, FundingRefuted, FundingVerified, UnfundedVerified
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.money import format_piconero
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.results_daemon import KeyImageStatus
from escrowd.monero.results_wallet import IncomingTransfer
from escrowd.monero.wallet import MoneroClient
from escrowd.service.advance import Task
from escrowd.service.errors import NotInSync
from escrowd.service.ports import Lease, Sessions, Store

#: Which wallets are asked: the arbiter's reads, with the help of the vendor's.
PAIR: Final = (WalletRole.VENDOR, WalletRole.ARBITER)
#: How often they have to differ until a person is called, and how many seconds lie between two looks.
LOOKS: Final = 3
PAUSE: Final = 2.0
#: How many blocks a wallet may be behind the daemon after a refresh: those that came meanwhile.
STUCK_BLOCKS: Final = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """What one wallet found in the blocks below ``height``, in all its accounts."""

    height: int
    found: tuple[IncomingTransfer, ...]


class FundingCheck:
    """Compares the ledger of the watcher with what a wallet finds."""

    def __init__(self, store: Store, sessions: Sessions, daemon: MoneroDaemon, pause: float = PAUSE) -> None:
        self._store = store
        self._sessions = sessions
        self._daemon = daemon
        self._pause = pause

    async def verify_funding(self, task: Task) -> tuple[Event, ...]:
        """Let two wallets read the chain and exchange key images, and compare.

        Raises:
            NotInSync: wallet or watcher is behind; try again.
            EscrowdError: the wallets could not be had, or did not answer.

        """
        escrow = task.escrow
        if escrow.status is not Status.CONFIRMING or not escrow.is_confirmed_in_full:
            return ()
        difference = await self._lasting_difference(task, PAIR, self._difference_with_two_wallets)
        return (FundingRefuted(difference),) if difference else (FundingVerified(),)

    async def verify_unfunded(self, task: Task) -> tuple[Event, ...]:
        """Let one wallet read the chain, and compare, before an escrow expires. Raises as :meth:`verify_funding`."""
        if task.escrow.status is not Status.AWAITING_FUNDING:
            return ()
        difference = await self._lasting_difference(task, PAIR[1:], self._difference_with_one_wallet)
        return (FundingRefuted(difference),) if difference else (UnfundedVerified(),)

    async def _lasting_difference(self, task: Task, roles: Sequence[WalletRole], look: "_Look") -> str:
        """Compare until the two agree, or have differed several times: they may have met in a reorganisation."""
        difference = ""
        for left in reversed(range(LOOKS)):
            async with self._sessions.lease(task.escrow.id, roles) as lease:
                task.claim.check()
                difference = await look(task, lease)
            if not difference or not left:
                break
            await asyncio.sleep(self._pause)
        return difference

    async def _difference_with_two_wallets(self, task: Task, lease: Lease) -> str:
        reading = await _read_and_exchange(lease)
        difference = await self._difference(task, reading)
        return difference or await self._spent_already(reading.found)

    async def _difference_with_one_wallet(self, task: Task, lease: Lease) -> str:
        return await self._difference(task, await _read(lease.wallet(PAIR[1])))

    async def _difference(self, task: Task, reading: Reading) -> str:
        ledger = await self._noted(task, reading)
        # A refresh answers OK also where the wallet stumbles over a block, again and again: a transaction with two keys
        # and an unreadable amount for one of its outputs does that to it (``process_new_transaction`` throws
        # ``acc_outs_lookup_error``). Its height tells.
        height = (await self._daemon.get_info()).height
        if reading.height + STUCK_BLOCKS < height:
            return f"the wallet does not get beyond block {reading.height}, and the daemon has {height}"
        return compare(task.escrow, ledger, reading)

    async def _noted(self, task: Task, reading: Reading) -> Ledger:
        """Note what only a wallet can know, and return the ledger with it."""
        escrow, found = task.escrow, reading.found
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            known = {output.key for output in (await tx.ledgers.ledger(escrow.id)).outputs}
            elsewhere = [_output_of(each) for each in found if each.pubkey not in known and not _is_primary(each)]
            await tx.ledgers.note_wallet_outputs(escrow.id, elsewhere)
            await tx.ledgers.note_key_images(
                escrow.id, [(each.pubkey, each.key_image) for each in found if each.key_image]
            )
            return await tx.ledgers.ledger(escrow.id)

    async def _spent_already(self, found: Sequence[IncomingTransfer]) -> str:
        """Ask the daemon for spends from before the key images were known."""
        images = {each.key_image: each for each in found if each.key_image and _is_primary(each)}
        if len(images) < sum(map(_is_primary, found)):
            return "the wallet does not know the key images of all outputs after an import"
        statuses = await self._daemon.is_key_image_spent(tuple(images))
        spent = [
            images[image].tx_hash
            for image, status in zip(images, statuses, strict=True)
            if status is KeyImageStatus.SPENT_IN_CHAIN
        ]
        return f"the output of transaction {spent[0]} is spent already" if spent else ""


class WalletLook:
    """Reads what the wallet of an escrow sees, where the watcher does not see enough."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def read(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Let a wallet read the chain, and return the outputs that it found in blocks.

        A wallet does not tell of locks here, so nothing counts because of it: an output that it finds is only seen.

        Raises:
            EscrowdError: the wallet could not be had, or did not answer.

        """
        async with self._sessions.lease(escrow, PAIR[1:]) as lease:
            reading = await _read(lease.wallet(PAIR[1]))
        return tuple(_output_of(each) for each in reading.found)


def compare(escrow: Escrow, ledger: Ledger, reading: Reading) -> str:
    """Say in what the wallet and the watcher differ about money to the primary address; an empty text for nothing.

    Raises:
        NotInSync: one of them has not read the blocks that the other one has, and those matter.

    """
    common = min(ledger.chain_height, reading.height)
    if common + escrow.terms.confirmations <= max(ledger.chain_height, reading.height):
        raise NotInSync(
            f"the watcher is at {ledger.chain_height} blocks and the wallet of {escrow.id} at {reading.height}"
        )
    ours = {each.output.key: each for each in judge(escrow, ledger) if _is_mined_to_primary(each, common)}
    theirs = {each.pubkey: each for each in reading.found if _is_primary(each) and each.block_height < common}
    for key in ours.keys() | theirs.keys():
        if key not in theirs:
            return f"the wallet does not see the output of transaction {ours[key].output.txid}"
        if key not in ours:
            return f"only the wallet sees the output of transaction {theirs[key].tx_hash}"
        if difference := _difference(ours[key], theirs[key]):
            return f"of transaction {ours[key].output.txid}, {difference}"
    return ""


# ---------------------------------------------------------------------------------------------------------------------

#: Compares once, through a lease.
_Look = Callable[[Task, Lease], Awaitable[str]]


async def _read_and_exchange(lease: Lease) -> Reading:
    """Let the second wallet learn key images from the first, and return what it knows then.

    Of the three key shares each wallet holds two, so any two know every key image together.
    """
    helper, reader = (lease.wallet(role) for role in PAIR)
    # The reader has to know the outputs before the import, which passes over those that it does not know.
    await asyncio.gather(helper.refresh(), reader.refresh())
    exported = await helper.export_multisig_info()
    # An export makes new nonces. A wallet that forgets them in a crash would offer the old ones again.
    await lease.store()
    await reader.import_multisig_info([exported])
    reading = await _found(reader)
    await lease.store()
    return reading


async def _read(wallet: MoneroClient) -> Reading:
    """Let a wallet read the chain, and return what it found."""
    await wallet.refresh()
    return await _found(wallet)


async def _found(wallet: MoneroClient) -> Reading:
    """Return the outputs of all accounts of a wallet."""
    height = await wallet.get_height()
    balance = await wallet.get_balance_of_all_accounts()
    accounts = sorted({0, *(each.account_index for each in balance.per_subaddress)})
    found = [each for account in accounts for each in await wallet.incoming_transfers(account_index=account)]
    return Reading(height, tuple(found))


def _is_primary(transfer: IncomingTransfer) -> bool:
    return (transfer.subaddr_index.major, transfer.subaddr_index.minor) == (0, 0)


def _is_mined_to_primary(judgement: Judgement, below: int) -> bool:
    output = judgement.output
    return output.height is not None and output.height < below and output.is_to_primary_address


def _difference(ours: Judgement, theirs: IncomingTransfer) -> str:
    if ours.output.amount != theirs.amount:
        return (
            f"the watcher read {format_piconero(ours.output.amount)} piconero "
            f"and the wallet {format_piconero(theirs.amount)}"
        )
    if ours.output.height != theirs.block_height:
        return f"the watcher read height {ours.output.height} and the wallet {theirs.block_height}"
    counts_and_is_deep = ours.reason is None and ours.confirmations >= SPENDABLE_FROM
    if counts_and_is_deep and not theirs.unlocked:
        return "the wallet says that it is locked"
    return ""


#: A wallet is a block behind the daemon at worst when it answers; what is one deeper must be unlocked for it too.
SPENDABLE_FROM: Final = 11


def _output_of(transfer: IncomingTransfer) -> ReceivedOutput:
    return ReceivedOutput(
        txid=transfer.tx_hash,
        index=0,
        key=transfer.pubkey,
        amount=transfer.amount,
        account=transfer.subaddr_index.major,
        address_index=transfer.subaddr_index.minor,
        height=transfer.block_height,
        global_index=transfer.global_index,
    )
