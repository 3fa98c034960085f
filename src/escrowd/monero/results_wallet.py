"""What monero-wallet-rpc answers: the fields that escrowd uses, under Monero's names.

Amounts are piconero, heights count blocks (a height of n means that n blocks exist), times are Unix seconds. epee, the
serialiser of Monero, leaves empty lists out, and some fields that hold their default; those have defaults here too.

Keys are :class:`~escrowd.domain.secret.Secret`. What belongs to multisig and to signing is in
:mod:`escrowd.monero.results_signing`.
"""

from enum import StrEnum

import msgspec

from escrowd.domain.secret import Secret
from escrowd.monero.versions import RpcVersion


class Nothing(msgspec.Struct, frozen=True):
    """An answer that says no more than: done."""


# --- the process and its wallet --------------------------------------------------------------------------------------


class WalletRpcVersion(msgspec.Struct, frozen=True):
    """Answer of ``get_version``."""

    version: int
    #: Whether the server was built from a release tag.
    release: bool = False

    @property
    def rpc_version(self) -> RpcVersion:
        """The version, major and minor part told apart."""
        return RpcVersion.unpack(self.version)


class RestoredWallet(msgspec.Struct, frozen=True):
    """Answer of ``restore_deterministic_wallet``."""

    address: str


class Attribute(msgspec.Struct, frozen=True):
    """Answer of ``get_attribute``."""

    value: str


class Refreshed(msgspec.Struct, frozen=True):
    """Answer of ``refresh``."""

    blocks_fetched: int
    received_money: bool


class Height(msgspec.Struct, frozen=True):
    """Answer of ``get_height``."""

    height: int


class KeyKind(StrEnum):
    """What ``query_key`` may be asked for."""

    VIEW_KEY = "view_key"
    SPEND_KEY = "spend_key"
    MNEMONIC = "mnemonic"


class QueriedKey(msgspec.Struct, frozen=True):
    """Answer of ``query_key``."""

    key: Secret


# --- addresses -------------------------------------------------------------------------------------------------------


class SubaddressIndex(msgspec.Struct, frozen=True):
    """Account (major) and index in it (minor)."""

    major: int
    minor: int


class Subaddress(msgspec.Struct, frozen=True):
    """One address of an account."""

    address: str
    address_index: int
    #: Whether a transfer to it was seen.
    used: bool
    label: str = ""


class Addresses(msgspec.Struct, frozen=True):
    """Answer of ``get_address``. ``address`` is the one with index 0 of the account."""

    address: str
    addresses: tuple[Subaddress, ...] = ()


class CreatedAddresses(msgspec.Struct, frozen=True):
    """Answer of ``create_address``: new addresses and their indices, in the same order."""

    addresses: tuple[str, ...] = ()
    address_indices: tuple[int, ...] = ()


class AddressVerdict(msgspec.Struct, frozen=True):
    """Answer of ``validate_address``. The other fields mean something only where ``valid``."""

    valid: bool
    #: Whether it carries a payment id.
    integrated: bool
    subaddress: bool
    #: ``mainnet``, ``stagenet`` or ``testnet``; addresses of a regtest chain are mainnet's.
    nettype: str


# --- what it holds ---------------------------------------------------------------------------------------------------


class SubaddressBalance(msgspec.Struct, frozen=True):
    """What one address holds, in piconero."""

    account_index: int
    address_index: int
    address: str
    balance: int
    unlocked_balance: int
    num_unspent_outputs: int
    blocks_to_unlock: int
    #: Seconds.
    time_to_unlock: int


class Balance(msgspec.Struct, frozen=True):
    """Answer of ``get_balance``, in piconero. ``balance`` counts what is still in the pool, unless asked strictly.

    After an import that failed the wallet was seen to answer a balance of 0 with ``multisig_import_needed`` false: no
    balance of a multisig wallet is a fact about the chain.
    """

    balance: int
    unlocked_balance: int
    multisig_import_needed: bool
    #: Blocks until all of it is unlocked.
    blocks_to_unlock: int
    #: Seconds until all of it is unlocked.
    time_to_unlock: int
    per_subaddress: tuple[SubaddressBalance, ...] = ()


class IncomingKind(StrEnum):
    """Which outputs ``incoming_transfers`` lists."""

    ALL = "all"
    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"


class IncomingTransfer(msgspec.Struct, frozen=True):
    """One output that the wallet received."""

    amount: int
    #: Whether the wallet knows it as spent. A multisig wallet knows that only after an import of its co-signers' data.
    spent: bool
    #: Index among all RingCT outputs of the chain.
    global_index: int
    tx_hash: str
    subaddr_index: SubaddressIndex
    #: Empty where the wallet does not know it, as before the first import of a multisig wallet.
    key_image: str
    block_height: int
    frozen: bool
    unlocked: bool
    #: The one-time public key of the output.
    pubkey: str = ""


class IncomingTransfers(msgspec.Struct, frozen=True):
    """Answer of ``incoming_transfers``."""

    transfers: tuple[IncomingTransfer, ...] = ()


class Recipient(msgspec.Struct, frozen=True):
    """Who gets what, in piconero."""

    address: str
    amount: int


class Transfer(msgspec.Struct, frozen=True):
    """One transaction as the wallet sees it; a payment to several subaddresses is several of them."""

    txid: str
    #: ``in``, ``out``, ``pending``, ``failed``, ``pool`` or ``block`` (mined by this wallet).
    type: str
    #: 0 while in the pool.
    height: int
    timestamp: int
    amount: int
    fee: int
    #: A height below 500 000 000, else a Unix time; 0 for no lock beyond the usual one.
    unlock_time: int
    locked: bool
    double_spend_seen: bool
    subaddr_index: SubaddressIndex
    address: str = ""
    payment_id: str = ""
    confirmations: int = 0
    amounts: tuple[int, ...] = ()
    destinations: tuple[Recipient, ...] = ()
    subaddr_indices: tuple[SubaddressIndex, ...] = ()


class Transfers(msgspec.Struct, frozen=True):
    """Answer of ``get_transfers``."""

    incoming: tuple[Transfer, ...] = msgspec.field(default=(), name="in")
    outgoing: tuple[Transfer, ...] = msgspec.field(default=(), name="out")
    pending: tuple[Transfer, ...] = ()
    failed: tuple[Transfer, ...] = ()
    pool: tuple[Transfer, ...] = ()
