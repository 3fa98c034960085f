"""A simulated monero-wallet-rpc: the methods that the service calls, answered as 0.18 answers them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from escrowd.domain.secret import Secret
from escrowd.monero.errors import (
    AttributeNotFound,
    BadArgument,
    DaemonNotReady,
    MultisigRefused,
    NoWalletOpen,
    TransferRefused,
    WalletNotSaved,
)
from escrowd.monero.results_signing import (
    BuiltTransaction,
    BuiltTransactions,
    DescribedSource,
    DescribedTransaction,
    DescribedTransfer,
    ExportedMultisig,
    ImportedMultisig,
    MultisigStatus,
    SignedMultisig,
    SpentKeyImages,
    TransactionIds,
)
from escrowd.monero.results_wallet import (
    Addresses,
    Attribute,
    Balance,
    Height,
    IncomingTransfer,
    IncomingTransfers,
    Nothing,
    Recipient,
    Refreshed,
    Subaddress,
    SubaddressBalance,
    SubaddressIndex,
    Transfer,
    Transfers,
    WalletRpcVersion,
)
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.faults import Faults
from escrowd.testing.simulation.signing import Proposed, SigningLog, TransactionSet
from escrowd.testing.simulation.spending import Builder, Costs, hostile
from escrowd.testing.simulation.transactions import SimulatedOutput, SimulatedTransaction
from escrowd.testing.simulation.transport import DISK_IS_FULL
from escrowd.testing.simulation.wallet import Known, SimulatedWallet
from escrowd.wallets.submissions import SubmissionRecorder

Params = Mapping[str, object]

#: Version of the wallet RPC, as ``get_version`` packs it: Monero 0.18.0.0 and 0.18.5.3.
OLD_RPC: Final = 1 << 16 | 25
NEW_RPC: Final = 1 << 16 | 32


#: Where recorders of submissions listen.
RECORDER_HOST: Final = "simulated-recorder"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all wallet processes of a world share. ``now`` is asked for the time in seconds since 1970."""

    chain: SimulatedChain
    log: SigningLog
    faults: Faults
    costs: Costs
    now: Callable[[], int]
    rpc_version: int = OLD_RPC
    #: What was submitted to each recorder, by its address.
    recorders: dict[str, SubmissionRecorder] = field(default_factory=dict)

    @property
    def is_new(self) -> bool:
        """Whether the wallets are of a release without the faults of the old ones."""
        return self.rpc_version >= NEW_RPC


