"""Every RPC method that escrowd calls: whether it changes anything, and how long it may take.

A time-out of a method that only reads means that it may be asked again. A time-out of a method that changes state
means that nobody knows; so the two are told apart here, in one table, and nowhere else.

The times are ten times and more what was measured on a busy machine of two cores: a time-out ends a wallet process,
and is meant for a process that hangs, not for one that is slow. Where a caller says how much there is to do, the time
follows from that, so that a process that hangs at a small piece of work is not waited for as for a large one.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from escrowd.monero.errors import MultisigRefused, Refused, TransferRefused, WalletNotOpened, WalletNotSaved


class Effect(StrEnum):
    """What a call does to the server."""

    READS = "reads"
    CHANGES = "changes"


@dataclass(frozen=True, slots=True)
class Work:
    """How much a call has to do: the inputs of a transaction, all outputs of the wallet, the blocks to be read.

    ``factor`` multiplies the time: a table that is wrong about a wallet must not keep its money locked up.
    """

    inputs: int = 0
    blocks: int = 0
    outputs: int = 0
    factor: int = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a call may take at most: at the least, and for each piece of its work."""

    base: float
    per_input: float = 0.0
    per_block: float = 0.0
    per_output: float = 0.0

    def timeout(self, work: Work) -> float:
        """Return the seconds for this much work."""
        pieces = self.per_input * work.inputs + self.per_block * work.blocks + self.per_output * work.outputs
        return min(MAX_TIMEOUT, work.factor * (self.base + pieces))


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC method.

    ``timeout`` is in seconds, from the moment the call is sent, where the caller does not say how much there is to do;
    where it does, ``cost`` has the seconds (see :meth:`doing`). ``path`` is ``/json_rpc`` for JSON-RPC methods; the
    older methods of the daemon each have a path of their own. ``refused_as`` is the meaning of the code -1
    ("unknown error") in a refusal of this method.
    """

    name: str
    effect: Effect
    timeout: float
    path: str = "/json_rpc"
    refused_as: type[Refused] = Refused
    cost: Cost | None = None

    def doing(self, work: Work | None) -> "Method":
        """Return this method with the time for so much work; ``None``: as it is."""
        if work is None or self.cost is None:
            return self
        return replace(self, timeout=self.cost.timeout(work))

    @property
    def changes_state(self) -> bool:
        """Whether a lost reply leaves open what happened."""
        return self.effect is Effect.CHANGES


READS, CHANGES = Effect.READS, Effect.CHANGES

#: Seconds after which no call is waited for, however much there is to do.
MAX_TIMEOUT: Final = 2 * 60 * 60.0
#: Seconds for one block: an estimate, ten times what a wallet takes for a block of mainnet from a daemon at hand.
_PER_BLOCK: Final = 0.06

#: Methods of monero-wallet-rpc.
WALLET_METHODS: Final = {
    method.name: method
    for method in (
        # the process and its wallet
        Method("get_version", READS, 10),
        Method("auto_refresh", CHANGES, 10),
        Method("create_wallet", CHANGES, 120, refused_as=WalletNotOpened),
        Method("restore_deterministic_wallet", CHANGES, 120, refused_as=WalletNotOpened),
        Method("set_subaddress_lookahead", CHANGES, 60),
        Method("open_wallet", CHANGES, 120, refused_as=WalletNotOpened),
        Method("close_wallet", CHANGES, 60, refused_as=WalletNotSaved),
        Method("store", CHANGES, 60, refused_as=WalletNotSaved),
        Method("stop_wallet", CHANGES, 60, refused_as=WalletNotSaved),
        Method("set_daemon", CHANGES, 10),
        Method("set_attribute", CHANGES, 10),
        Method("get_attribute", READS, 10),
        # what it holds
        Method("refresh", CHANGES, 600, cost=Cost(25, per_block=_PER_BLOCK)),
        Method("rescan_spent", CHANGES, 600, cost=Cost(25, per_output=0.1)),
        Method("get_height", READS, 10),
        Method("get_address", READS, 10),
        Method("get_address_index", READS, 10),
        Method("create_address", CHANGES, 30),
        Method("validate_address", READS, 10),
        Method("get_balance", READS, 20),
        Method("incoming_transfers", READS, 60),
        Method("get_transfers", READS, 60),
        Method("freeze", CHANGES, 10),
        Method("thaw", CHANGES, 10),
        Method("query_key", READS, 10),
        # multisig
        Method("is_multisig", READS, 10),
        Method("prepare_multisig", CHANGES, 30, refused_as=MultisigRefused),
        Method("make_multisig", CHANGES, 60, refused_as=MultisigRefused),
        Method("exchange_multisig_keys", CHANGES, 60, refused_as=MultisigRefused),
        Method("export_multisig_info", CHANGES, 60, refused_as=MultisigRefused, cost=Cost(15, per_output=0.3)),
        # An import takes the wallet back to the oldest output that it speaks of, and reads the blocks from there again.
        Method(
            "import_multisig_info",
            CHANGES,
            300,
            refused_as=MultisigRefused,
            cost=Cost(25, per_block=_PER_BLOCK, per_output=0.2),
        ),
        Method("sign_multisig", CHANGES, 300, cost=Cost(15, per_input=0.2)),
        Method("submit_multisig", CHANGES, 120, cost=Cost(15, per_input=0.2)),
        # money out, and proofs of it
        Method("describe_transfer", READS, 120, cost=Cost(15, per_input=0.2)),
        Method("transfer", CHANGES, 300, refused_as=TransferRefused, cost=Cost(15, per_input=0.7)),
        Method("sweep_all", CHANGES, 600, refused_as=TransferRefused, cost=Cost(15, per_input=0.7)),
        Method("get_tx_key", READS, 10),
        Method("check_tx_key", READS, 60),
        Method("get_tx_proof", READS, 60),
        Method("check_tx_proof", READS, 60),
    )
}

#: Methods of monerod.
DAEMON_METHODS: Final = {
    method.name: method
    for method in (
        Method("get_info", READS, 15),
        Method("get_version", READS, 15),
        Method("hard_fork_info", READS, 15),
        Method("get_last_block_header", READS, 15),
        Method("get_block_header_by_height", READS, 15),
        Method("get_block", READS, 30),
        Method("get_fee_estimate", READS, 15),
        Method("get_blocks", READS, 120, path="/get_blocks.bin"),
        Method("generateblocks", CHANGES, 300),
        Method("flush_txpool", CHANGES, 30),
        Method("get_transaction_pool_hashes", READS, 15, path="/get_transaction_pool_hashes"),
        Method("get_transaction_pool", READS, 30, path="/get_transaction_pool"),
        Method("get_transactions", READS, 60, path="/get_transactions"),
        Method("is_key_image_spent", READS, 30, path="/is_key_image_spent"),
        Method("send_raw_transaction", CHANGES, 60, path="/send_raw_transaction"),
        Method("pop_blocks", CHANGES, 120, path="/pop_blocks"),
        Method("stop_daemon", CHANGES, 30, path="/stop_daemon"),
    )
}
