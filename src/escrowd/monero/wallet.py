"""monero-wallet-rpc, one typed method for each call.

Nothing here is clever: a method names its parameters as Monero does, and says what it means and what it leaves undone.
Above all, **no call of the signing path saves the wallet** (``store`` does). Passwords, keys, multisig messages and
transaction sets are :class:`~escrowd.domain.secret.Secret` on the way in and on the way out.
"""

from collections.abc import Sequence
from typing import TypeVar

from escrowd.domain.secret import Secret
from escrowd.monero.errors import WALLET_REFUSALS
from escrowd.monero.results_signing import (
    BuiltTransaction,
    BuiltTransactions,
    DescribedTransaction,
    DescribedTransfer,
    ExportedMultisig,
    ImportedMultisig,
    MultisigRound,
    MultisigStatus,
    PreparedMultisig,
    Priority,
    SignedMultisig,
    TransactionIds,
)
from escrowd.monero.results_wallet import (
    Addresses,
    AddressVerdict,
    Attribute,
    Balance,
    CreatedAddresses,
    Height,
    IncomingKind,
    IncomingTransfer,
    IncomingTransfers,
    KeyKind,
    Nothing,
    QueriedKey,
    Recipient,
    Refreshed,
    RestoredWallet,
    Transfers,
    WalletRpcVersion,
)
from escrowd.monero.transport import Connections, Endpoint, HttpTransport
from escrowd.monero.versions import Capability, capabilities, oldest_release_of
from escrowd.monero.wallet_proofs import ProofCalls

ResultT = TypeVar("ResultT")


def wallet_client(connections: Connections, endpoint: Endpoint) -> "MoneroClient":
    """Make the client of one wallet process."""
    return MoneroClient(HttpTransport(connections, endpoint, WALLET_REFUSALS, one_at_a_time=True))


