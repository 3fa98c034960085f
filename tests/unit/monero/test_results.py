"""Replies captured from monerod and monero-wallet-rpc 0.18.0.0 on a regtest chain, long lists and blobs cut short."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec
import pytest
from typing_extensions import override

from escrowd.domain.networks import Network
from escrowd.domain.secret import Secret
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.errors import BadArgument, DaemonNotReady, NotSupported, Refused, UnknownVersion
from escrowd.monero.methods import Method
from escrowd.monero.results_daemon import KeyImageStatus
from escrowd.monero.results_signing import Priority
from escrowd.monero.results_wallet import KeyKind, Recipient, SubaddressIndex
from escrowd.monero.transport import Transport, _concealed
from escrowd.monero.versions import Release, RpcVersion
from escrowd.monero.wallet import MoneroClient

ResultT = TypeVar("ResultT")
ADDRESS = "43Mkms5u2FhECvcC7owX5DaMXQe3Xv6yRHpdJSwNrX3hFHLhchbWhfuPvLh5j88dtaWXBqbvJiAiphMy5HynL8cJ6m8tCyo"
TXID = "3e6e332f1873bc1dc4ae2be3e7989584d275d5f736b3fcbfd7a076f926f30fa2"
IMAGE = "1a23648f1dc61929f016bd011c06428ccbb4d76b6ffe2fca1d0c114517c2bb37"
KEY = "bffa5849c0f64c2efabb863dc64bcdb711463b140161e110ff78b3a019b96704"


class Captured(Transport):
    """Answers every call with one captured result, and keeps what was asked."""

    def __init__(self, result: str) -> None:
        self._result = result
        self.method = ""
        self.params: Mapping[str, object] = {}

    @override
    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        self.method, self.params = method.name, params
        return msgspec.json.decode(self._result, type=result, dec_hook=_concealed)


def wallet(result: str) -> MoneroClient:
    """Give a wallet client that hears this result."""
    return MoneroClient(Captured(result))


def daemon(result: str) -> MoneroDaemon:
    """Give a daemon client that hears this result."""
    return MoneroDaemon(Captured(result))


# --- the wallet ------------------------------------------------------------------------------------------------------


async def test_the_version_of_the_wallet_rpc_is_read() -> None:
    """get_version of 0.18.0.0 is 1.25."""
    version = await wallet('{"release": false, "version": 65561}').get_version()
    assert version.rpc_version == RpcVersion(1, 25)


async def test_a_balance_without_outputs_is_read() -> None:
    """Where the wallet has nothing the list is left out of the reply, and reads as empty."""
    balance = await wallet(
        '{"balance": 0, "blocks_to_unlock": 0, "multisig_import_needed": false, "time_to_unlock": 0,'
        ' "unlocked_balance": 0}'
    ).get_balance()
    assert (balance.balance, balance.per_subaddress) == (0, ())


async def test_a_balance_is_whole_piconero_for_each_address() -> None:
    """An amount above 2^51 keeps every digit."""
    balance = await wallet(
        '{"balance": 2814535029460039, "blocks_to_unlock": 59, "multisig_import_needed": false, "per_subaddress": '
        f'[{{"account_index": 0, "address": "{ADDRESS}", "address_index": 0, "balance": 2814535029460039,'
        ' "blocks_to_unlock": 59, "label": "Primary account", "num_unspent_outputs": 80, "time_to_unlock": 0,'
        ' "unlocked_balance": 738857016544621}], "time_to_unlock": 0, "unlocked_balance": 738857016544621}'
    ).get_balance()
    assert balance.balance == 2814535029460039
    assert balance.per_subaddress[0].num_unspent_outputs == 80


async def test_a_transfer_in_the_pool_is_read() -> None:
    """A transfer that is not mined has height 0, and no field that counts its confirmations."""
    transfers = await wallet(
        f'{{"pool": [{{"address": "{ADDRESS}", "amount": 1000000000000, "amounts": [1000000000000],'
        ' "double_spend_seen": false, "fee": 10203700000, "height": 0, "locked": true, "note": "",'
        ' "payment_id": "0000000000000000", "subaddr_index": {"major": 0, "minor": 0}, "subaddr_indices":'
        ' [{"major": 0, "minor": 0}], "suggested_confirmations_threshold": 1, "timestamp": 1795400067,'
        f' "txid": "{TXID}", "type": "pool", "unlock_time": 0}}]}}'
    ).get_transfers()
    (transfer,) = transfers.pool
    assert (transfer.height, transfer.confirmations, transfer.amounts) == (0, 0, (10**12,))
    assert transfer.subaddr_index == SubaddressIndex(0, 0)
    assert transfers.incoming == transfers.outgoing == transfers.pending == transfers.failed == ()


async def test_the_directions_of_transfers_are_not_mixed_up() -> None:
    """What Monero calls "in" and "out", words that Python keeps for itself, is read as incoming and outgoing."""
    entry = (
        '[{"amount": %d, "double_spend_seen": false, "fee": 0, "height": 1, "locked": false, "subaddr_index":'
        ' {"major": 0, "minor": 0}, "timestamp": 1, "txid": "", "type": "in", "unlock_time": 0}]'
    )
    transfers = await wallet(f'{{"in": {entry % 1}, "out": {entry % 2}}}').get_transfers()
    assert [transfer.amount for transfer in (*transfers.incoming, *transfers.outgoing)] == [1, 2]


async def test_an_unfinished_exchange_has_no_address() -> None:
    """Before the last round of key exchange the reply holds an empty address and the next message, masked."""
    made = await wallet('{"address": "", "multisig_info": "MultisigxV2Rn1WC38a34GARaV"}').exchange_multisig_keys(
        [Secret("x")], Secret("y")
    )
    assert made.address == ""
    assert made.multisig_info.reveal() == "MultisigxV2Rn1WC38a34GARaV"


async def test_a_sweep_by_a_multisig_wallet_is_read() -> None:
    """A multisig wallet answers with a set to be signed and with the key images, and has no transaction ids yet."""
    built = await wallet(
        '{"amount_list": [992917100000], "fee_list": [7082900000], "multisig_txset": "4d6f6e65726f20",'
        f' "spent_key_images_list": [{{"key_images": ["{IMAGE}"]}}], "unsigned_txset": "", "weight_list": [1507]}}'
    ).sweep_all(ADDRESS)
    assert (built.amount_list, built.fee_list, built.tx_hash_list) == ((992917100000,), (7082900000,), ())
    assert built.spent_key_images_list[0].key_images == (IMAGE,)
    assert built.multisig_txset.reveal() == "4d6f6e65726f20"


async def test_a_description_is_read() -> None:
    """Every transaction of a set is described; 0.18.0.0 names no sources."""
    (described,) = await wallet(
        '{"desc": [{"amount_in": 1000000000000, "amount_out": 992917100000, "change_address": "", "change_amount": 0,'
        ' "dummy_outputs": 1, "extra": "016ff3", "fee": 7082900000, "payment_id": "", "recipients":'
        f' [{{"address": "{ADDRESS}", "amount": 992917100000}}], "ring_size": 16, "unlock_time": 0}}]}}'
    ).describe_transfer(multisig_txset=Secret("00"))
    assert described.amount_in == described.amount_out + described.fee
    assert described.recipients == (Recipient(ADDRESS, 992917100000),)
    assert described.sources == ()


@pytest.mark.parametrize(
    ("reply", "ask"),
    [
        ('{"multisig_info": "canary"}', lambda client: client.prepare_multisig()),
        ('{"address": "", "multisig_info": "canary"}', lambda client: client.make_multisig([], 2, Secret(""))),
        ('{"info": "canary"}', lambda client: client.export_multisig_info()),
        ('{"tx_data_hex": "canary"}', lambda client: client.sign_multisig(Secret(""))),
        ('{"multisig_txset": "canary"}', lambda client: client.sweep_all("")),
        ('{"amount": 1, "fee": 1, "weight": 1, "tx_key": "canary"}', lambda client: client.transfer([])),
        ('{"key": "canary"}', lambda client: client.query_key(KeyKind.VIEW_KEY)),
        ('{"tx_key": "canary"}', lambda client: client.get_tx_key("")),
    ],
)
async def test_no_result_shows_key_material(reply: str, ask: Callable[[MoneroClient], Awaitable[object]]) -> None:
    """Keys, multisig messages and transaction sets are masked wherever a result is printed."""
    assert "canary" not in repr(await ask(wallet(reply)))


async def test_a_field_is_sent_only_where_it_is_known() -> None:
    """What an older release does not know is left out unless it is asked for."""
    captured = Captured('{"amount": 1, "fee": 1, "weight": 1, "n_outputs": 2}')
    client = MoneroClient(captured)
    await client.transfer([Recipient(ADDRESS, 1)], priority=Priority.UNIMPORTANT)
    assert "subtract_fee_from_outputs" not in captured.params
    assert captured.params["priority"] == 1
    await client.transfer([Recipient(ADDRESS, 1)], subtract_fee_from_outputs=[0])
    assert captured.params["subtract_fee_from_outputs"] == [0]
    assert await client.import_multisig_info([Secret("x")]) == 2
    assert set(captured.params) == {"info"}


@pytest.mark.parametrize(
    "number",
    ["", "00", "11" * 32, "ff" * 32, f"{KEY[:-1]}g", f" {KEY[1:]}", KEY + "11" * 32, KEY[:-1]],
)
async def test_a_number_that_is_no_key_never_reaches_the_wallet(number: str) -> None:
    """monero-wallet-rpc ends on a number above the group order, so such a transaction key is refused before it."""
    captured = Captured('{"confirmations": 0, "in_pool": true, "received": 0}')
    with pytest.raises(BadArgument):
        await MoneroClient(captured).check_tx_key(TXID, Secret(number), ADDRESS)
    assert captured.method == ""


@pytest.mark.parametrize("number", [KEY, KEY.upper(), KEY + KEY, "00" * 32])
async def test_a_key_reaches_the_wallet(number: str) -> None:
    """A key, or several of a transaction to subaddresses, is checked by the wallet."""
    paid = await wallet('{"confirmations": 0, "in_pool": true, "received": 992917100000}').check_tx_key(
        TXID, Secret(number), ADDRESS
    )
    assert paid.received == 992917100000


# --- the daemon ------------------------------------------------------------------------------------------------------

INFO = (
    '{"busy_syncing": false, "difficulty": 1, "free_space": 85222129664, "height": 92, "nettype": "%s",'
    ' "offline": true, "outgoing_connections_count": 0, "restricted": false, "status": "%s", "synchronized": true,'
    ' "target_height": 0, "top_block_hash": "00edbf29", "tx_pool_size": 0, "untrusted": false, "version": "%s"}'
)


async def test_the_daemon_tells_network_and_release() -> None:
    """A regtest daemon calls its network fakechain, and its version names the release."""
    info = await daemon(INFO % ("fakechain", "OK", "0.18.0.0-unknown")).get_info()
    assert info.network is Network.REGTEST
    assert info.running_release == Release(0, 18, 0, 0)
    assert info.height == 92


@pytest.mark.parametrize("network", [Network.MAINNET, Network.STAGENET, Network.TESTNET])
async def test_real_networks_go_by_their_names(network: Network) -> None:
    """mainnet, stagenet and testnet are what they are called."""
    assert (await daemon(INFO % (network, "OK", "")).get_info()).network is network


async def test_a_restricted_daemon_tells_no_release() -> None:
    """An empty version is an error when it is asked for, and not before."""
    info = await daemon(INFO % ("mainnet", "OK", "")).get_info()
    with pytest.raises(UnknownVersion):
        _ = info.running_release


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("BUSY", DaemonNotReady),
        ("PAYMENT REQUIRED", NotSupported),
        ("Failed", Refused),
        ("", Refused),
        ("Failed to parse hex representation of key image", Refused),
    ],
)
async def test_a_status_that_is_not_ok_carries_no_facts(status: str, meaning: type[Refused]) -> None:
    """A busy or failing daemon answers with fields at zero; they never come out as a result."""
    with pytest.raises(Refused) as caught:
        await daemon(INFO % ("mainnet", status, "")).get_info()
    assert type(caught.value) is meaning


async def test_an_empty_pool_is_read() -> None:
    """An empty pool is a reply without a list."""
    assert await daemon('{"status": "OK", "untrusted": false}').get_transaction_pool_hashes() == ()


async def test_key_images_keep_their_order_and_their_meaning() -> None:
    """2, 1 and 0 are spent in the pool, spent in the chain and unspent."""
    assert await daemon('{"spent_status": [2, 1, 0], "status": "OK", "untrusted": false}').is_key_image_spent([]) == (
        KeyImageStatus.SPENT_IN_POOL,
        KeyImageStatus.SPENT_IN_CHAIN,
        KeyImageStatus.UNSPENT,
    )


SUBMITTED = (
    '{"double_spend": %s, "fee_too_low": false, "invalid_input": false, "invalid_output": false, "low_mixin": false,'
    ' "not_relayed": true, "overspend": false, "reason": "%s", "sanity_check_failed": false, "status": "%s",'
    ' "too_big": false, "too_few_outputs": false, "untrusted": false}'
)


async def test_a_refused_transaction_is_a_result_with_its_reason() -> None:
    """Why a transaction was not taken is what was asked, so it is no error."""
    refused = await daemon(SUBMITTED % ("true", "double spend", "Failed")).send_raw_transaction("00")
    assert (refused.accepted, refused.double_spend, refused.reason) == (False, True, "double spend")
    assert (await daemon(SUBMITTED % ("false", "Not relayed", "OK")).send_raw_transaction("00")).accepted


async def test_a_busy_daemon_has_not_judged_the_transaction() -> None:
    """BUSY says nothing about the transaction, so it is an error and no refusal of it."""
    with pytest.raises(DaemonNotReady):
        await daemon(SUBMITTED % ("false", "", "BUSY")).send_raw_transaction("00")


async def test_a_block_is_asked_for_by_height_or_by_hash() -> None:
    """A number is a height, a text a hash; height 0 is a height too."""
    captured = Captured(
        '{"blob": "", "json": "{}", "miner_tx_hash": "", "status": "OK", "block_header": {"depth": 0, "hash": "00",'
        ' "height": 0, "major_version": 16, "num_txes": 0, "orphan_status": false, "prev_hash": "", "reward": 1,'
        ' "timestamp": 1795400070}}'
    )
    block = await MoneroDaemon(captured).get_block(0)
    assert captured.params == {"height": 0}
    assert block.tx_hashes == ()
    await MoneroDaemon(captured).get_block("00ed")
    assert captured.params == {"hash": "00ed"}
