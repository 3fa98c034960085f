"""Asks a real wallet before money state changes, whether it sees the very deposit that the watcher sees.

The watcher scans by view key, with code of our own. Two independent readers of the chain have to agree before an escrow
counts as funded, and before it counts as unfunded; where they do not, it is held and a person looks.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from escrowd.domain.escrow.assess import Judgement, Ledger, judge
from escrowd.domain.escrow.events import Event, FundingRefuted, FundingVerified, UnfundedVerified
from escrowd.domain.escrow.facts import Escrow, HoldReason
from escrowd.domain.escrow.status import Status
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.money import format_piconero
from escrowd.domain.outputs import ReceivedOutput
from escrowd.domain.parties import WalletRole
from escrowd.domain.payouts.plan import MOST_INPUTS, is_payable_to_several
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.results_daemon import KeyImageStatus
from escrowd.monero.results_wallet import IncomingTransfer
from escrowd.monero.wallet import MoneroClient
from escrowd.service.advance import Task
from escrowd.service.errors import NotInSync
from escrowd.service.leasing import lease_first
from escrowd.service.ports import Lease, Sessions, Store
from escrowd.service.reading import Reading, as_received, is_primary, is_stuck, known_to, read, refresh_up_to

#: Which two wallets are asked, the best first: the second one reads, with the help of the first.
PAIRS: Final = (
    (WalletRole.VENDOR, WalletRole.ARBITER),
    (WalletRole.BUYER, WalletRole.ARBITER),
    (WalletRole.BUYER, WalletRole.VENDOR),
)
#: Which one is asked where one is enough.
READERS: Final = ((WalletRole.ARBITER,), (WalletRole.VENDOR,), (WalletRole.BUYER,))
#: How often they have to differ until a person is called, and how many seconds lie between two looks.
LOOKS: Final = 3
PAUSE: Final = 2.0


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
        difference = await self._lasting_difference(task, PAIRS, self._difference_with_two_wallets)
        if difference:
            return (FundingRefuted(difference),)
        too_many = await self._too_many_parts(task)
        return (FundingRefuted(too_many, HoldReason.TOO_MANY_PARTS),) if too_many else (FundingVerified(),)

    async def verify_unfunded(self, task: Task) -> tuple[Event, ...]:
        """Let one wallet read the chain, and compare, before an escrow expires. Raises as :meth:`verify_funding`."""
        if task.escrow.status is not Status.AWAITING_FUNDING:
            return ()
        difference = await self._lasting_difference(task, READERS, self._difference_with_one_wallet)
        return (FundingRefuted(difference),) if difference else (UnfundedVerified(),)

    async def _lasting_difference(self, task: Task, choices: Sequence["_Roles"], look: "_Look") -> str:
        """Compare until the two agree, or have differed several times: they may have met in a reorganisation."""
        difference = ""
        for left in reversed(range(LOOKS)):
            async with lease_first(self._sessions, task.escrow.id, choices) as (lease, roles):
                task.claim.check()
                difference = await look(task, lease, roles)
            if not difference or not left:
                break
            await asyncio.sleep(self._pause)
        return difference

    async def _difference_with_two_wallets(self, task: Task, lease: Lease, roles: "_Roles") -> str:
        reading = await _read_and_exchange(lease, roles, (await self._daemon.get_info()).height)
        difference = await self._difference(task, lease.wallet(roles[-1]), reading)
        return difference or await self._spent_already(task.escrow.id, reading.found)

    async def _difference_with_one_wallet(self, task: Task, lease: Lease, roles: "_Roles") -> str:
        reader = lease.wallet(roles[-1])
        return await self._difference(task, reader, await read(reader, (await self._daemon.get_info()).height))

    async def _difference(self, task: Task, reader: MoneroClient, reading: Reading) -> str:
        ledger = await self._noted(task, reader, reading)
        height = (await self._daemon.get_info()).height
        if is_stuck(reading.height, height):
            return f"the wallet does not get beyond block {reading.height}, and the daemon has {height}"
        return compare(task.escrow, ledger, reading)

    async def _noted(self, task: Task, reader: MoneroClient, reading: Reading) -> Ledger:
        """Note what only a wallet can know, and return the ledger with it."""
        escrow, found = task.escrow, reading.found
        elsewhere = await as_received(reader, (each for each in found if not is_primary(each)))
        async with self._store.transaction() as tx:
            await tx.hold_claim(task.claim)
            await tx.ledgers.note_wallet_outputs(escrow.id, elsewhere)
            await tx.ledgers.note_key_images(
                escrow.id, [(each.pubkey, each.key_image) for each in found if each.key_image]
            )
            return await tx.ledgers.ledger(escrow.id)

    async def _spent_already(self, escrow: EscrowId, found: Sequence[IncomingTransfer]) -> str:
        """Ask the daemon for spends from before the key images were known. What the ledger knows of counts there."""
        images = {each.key_image: each for each in found if each.key_image and is_primary(each)}
        if len(images) < sum(map(is_primary, found)):
            return "the wallet does not know the key images of all outputs after an import"
        async with self._store.reading() as tx:
            spends = (await tx.ledgers.ledger(escrow)).spends
        known = {each.key_image for each in spends if each.height is not None}
        images = {image: each for image, each in images.items() if image not in known}
        statuses = await self._daemon.is_key_image_spent(tuple(images)) if images else ()
        spent = [
            images[image].tx_hash
            for image, status in zip(images, statuses, strict=True)
            if status is KeyImageStatus.SPENT_IN_CHAIN
        ]
        return f"the output of transaction {spent[0]} is spent already" if spent else ""

    async def _too_many_parts(self, task: Task) -> str:
        """Refuse a deposit that could not be paid to several receivers, before somebody relies on it."""
        terms = task.escrow.terms
        async with self._store.reading() as tx:
            ledger = await tx.ledgers.ledger(task.escrow.id)
        spent = ledger.spent
        # What is less deep may vanish, and could then not make up for the parts.
        parts = [
            each.output.amount
            for each in judge(task.escrow, ledger)
            if each.reason is None and each.confirmations >= terms.confirmations and each.output.key not in spent
        ]
        if is_payable_to_several(parts, terms.amount):
            return ""
        return f"the deposit came in {len(parts)} parts, and the largest {MOST_INPUTS} do not make up the amount"


class WalletLook:
    """Reads what the wallet of an escrow sees, where the watcher does not see enough."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def read(self, escrow: EscrowId) -> tuple[ReceivedOutput, ...]:
        """Let a wallet read the chain, and return the outputs that it found in blocks, with their locks.

        Raises:
            EscrowdError: no wallet could be had, or it did not answer.

        """
        async with lease_first(self._sessions, escrow, READERS) as (lease, (role,)):
            wallet = lease.wallet(role)
            return await as_received(wallet, (await read(wallet)).found)


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
    theirs = {each.pubkey: each for each in reading.found if is_primary(each) and each.block_height < common}
    for key in ours.keys() | theirs.keys():
        if key not in theirs:
            return f"the wallet does not see the output of transaction {ours[key].output.txid}"
        if key not in ours:
            return f"only the wallet sees the output of transaction {theirs[key].tx_hash}"
        if difference := _difference(ours[key], theirs[key]):
            return f"of transaction {ours[key].output.txid}, {difference}"
    return ""


# ---------------------------------------------------------------------------------------------------------------------

#: Wallets to be leased together.
_Roles = tuple[WalletRole, ...]
#: Compares once, through a lease of these roles.
_Look = Callable[[Task, Lease, _Roles], Awaitable[str]]


async def _read_and_exchange(lease: Lease, roles: _Roles, height: int) -> Reading:
    """Let the second wallet learn key images from the first, and return what it knows then.

    Of the three key shares each wallet holds two, so any two know every key image together.
    """
    helper, reader = (lease.wallet(role) for role in roles)
    # The reader has to know the outputs before the import, which passes over those that it does not know.
    await asyncio.gather(refresh_up_to(helper, height), refresh_up_to(reader, height))
    exported = await helper.export_multisig_info()
    # An export makes new nonces. A wallet that forgets them in a crash would offer the old ones again.
    await lease.store()
    await reader.import_multisig_info([exported])
    reading = await known_to(reader)
    await lease.store()
    return reading


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