class MoneroClient(ProofCalls):
    """One monero-wallet-rpc, which holds at most one open wallet.

    Every method raises what :meth:`escrowd.monero.transport.HttpTransport.call` raises, and ``NoWalletOpen`` where it
    needs a wallet and none is open.
    """

    # --- the process and its wallet -----------------------------------------------------------------------------------

    async def get_version(self) -> WalletRpcVersion:
        """Ask for the version of the RPC interface. Needs no wallet."""
        return await self._call("get_version", {}, WalletRpcVersion)

    async def capabilities(self) -> frozenset[Capability]:
        """Return what this process can do for certain: what the oldest release with its RPC version can.

        Raises:
            UnknownVersion: the RPC version is not one of Monero 0.18.

        """
        return capabilities(oldest_release_of((await self.get_version()).rpc_version))

    async def set_auto_refresh(self, *, enabled: bool) -> None:
        """Let the process refresh its wallet on its own every 20 s, or not."""
        await self._call("auto_refresh", {"enable": enabled}, Nothing)

    async def set_daemon(self, daemon: Endpoint) -> None:
        """Let the open wallet use another daemon, unencrypted and trusted, until another wallet is opened."""
        params: dict[str, object] = {
            "address": f"{daemon.host}:{daemon.port}",
            "trusted": True,
            "ssl_support": "disabled",
        }
        if daemon.login is not None:
            params |= {"username": daemon.login.username, "password": daemon.login.password}
        await self._call("set_daemon", params, Nothing)

    async def create_wallet(self, filename: str, password: Secret, language: str = "English") -> None:
        """Make a wallet file in the wallet directory and open it, in place of one that is open.

        Raises:
            WalletNotOpened: there is such a file, or it cannot be written.

        """
        await self._call("create_wallet", {"filename": filename, "password": password, "language": language}, Nothing)

    async def restore_deterministic_wallet(
        self, filename: str, password: Secret, seed: Secret, restore_height: int
    ) -> str:
        """Make a wallet file from a seed of words, open it, and return its address.

        The chain is read from block ``restore_height`` on, at the next refresh.

        Raises:
            WalletNotOpened: there is such a file, it cannot be written, or the words are no seed.

        """
        params = {
            "filename": filename,
            "password": password,
            "seed": seed,
            # Without ``enable_multisig_experimental``: since 0.18.3.0 that field says that the seed is a multisig seed
            # in hexadecimal (``on_restore_deterministic_wallet``).
            "restore_height": restore_height,
        }
        return (await self._call("restore_deterministic_wallet", params, RestoredWallet)).address

    async def set_subaddress_lookahead(self, accounts: int, indices: int, password: Secret) -> None:
        """Look for payments to so many accounts and subaddresses beyond the used ones. Stored in the key file.

        It needs ``Capability.SUBADDRESS_LOOKAHEAD``, and comes before ``make_multisig``, which makes the table anew.
        """
        params = {"major_idx": accounts, "minor_idx": indices, "password": password}
        await self._call("set_subaddress_lookahead", params, Nothing)

    async def open_wallet(self, filename: str, password: Secret) -> None:
        """Open a wallet file of the wallet directory, in place of one that is open, which is stored.

        Raises:
            WalletNotOpened: there is no such file, or the password is wrong. A wallet that was open is **still open**:
                the next call would go to it.

        """
        await self._call("open_wallet", {"filename": filename, "password": password}, Nothing)

    async def close_wallet(self) -> None:
        """Store and close the wallet.

        Raises:
            WalletNotSaved: it could not be written; it is still open.

        """
        await self._call("close_wallet", {}, Nothing)

    async def store(self) -> None:
        """Write the wallet to disk. The file is complete afterwards, but not forced to the medium (no fsync).

        Raises:
            WalletNotSaved: it could not be written; the old file is unhurt.

        """
        await self._call("store", {}, Nothing)

    async def stop_wallet(self) -> None:
        """Store the wallet and end the process. It answers before it has ended."""
        await self._call("stop_wallet", {}, Nothing)

    async def set_attribute(self, key: str, value: str) -> None:
        """Note a text under a name in the wallet."""
        await self._call("set_attribute", {"key": key, "value": value}, Nothing)

    async def get_attribute(self, key: str) -> str:
        """Return the text noted under the name.

        Raises:
            AttributeNotFound: there is none.

        """
        return (await self._call("get_attribute", {"key": key}, Attribute)).value

    async def query_key(self, kind: KeyKind) -> Secret:
        """Return a key of the wallet, hex, or its seed of words."""
        return (await self._call("query_key", {"key_type": kind}, QueriedKey)).key

    # --- what it holds ------------------------------------------------------------------------------------------------

    async def refresh(self) -> Refreshed:
        """Read new blocks and the pool."""
        return await self._call("refresh", {}, Refreshed)

    async def rescan_spent(self) -> None:
        """Ask the daemon again which of the outputs are spent. Needs a trusted daemon."""
        await self._call("rescan_spent", {}, Nothing)

    async def get_height(self) -> int:
        """Return the number of blocks that the wallet has read."""
        return (await self._call("get_height", {}, Height)).height

    async def get_address(self, account_index: int = 0) -> str:
        """Return the address with index 0 of the account; for account 0 the primary address of the wallet."""
        params = {"account_index": account_index, "address_index": [0]}
        return (await self._call("get_address", params, Addresses)).address

    async def get_addresses(self, account_index: int = 0) -> Addresses:
        """Return all addresses of the account that were made so far."""
        return await self._call("get_address", {"account_index": account_index}, Addresses)

    async def create_address(self, account_index: int, count: int = 1) -> CreatedAddresses:
        """Make the next subaddresses of the account."""
        return await self._call("create_address", {"account_index": account_index, "count": count}, CreatedAddresses)

    async def validate_address(self, address: str) -> AddressVerdict:
        """Judge an address of the wallet's own network; one of another network is not valid. Needs no wallet."""
        return await self._call("validate_address", {"address": address}, AddressVerdict)

    async def get_balance(self, account_index: int = 0, *, strict: bool = False) -> Balance:
        """Return what an account holds. With ``strict`` what is only in the pool does not count."""
        return await self._call("get_balance", {"account_index": account_index, "strict": strict}, Balance)

    async def get_balance_of_all_accounts(self, *, strict: bool = False) -> Balance:
        """Return what the wallet holds in all its accounts, ``per_subaddress`` included."""
        return await self._call("get_balance", {"all_accounts": True, "strict": strict}, Balance)

    async def incoming_transfers(
        self, kind: IncomingKind = IncomingKind.ALL, account_index: int = 0
    ) -> tuple[IncomingTransfer, ...]:
        """Return the outputs that an account received, those of mined transactions only."""
        params = {"transfer_type": kind, "account_index": account_index}
        return (await self._call("incoming_transfers", params, IncomingTransfers)).transfers

    async def get_transfers(
        self, account_index: int = 0, *, all_accounts: bool = False, above_height: int | None = None
    ) -> Transfers:
        """Return what came, went and waits; with ``above_height`` of the mined ones only those later than it."""
        params: dict[str, object] = dict.fromkeys(("in", "out", "pending", "failed", "pool"), True)
        params |= {"account_index": account_index, "all_accounts": all_accounts}
        if above_height is not None:
            params |= {"filter_by_height": True, "min_height": above_height}
        return await self._call("get_transfers", params, Transfers)

    async def freeze(self, key_image: str) -> None:
        """Leave an output out of everything that the wallet builds, until it is thawed. Stored with the wallet.

        Raises:
            Refused: the wallet has no output of this key image, or does not know it yet.

        """
        await self._call("freeze", {"key_image": key_image}, Nothing)

    async def thaw(self, key_image: str) -> None:
        """Let a frozen output be spent again. Raises as :meth:`freeze`."""
        await self._call("thaw", {"key_image": key_image}, Nothing)

    # --- multisig -----------------------------------------------------------------------------------------------------

    async def is_multisig(self) -> MultisigStatus:
        """Ask whether the wallet is a multisig one, and how far."""
        return await self._call("is_multisig", {}, MultisigStatus)

    async def prepare_multisig(self) -> Secret:
        """Allow multisig in this wallet and return its first message. Neither is saved."""
        # Multisig has to be asked for by name since 0.18 (#8328): co-signers who do not follow the protocol could
        # steal, and each signer of ours validates what it signs because of that.
        params = {"enable_multisig_experimental": True}
        return (await self._call("prepare_multisig", params, PreparedMultisig)).multisig_info

    async def make_multisig(self, infos: Sequence[Secret], threshold: int, password: Secret) -> MultisigRound:
        """Make the wallet a multisig one out of the others' first messages. Saves the wallet."""
        params = {"multisig_info": infos, "threshold": threshold, "password": password}
        return await self._call("make_multisig", params, MultisigRound)

    async def exchange_multisig_keys(self, infos: Sequence[Secret], password: Secret) -> MultisigRound:
        """Take part in one more round of key exchange. A 2-of-3 wallet needs two. Saves the keys."""
        params = {"multisig_info": infos, "password": password}
        return await self._call("exchange_multisig_keys", params, MultisigRound)

    async def export_multisig_info(self) -> Secret:
        """Return key images and fresh nonces for the co-signers. Transaction sets built on older ones go stale."""
        return (await self._call("export_multisig_info", {}, ExportedMultisig)).info

    async def import_multisig_info(self, infos: Sequence[Secret]) -> int:
        """Take in the co-signers' exports and return of how many outputs they spoke.

        It refreshes, and one that fails on the way leaves a wallet that says it needs no import: check the number.
        """
        return (await self._call("import_multisig_info", {"info": infos}, ImportedMultisig)).n_outputs

    async def sign_multisig(self, txset: Secret) -> SignedMultisig:
        """Sign all transactions of the set with our key.

        The used nonces are erased in memory only: ``store`` before the signature leaves the process, or a crash brings
        the nonces back. ``Capability.NONCE_ERASED_BEFORE_RETURN`` is the release that does it by itself.

        Raises:
            MultisigRefused: the set is no set, or stale: it was built on an export older than our last one.

        """
        return await self._call("sign_multisig", {"tx_data_hex": txset}, SignedMultisig)

    async def submit_multisig(self, txset: Secret) -> tuple[str, ...]:
        """Send the transactions of a set with enough signatures and return their ids. May be done again.

        Raises:
            MultisigRefused: signatures are missing, or the daemon refused a transaction.

        """
        return (await self._call("submit_multisig", {"tx_data_hex": txset}, TransactionIds)).tx_hash_list

    # --- money out ----------------------------------------------------------------------------------------------------

    async def describe_transfer(self, *, multisig_txset: Secret) -> tuple[DescribedTransaction, ...]:
        """Say what each transaction of the set would do. Whose the inputs are is not checked."""
        params = {"multisig_txset": multisig_txset}
        return (await self._call("describe_transfer", params, DescribedTransfer)).desc

    async def transfer(
        self,
        recipients: Sequence[Recipient],
        *,
        account_index: int = 0,
        subaddr_indices: Sequence[int] = (),
        priority: Priority = Priority.NORMAL,
        subtract_fee_from_outputs: Sequence[int] = (),
        do_not_relay: bool = False,
    ) -> BuiltTransaction:
        """Build one transaction that pays each recipient, and send it unless the wallet is a multisig one.

        ``subtract_fee_from_outputs`` names, by index, the recipients who bear the fee; it needs
        ``Capability.SUBTRACT_FEE``, and an older wallet would pass over it in silence.

        Raises:
            NotEnoughMoney: also where it is not unlocked yet.
            TransferRefused: no such transaction can be built, or the daemon refused it.

        """
        params: dict[str, object] = {
            "destinations": recipients,
            "account_index": account_index,
            "subaddr_indices": subaddr_indices,
            "priority": priority,
            "get_tx_key": True,
            "get_tx_hex": True,
            "do_not_relay": do_not_relay,
        }
        if subtract_fee_from_outputs:
            params["subtract_fee_from_outputs"] = subtract_fee_from_outputs
        return await self._call("transfer", params, BuiltTransaction)

    async def sweep_all(
        self,
        address: str,
        *,
        account_index: int = 0,
        subaddr_indices_all: bool = True,
        priority: Priority = Priority.NORMAL,
        do_not_relay: bool = False,
    ) -> BuiltTransactions:
        """Build as many transactions as it takes to pay all of an account to the address, less the fees.

        What is locked, frozen, worth less than its own fee, or not yet imported is left out in silence. Without
        ``subaddr_indices_all`` the wallet sweeps one subaddress of its own choice (``create_transactions_all``).

        Raises:
            TransferRefused: there is nothing to sweep, no such transaction can be built, or the daemon refused one.

        """
        params = {
            "address": address,
            "account_index": account_index,
            "subaddr_indices_all": subaddr_indices_all,
            "priority": priority,
            "get_tx_hex": True,
            "do_not_relay": do_not_relay,
        }
        return await self._call("sweep_all", params, BuiltTransactions)
