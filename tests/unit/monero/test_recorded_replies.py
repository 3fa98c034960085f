"""Every recorded reply of each engine is read, and each of its fields is used or known to be of no use."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from escrowd.domain.secret import Secret
from escrowd.monero import results_daemon as daemon
from escrowd.monero import results_signing as signing
from escrowd.monero import results_wallet as wallet
from escrowd.monero.errors import DAEMON_REFUSALS, WALLET_REFUSALS
from escrowd.testing.recorded_replies import RecordedReply, Recording

RECORDINGS: Final = sorted((Path(__file__).parents[2] / "recorded").glob("*.json"))

DAEMON_RESULTS: Final[Mapping[str, type[Any]]] = {
    "flush_txpool": daemon.DaemonReply,
    "generateblocks": daemon.GeneratedBlocks,
    "get_block": daemon.Block,
    "get_block_header_by_height": daemon.FoundBlockHeader,
    "get_fee_estimate": daemon.FeeEstimate,
    "get_info": daemon.DaemonInfo,
    "get_last_block_header": daemon.FoundBlockHeader,
    "get_transaction_pool": daemon.TransactionPool,
    "get_transaction_pool_hashes": daemon.TransactionPoolHashes,
    "get_transactions": daemon.Transactions,
    "get_version": daemon.DaemonRpcVersion,
    "hard_fork_info": daemon.HardForkInfo,
    "is_key_image_spent": daemon.KeyImageStatuses,
    "pop_blocks": daemon.PoppedBlocks,
    "send_raw_transaction": daemon.SubmittedTransaction,
}
WALLET_RESULTS: Final[Mapping[str, type[Any]]] = {
    "check_tx_key": signing.CheckedPayment,
    "check_tx_proof": signing.CheckedProof,
    "close_wallet": wallet.Nothing,
    "create_address": wallet.CreatedAddresses,
    "create_wallet": wallet.Nothing,
    "describe_transfer": signing.DescribedTransfer,
    "exchange_multisig_keys": signing.MultisigRound,
    "export_multisig_info": signing.ExportedMultisig,
    "get_address": wallet.Addresses,
    "get_attribute": wallet.Attribute,
    "get_balance": wallet.Balance,
    "get_height": wallet.Height,
    "get_transfers": wallet.Transfers,
    "get_tx_key": signing.TransactionKey,
    "get_tx_proof": signing.TransactionProof,
    "get_version": wallet.WalletRpcVersion,
    "import_multisig_info": signing.ImportedMultisig,
    "incoming_transfers": wallet.IncomingTransfers,
    "is_multisig": signing.MultisigStatus,
    "make_multisig": signing.MultisigRound,
    "open_wallet": wallet.Nothing,
    "prepare_multisig": signing.PreparedMultisig,
    "refresh": wallet.Refreshed,
    "rescan_spent": wallet.Nothing,
    "set_attribute": wallet.Nothing,
    "set_daemon": wallet.Nothing,
    "set_subaddress_lookahead": wallet.Nothing,
    "sign_multisig": signing.SignedMultisig,
    "store": wallet.Nothing,
    "submit_multisig": signing.TransactionIds,
    "sweep_all": signing.BuiltTransactions,
    "transfer": signing.BuiltTransaction,
    "validate_address": wallet.AddressVerdict,
}

#: Of payment for RPC, which Monero gave up.
OF_PAYMENT: Final = frozenset({"credits", "top_hash"})
#: Fields that no part of escrowd needs, by type.
OF_NO_USE: Final[Mapping[str, str]] = {
    "AddressVerdict": "openalias_address",
    "BlockHeader": (
        "block_size block_weight cumulative_difficulty cumulative_difficulty_top64 difficulty "
        "difficulty_top64 long_term_weight minor_version nonce pow_hash wide_cumulative_difficulty "
        "wide_difficulty"
    ),
    "BuiltTransaction": "amounts_by_dest tx_metadata unsigned_txset",
    "BuiltTransactions": "amounts_by_dest_list unsigned_txset",
    "CreatedAddresses": "address address_index",
    "DaemonInfo": (
        "adjusted_time alt_blocks_count block_size_limit block_size_median block_weight_limit "
        "block_weight_median bootstrap_daemon_address cumulative_difficulty cumulative_difficulty_top64 "
        "database_size difficulty_top64 grey_peerlist_size height_without_bootstrap "
        "incoming_connections_count mainnet rpc_connections_count stagenet start_time target testnet tx_count "
        "update_available was_bootstrap_ever_used white_peerlist_size wide_cumulative_difficulty "
        "wide_difficulty"
    ),
    "HardForkInfo": "enabled state threshold votes voting window",
    "DaemonRpcVersion": "current_height hard_forks",
    "DescribedSource": "rct",
    "DescribedTransfer": "summary",
    "PoolTransaction": (
        "blob_size last_failed_height last_failed_id_hash last_relayed_time max_used_block_height "
        "max_used_block_id_hash"
    ),
    "SubaddressBalance": "label",
    "Transaction": "prunable_as_hex prunable_hash relayed",
    "Transactions": "txs_as_hex",
    "Transfer": "note suggested_confirmations_threshold",
}


def replies() -> Iterator[tuple[str, RecordedReply, type[Any]]]:
    for path in RECORDINGS:
        recording = msgspec.json.decode(path.read_bytes(), type=Recording)
        for each in recording.replies:
            if each.refusal is None:
                results = DAEMON_RESULTS if each.server == "daemon" else WALLET_RESULTS
                yield recording.release, each, results[each.method]


def decoded(reply: RecordedReply, kind: type[Any]) -> Any:
    return msgspec.convert(reply.reply, type=kind, dec_hook=lambda _kind, text: Secret(text))


def test_recordings_are_of_both_engines() -> None:
    """There is a recording of the oldest engine and one of the engine that everything runs on."""
    assert {path.stem for path in RECORDINGS} >= {"0.18.0.0", "0.18.5.3"}


def test_recorded_reply_is_read() -> None:
    """Each reply of each engine is one of the type that the client has for it."""
    for release, reply, kind in replies():
        try:
            decoded(reply, kind)
        except msgspec.ValidationError as error:
            pytest.fail(f"{release}, {reply.step!r}: {reply.method} is no {kind.__name__}: {error}")


def test_field_of_a_recorded_reply_is_used_or_of_no_use() -> None:
    """A field that a release adds is put into the type, or into the table of fields that nothing needs."""
    unread: dict[str, set[str]] = {}
    for _, reply, kind in replies():
        for name, field in _unread(reply.reply, inspect.type_info(kind)):
            if field not in OF_PAYMENT and field not in OF_NO_USE.get(name, "").split():
                unread.setdefault(name, set()).add(field)
    assert unread == {}


def test_recorded_refusal_has_a_meaning() -> None:
    """Each code that an engine refused with is mapped to an error, or says nothing."""
    for path in RECORDINGS:
        for each in msgspec.json.decode(path.read_bytes(), type=Recording).replies:
            if each.refusal is not None and each.refusal.code not in _UNKNOWN:
                meanings = DAEMON_REFUSALS if each.server == "daemon" else WALLET_REFUSALS
                assert each.refusal.code in meanings, f"{path.stem}: {each.method} {each.refusal}"


def test_sources_are_described_by_key_and_commitment() -> None:
    """Where an engine names the outputs that a set spends, it does so by 128 hexadecimal digits (E1)."""
    described = [
        (release, one)
        for release, reply, kind in replies()
        if kind is signing.DescribedTransfer
        for one in decoded(reply, kind).desc
    ]
    assert {release for release, one in described if one.sources} == {"0.18.5.3"}
    assert {source.pubkey for _, one in described for source in one.sources} == {"<hex 128>"}
    assert all(one.weight > 0 for release, one in described if release == "0.18.5.3")


# ---------------------------------------------------------------------------------------------------------------------

#: ``UNKNOWN_ERROR`` of the wallet, whose meaning is that of the method, and ``INTERNAL_ERROR`` of the daemon.
_UNKNOWN: Final = (-1, -5)


def _unread(value: object, kind: inspect.Type) -> Iterator[tuple[str, str]]:
    """Yield type and name of each field that is left out."""
    if isinstance(kind, inspect.StructType) and isinstance(value, Mapping):
        fields = {field.encode_name: field for field in kind.fields}
        for name, each in value.items():
            if name in fields:
                yield from _unread(each, fields[name].type)
            else:
                yield kind.cls.__name__, name
    elif isinstance(kind, inspect.VarTupleType) and isinstance(value, list):
        for each in value:
            yield from _unread(each, kind.item_type)