class WalletRpc:
    """Answers the calls of one process. ``write`` puts the wallet into its file; ``wallet`` is the one that is open."""

    def __init__(self, around: Surroundings, write: Callable[[SimulatedWallet], None]) -> None:
        self._around = around
        self._chain = around.chain
        self._write = write
        self._daemon = ""
        self.wallet: SimulatedWallet | None = None

    # --- the process and its wallet -----------------------------------------------------------------------------------

    def get_version(self, _params: Params) -> WalletRpcVersion:
        """Tell the version."""
        return WalletRpcVersion(self._around.rpc_version)

    def set_daemon(self, params: Params) -> Nothing:
        """Use another daemon, or a recorder."""
        if self.wallet is None:
            raise NoWalletOpen("set_daemon", -13, "No wallet file")
        self._daemon = str(params["address"])
        return Nothing()

    def store(self, params: Params) -> Nothing:
        """Write the file."""
        if params.get(DISK_IS_FULL):
            raise WalletNotSaved("store", -1, "No space left on device")
        self._write(self._open)
        return Nothing()

    def close_wallet(self, params: Params) -> Nothing:
        """Write the file and close."""
        self.store(params)
        self.wallet = None
        return Nothing()

    def set_attribute(self, params: Params) -> Nothing:
        """Note a text."""
        self._open.attributes[str(params["key"])] = str(params["value"])
        return Nothing()

    def get_attribute(self, params: Params) -> Attribute:
        """Return a text."""
        if params["key"] not in self._open.attributes:
            raise AttributeNotFound("get_attribute", -45, "Attribute not found.")
        return Attribute(self._open.attributes[str(params["key"])])

    # --- what it holds ------------------------------------------------------------------------------------------------

    def refresh(self, _params: Params) -> Refreshed:
        """Read the chain."""
        self._need_daemon("refresh")
        before = len(self._open.known)
        return Refreshed(self._open.refresh(self._chain), len(self._open.known) > before)

    def rescan_spent(self, _params: Params) -> Nothing:
        """Look for spends once more."""
        self._need_daemon("rescan_spent")
        self._open.rescan_spent(self._chain)
        return Nothing()

    def get_height(self, _params: Params) -> Height:
        """Tell how far it has read."""
        return Height(self._open.height)

    def get_address(self, params: Params) -> Addresses:
        """Tell the address."""
        address = self._open.address
        if params.get("account_index", 0) != 0:
            address = f"{address}/{params['account_index']}"
        return Addresses(address, (Subaddress(address, 0, used=bool(self._open.known), label="Primary account"),))

    def get_balance(self, params: Params) -> Balance:
        """Sum up. After a failed import it says 0, and that nothing is missing."""
        wallet = self._open
        account = None if params.get("all_accounts") else cast("int", params.get("account_index", 0))
        unspent = list(wallet.unspent(account))
        pooled = [] if params.get("strict") else [each for each in wallet.pooled if account in (None, each[0])]
        places = sorted({_place(each) for each in unspent} | {each[:2] for each in pooled})
        rows = tuple(self._balance_of(place, unspent, pooled) for place in places)
        return Balance(
            balance=sum(each.balance for each in rows),
            unlocked_balance=sum(each.unlocked_balance for each in rows),
            multisig_import_needed=any(not each.imported for each in wallet.known),
            blocks_to_unlock=max((each.blocks_to_unlock for each in rows), default=0),
            time_to_unlock=0,
            per_subaddress=rows,
        )

    def incoming_transfers(self, params: Params) -> IncomingTransfers:
        """List the outputs of an account."""
        wallet, kind = self._open, params["transfer_type"]
        return IncomingTransfers(
            tuple(
                self._incoming(each)
                for each in wallet.known
                if each.mined.output.account == params["account_index"]
                and (kind == "all" or each.is_spent is (kind == "unavailable"))
            )
        )

    def get_transfers(self, _params: Params) -> Transfers:
        """List what came with each transaction."""
        pooled = self._chain.pooled_of(self._open.name) if self._open.pooled else ()
        return Transfers(
            tuple(self._transfer(each) for each in self._open.known),
            pool=tuple(self._waiting(transaction, transaction.outputs[index]) for transaction, index in pooled),
        )

    def freeze(self, params: Params) -> Nothing:
        """Leave an output out of what is built."""
        self._open.frozen |= {str(params["key_image"])}
        return Nothing()

    def thaw(self, params: Params) -> Nothing:
        """Let a frozen output be spent again."""
        self._open.frozen -= {str(params["key_image"])}
        return Nothing()

    # --- multisig -----------------------------------------------------------------------------------------------------

    def is_multisig(self, _params: Params) -> MultisigStatus:
        """Tell that it is ready as 2 of 3."""
        return MultisigStatus(multisig=self._open is not None, ready=True, threshold=2, total=3)

    def export_multisig_info(self, _params: Params) -> ExportedMultisig:
        """Make fresh nonces."""
        return ExportedMultisig(self._around.log.keep_export(self._open.export(self._chain)))

    def import_multisig_info(self, params: Params) -> ImportedMultisig:
        """Take in the co-signers' data."""
        wallet, method = self._open, "import_multisig_info"
        infos = [each.reveal() for each in cast("Sequence[Secret]", params["info"])]
        if not infos:
            raise MultisigRefused(method, -33, "Needs multisig export info from more participants")
        if not all(each in self._around.log.exports for each in infos):
            raise MultisigRefused(method, -1, "Error calling import_multisig: Bad multisig info file magic in ")
        exports = [self._around.log.exports[each] for each in infos]
        if any(each.wallet != wallet.name for each in exports):
            raise MultisigRefused(method, -1, "Error calling import_multisig: Signature from an unknown signer")
        if any(each.role is wallet.role for each in exports):
            raise MultisigRefused(method, -1, "Error calling import_multisig: Wrong number of multisig sources")
        if self._around.faults.daemon_is_down:
            # What has no key image yet was detached to be read once more, and that failed (monero issue 9843).
            wallet.take_in_and_lose(exports, keeps_data=self._around.is_new)
            raise MultisigRefused(method, -1, "Error calling import_multisig: no connection to daemon")
        return ImportedMultisig(wallet.take_in(exports, self._chain))

    def sweep_all(self, params: Params) -> BuiltTransactions:
        """Build a sweep."""
        made = self._builder().sweep(
            str(params["address"]),
            cast("int", params["account_index"]),
            cast("int", params["priority"]),
            all_indices=bool(params.get("subaddr_indices_all")),
        )
        self._need_outputs_for_rings("sweep_all")
        made = hostile(made, self._around.faults.hostility)
        each = made.transactions
        return BuiltTransactions(
            amount_list=tuple(one.amount_in - one.fee - one.change for one in each),
            fee_list=tuple(one.fee for one in each),
            weight_list=tuple(one.weight for one in each),
            multisig_txset=self._around.log.keep_set(made),
            spent_key_images_list=tuple(_images(one) for one in each),
        )

    def transfer(self, params: Params) -> BuiltTransaction:
        """Build a transfer."""
        if params.get("unlock_time") and self._around.is_new:
            raise BadArgument("transfer", -50, "Transaction cannot have non-zero unlock time")
        made = self._builder().transfer(
            cast("Sequence[Recipient]", params["destinations"]),
            cast("int", params.get("account_index", 0)),
            cast("Sequence[int]", params.get("subaddr_indices", ())),
            cast("int", params.get("priority", 0)),
            cast("Sequence[int]", params.get("subtract_fee_from_outputs", ())) if self._around.is_new else (),
        )
        self._need_outputs_for_rings("transfer")
        made = hostile(made, self._around.faults.hostility)
        one = made.transactions[0]
        return BuiltTransaction(
            amount=one.amount_in - one.fee - one.change,
            fee=one.fee,
            weight=one.weight,
            tx_key=_TX_KEY if params.get("get_tx_key") else Secret(""),
            multisig_txset=self._around.log.keep_set(made),
            spent_key_images=_images(one),
        )

    def describe_transfer(self, params: Params) -> DescribedTransfer:
        """Say what a set would do."""
        made = self._set(params["multisig_txset"], "describe_transfer", "cannot load multisig_txset")
        return DescribedTransfer(tuple(self._described(each) for each in made.transactions))

    def sign_multisig(self, params: Params) -> SignedMultisig:
        """Sign, and use the nonces up: on disk only where the release does so."""
        wallet, made = self._open, self._set(params["tx_data_hex"], "sign_multisig")
        ours = [(each, one, one.nonces.get(wallet.role, "")) for each in made.transactions for one in each.inputs]
        if made.wallet != wallet.name:
            raise MultisigRefused("sign_multisig", -34, _NO_SET)
        if made.proposer is wallet.role:
            raise MultisigRefused("sign_multisig", -35, f"{_NOT_SIGNED}Transaction already signed by this private key")
        if made.cosigner or not all(wallet.has_nonce(one.key, nonce) for _, one, nonce in ours):
            raise MultisigRefused("sign_multisig", -35, f"{_NOT_SIGNED}{_STALE}")
        for each, one, nonce in ours:
            self._around.log.use(nonce, each)
            wallet.use_nonce(one.key, nonce)
        if self._around.is_new:
            self._write(wallet)
        signed = made.with_signature(wallet.role)
        return SignedMultisig(self._around.log.keep_set(signed), tuple(each.txid for each in signed.signed))

    def submit_multisig(self, params: Params) -> TransactionIds:
        """Give what is signed to the recorder that is the wallet's daemon for the moment."""
        made = self._set(params["tx_data_hex"], "submit_multisig")
        if any(each.key not in self._keys for one in made.transactions for each in one.inputs):
            raise MultisigRefused("submit_multisig", -34, _NO_SET)
        if not made.signed:
            raise MultisigRefused("submit_multisig", -33, "Not enough signers signed this transaction.")
        recorder = self._around.recorders.get(self._daemon)
        if recorder is None:
            raise AssertionError("a wallet submits to the daemon, and the bytes are not known before")
        for transaction, proposed in zip(made.signed, made.transactions, strict=True):
            recorder.record(transaction.raw)
            self._chain.submitted[transaction.txid] = transaction
            self._open.note_sent([each.key for each in proposed.inputs])
        return TransactionIds(tuple(each.txid for each in made.signed))

    # --- private ------------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> SimulatedWallet:
        if self.wallet is None:
            raise NoWalletOpen("", -13, "No wallet file")
        return self.wallet

    @property
    def _keys(self) -> frozenset[str]:
        return frozenset(each.key for each in self._open.known)

    def _need_daemon(self, method: str) -> None:
        # A recorder that is left over from a service that ended is not there any more.
        if self._around.faults.daemon_is_down or self._daemon.startswith(RECORDER_HOST):
            raise DaemonNotReady(method, -38, "no connection to daemon")

    def _builder(self) -> Builder:
        around = self._around
        return Builder(self._open, self._chain, around.costs, around.now(), is_new=around.is_new)

    def _need_outputs_for_rings(self, method: str) -> None:
        if self._around.faults.daemon_is_down or self._daemon.startswith(RECORDER_HOST):
            raise TransferRefused(method, -4, "failed to get output distribution")

    def _set(self, text: object, method: str, refusal: str = "") -> TransactionSet:
        found = self._around.log.sets.get(cast("Secret", text).reveal())
        if found is None:
            raise MultisigRefused(method, -34, refusal or _NO_SET)
        return found

    def _balance_of(
        self, place: tuple[int, int], unspent: Sequence[Known], pooled: Sequence[tuple[int, int, int]]
    ) -> SubaddressBalance:
        here = [each for each in unspent if _place(each) == place]
        unlocked = [each for each in here if self._open.is_unlocked(each, self._around.now())]
        return SubaddressBalance(
            account_index=place[0],
            address_index=place[1],
            address=self._open.address,
            balance=sum(each.mined.output.amount for each in here) + sum(a for *at, a in pooled if tuple(at) == place),
            unlocked_balance=sum(each.mined.output.amount for each in unlocked),
            num_unspent_outputs=len(here),
            blocks_to_unlock=max((each.mined.blocks_to_unlock(self._open.height) for each in here), default=0),
            time_to_unlock=0,
        )

    def _incoming(self, known: Known) -> IncomingTransfer:
        mined = known.mined
        return IncomingTransfer(
            amount=mined.output.amount,
            spent=known.is_spent,
            global_index=mined.global_index,
            tx_hash=mined.transaction.txid,
            subaddr_index=SubaddressIndex(*_place(known)),
            key_image=known.key_image,
            block_height=mined.height,
            frozen=known.key_image in self._open.frozen,
            unlocked=self._open.is_unlocked(known, self._around.now()),
            pubkey=known.key,
        )

    def _transfer(self, known: Known) -> Transfer:
        mined = known.mined
        return Transfer(
            txid=mined.transaction.txid,
            type="in",
            height=mined.height,
            timestamp=0,
            amount=mined.output.amount,
            fee=mined.transaction.fee,
            unlock_time=mined.transaction.unlock_time,
            locked=not self._open.is_unlocked(known, self._around.now()),
            double_spend_seen=False,
            subaddr_index=SubaddressIndex(*_place(known)),
            address=mined.output.address,
            payment_id=mined.output.payment_id or _NO_ID,
            confirmations=self._open.height - mined.height,
            amounts=(mined.output.amount,),
            subaddr_indices=(SubaddressIndex(*_place(known)),),
        )

    def _waiting(self, transaction: SimulatedTransaction, output: SimulatedOutput) -> Transfer:
        return Transfer(
            txid=transaction.txid,
            type="pool",
            height=0,
            timestamp=0,
            amount=output.amount,
            fee=transaction.fee,
            unlock_time=transaction.unlock_time,
            locked=True,
            double_spend_seen=transaction.txid in self._chain.disputed,
            subaddr_index=SubaddressIndex(output.account, output.address_index),
            address=output.address,
            payment_id=output.payment_id or _NO_ID,
            amounts=(output.amount,),
            subaddr_indices=(SubaddressIndex(output.account, output.address_index),),
        )

    def _described(self, proposed: Proposed) -> DescribedTransaction:
        paid: dict[str, int] = {}
        for each in proposed.outputs[: len(proposed.outputs) - (1 if proposed.change else 0)]:
            paid[each.address] = paid.get(each.address, 0) + each.amount
        sources = tuple(
            DescribedSource(each.amount, each.global_index, each.key + _COMMITMENT) for each in proposed.inputs
        )
        return DescribedTransaction(
            amount_in=proposed.amount_in,
            amount_out=proposed.amount_in - proposed.fee,
            fee=proposed.fee,
            unlock_time=proposed.unlock_time,
            ring_size=16,
            change_amount=proposed.change,
            dummy_outputs=1 if len(proposed.outputs) == 1 else 0,
            extra=_KEY_FIELD + (_ENCRYPTED_ID if len(paid) == 1 else ""),
            change_address=proposed.change_address,
            recipients=tuple(Recipient(address, amount) for address, amount in paid.items()),
            weight=proposed.weight if self._around.is_new else 0,
            sources=sources if self._around.is_new else (),
        )


# ---------------------------------------------------------------------------------------------------------------------

#: What a wallet shows for a transaction without a payment id.
_NO_ID: Final = "0" * 16
_NO_SET: Final = "Failed to parse multisig tx data."
_NOT_SIGNED: Final = "Failed to sign multisig tx: "
_STALE: Final = (
    "This signature was made with stale data: export fresh multisig data, which other participants must then use"
)
#: Stands for the secret key of a transaction.
_TX_KEY: Final = Secret("07" * 32)
#: Stands for the commitment to the amount of an output that is spent.
_COMMITMENT: Final = "cd" * 32
#: One transaction public key; and the payment id that a single receiver gets in any case.
_KEY_FIELD: Final = "01" + "ab" * 32
_ENCRYPTED_ID: Final = "020901" + "ab" * 8


def _place(known: Known) -> tuple[int, int]:
    return known.mined.output.account, known.mined.output.address_index


def _images(proposed: Proposed) -> SpentKeyImages:
    return SpentKeyImages(tuple(each.key_image for each in proposed.inputs))
