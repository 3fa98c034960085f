"""What a wallet of an escrow finds on chain, and the same in the words of the escrow's ledger."""

from collections.abc import Iterable
from dataclasses import dataclass

from escrowd.domain.outputs import ReceivedOutput
from escrowd.monero.methods import Work
from escrowd.monero.results_wallet import IncomingTransfer
from escrowd.monero.wallet import MoneroClient


@dataclass(frozen=True, slots=True)
class Reading:
    """What one wallet found in the blocks below ``height``, in all its accounts."""

    height: int
    found: tuple[IncomingTransfer, ...]


async def refresh_up_to(wallet: MoneroClient, height: int) -> None:
    """Let a wallet read a chain of ``height`` blocks, with the time that those take which it has not read.

    Raises:
        MoneroError: it did not answer in that time.

    """
    unread = max(0, height - await wallet.get_height())
    await wallet.doing(Work(blocks=unread)).refresh()


async def read(wallet: MoneroClient, height: int | None = None) -> Reading:
    """Let a wallet read the chain, of ``height`` blocks where that is known, and return what it found.

    Raises:
        MoneroError: it did not answer.

    """
    if height is None:
        await wallet.refresh()
    else:
        await refresh_up_to(wallet, height)
    return await known_to(wallet)


async def known_to(wallet: MoneroClient) -> Reading:
    """Return what a wallet found when it read the chain last. Raises MoneroError."""
    height = await wallet.get_height()
    balance = await wallet.get_balance_of_all_accounts()
    accounts = {each.account_index for each in balance.per_subaddress}
    return Reading(height, await found_in(wallet, accounts))


async def found_in(wallet: MoneroClient, accounts: Iterable[int]) -> tuple[IncomingTransfer, ...]:
    """Return the outputs of these accounts, and of the first one in any case. Raises MoneroError."""
    wanted = sorted({0, *accounts})
    return tuple([each for account in wanted for each in await wallet.incoming_transfers(account_index=account)])


async def as_received(wallet: MoneroClient, found: Iterable[IncomingTransfer]) -> tuple[ReceivedOutput, ...]:
    """Return outputs that a wallet found, as a ledger tells of them, with the locks that their senders put on them.

    Of a lock ``incoming_transfers`` says no more than whether it holds at the moment; what it is, the transactions
    tell. An output is left out whose transaction the wallet does not tell of: a reorganisation came between two calls.

    Raises:
        MoneroError: the wallet did not answer.

    """
    outputs = tuple(found)
    if not outputs:
        return ()
    transfers = await wallet.get_transfers(all_accounts=True)
    # Among what goes out are payouts of the escrow itself, whose change comes back to it.
    told = {each.txid: each for each in (*transfers.outgoing, *transfers.incoming)}
    return tuple(
        ReceivedOutput(
            txid=each.tx_hash,
            # A wallet does not tell the place of an output in its transaction.
            index=0,
            key=each.pubkey,
            amount=each.amount,
            account=each.subaddr_index.major,
            address_index=each.subaddr_index.minor,
            unlock_time=told[each.tx_hash].unlock_time,
            is_coinbase=told[each.tx_hash].type == MINED_BY_US,
            height=each.block_height,
            global_index=each.global_index,
        )
        for each in outputs
        if each.tx_hash in told
    )


def is_stuck(height: int, chain_height: int) -> bool:
    """Whether a wallet that has just read the chain up to ``height`` blocks does not get any further.

    A refresh answers OK also where the wallet stumbles over a block, again and again: a transaction with two keys and
    an output of nothing, or of an amount that cannot be read, does that to it (``process_new_transaction`` throws
    ``acc_outs_lookup_error``). Its height tells.
    """
    return height + STUCK_BLOCKS < chain_height


def is_primary(transfer: IncomingTransfer) -> bool:
    """Whether an output came to the address that was given out."""
    return (transfer.subaddr_index.major, transfer.subaddr_index.minor) == (0, 0)


#: How many blocks a wallet may be behind the daemon after a refresh: those that came meanwhile.
STUCK_BLOCKS = 5

#: Type of a transfer that is the reward of a block.
MINED_BY_US = "block"
