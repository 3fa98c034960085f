"""What monero-wallet-rpc answers on the way from three wallets to a signed payout: multisig, money out, proofs.

Conventions as in :mod:`escrowd.monero.results_wallet`. Multisig messages, transaction sets and keys are
:class:`~escrowd.domain.secret.Secret`: a first-round message gives away the view key (monero-project/monero issue
3389), and a transaction set can carry nonces. So no repr, log line or traceback shows them, and only the transport
turns them into text and back.
"""

from enum import IntEnum

import msgspec

from escrowd.domain.secret import Secret
from escrowd.monero.results_wallet import Recipient

# --- multisig --------------------------------------------------------------------------------------------------------


class MultisigStatus(msgspec.Struct, frozen=True):
    """Answer of ``is_multisig``. ``threshold`` of ``total`` must sign; both are 0 where ``multisig`` is false."""

    multisig: bool
    #: Whether the last key exchange is done. Before it the wallet's address is no address to pay to.
    ready: bool
    threshold: int
    total: int


class PreparedMultisig(msgspec.Struct, frozen=True):
    """Answer of ``prepare_multisig``: the message for the other participants."""

    multisig_info: Secret


class MultisigRound(msgspec.Struct, frozen=True):
    """Answer of ``make_multisig`` and ``exchange_multisig_keys``."""

    #: Not an address to pay to before the wallet is ready: ``make_multisig`` answers with a placeholder, which was
    #: seen to be the same in all wallets, and an exchange leaves it empty until the last round.
    address: str
    #: The message for the next round. After the last one 0.18.0.0 still gives one, which nobody needs.
    multisig_info: Secret


class ExportedMultisig(msgspec.Struct, frozen=True):
    """Answer of ``export_multisig_info``."""

    info: Secret


class ImportedMultisig(msgspec.Struct, frozen=True):
    """Answer of ``import_multisig_info``: how many outputs the imported data spoke of."""

    n_outputs: int


class SignedMultisig(msgspec.Struct, frozen=True):
    """Answer of ``sign_multisig``: the set with our signature, and the transaction ids once it is complete."""

    tx_data_hex: Secret
    tx_hash_list: tuple[str, ...] = ()


class TransactionIds(msgspec.Struct, frozen=True):
    """Answer of ``submit_multisig``."""

    tx_hash_list: tuple[str, ...] = ()


# --- money out -------------------------------------------------------------------------------------------------------


class Priority(IntEnum):
    """How much fee a transaction offers. With ``DEFAULT`` the wallet itself chooses between the two lowest."""

    DEFAULT = 0
    UNIMPORTANT = 1
    NORMAL = 2
    ELEVATED = 3
    PRIORITY = 4


class SpentKeyImages(msgspec.Struct, frozen=True):
    """The key images that one transaction spends."""

    key_images: tuple[str, ...] = ()


class BuiltTransaction(msgspec.Struct, frozen=True):
    """Answer of ``transfer``. A multisig wallet fills ``multisig_txset``, any other one ``tx_hash``."""

    #: What leaves the wallet without the fee, in piconero.
    amount: int
    fee: int
    weight: int
    tx_hash: str = ""
    tx_key: Secret = Secret("")
    tx_blob: str = ""
    multisig_txset: Secret = Secret("")
    spent_key_images: SpentKeyImages = SpentKeyImages()


class BuiltTransactions(msgspec.Struct, frozen=True):
    """Answer of ``sweep_all``: one entry for each transaction, in one order.

    A multisig wallet fills ``multisig_txset`` with all of them, any other one ``tx_hash_list``.
    """

    amount_list: tuple[int, ...] = ()
    fee_list: tuple[int, ...] = ()
    weight_list: tuple[int, ...] = ()
    tx_hash_list: tuple[str, ...] = ()
    tx_blob_list: tuple[str, ...] = ()
    multisig_txset: Secret = Secret("")
    spent_key_images_list: tuple[SpentKeyImages, ...] = ()


class DescribedSource(msgspec.Struct, frozen=True):
    """One output that a described transaction spends."""

    amount: int
    global_index: int
    #: One-time key and commitment, together 128 hexadecimal digits (``pod_to_hex`` of a ``ctkey``).
    pubkey: str


class DescribedTransaction(msgspec.Struct, frozen=True):
    """What one transaction of a set would do. It does not say whose the inputs are."""

    amount_in: int
    amount_out: int
    fee: int
    unlock_time: int
    ring_size: int
    change_amount: int
    dummy_outputs: int
    #: The transaction's extra field, hex.
    extra: str
    payment_id: str = ""
    change_address: str = ""
    recipients: tuple[Recipient, ...] = ()
    #: In bytes; 0 where the wallet does not say it. 0.18.5.3 does.
    weight: int = 0
    #: Empty where the wallet lacks ``Capability.DESCRIBE_SOURCES``.
    sources: tuple[DescribedSource, ...] = ()


class DescribedTransfer(msgspec.Struct, frozen=True):
    """Answer of ``describe_transfer``: every transaction of the set."""

    desc: tuple[DescribedTransaction, ...] = ()


# --- proofs ----------------------------------------------------------------------------------------------------------


class TransactionKey(msgspec.Struct, frozen=True):
    """Answer of ``get_tx_key``."""

    tx_key: Secret


class TransactionProof(msgspec.Struct, frozen=True):
    """Answer of ``get_tx_proof``."""

    signature: str


class CheckedPayment(msgspec.Struct, frozen=True):
    """Answer of ``check_tx_key``: what the address got, in piconero."""

    received: int
    in_pool: bool
    confirmations: int


class CheckedProof(msgspec.Struct, frozen=True):
    """Answer of ``check_tx_proof``. The other fields mean something only where ``good``."""

    good: bool
    received: int = 0
    in_pool: bool = False
    confirmations: int = 0
