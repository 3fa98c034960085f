import dataclasses
from collections.abc import Iterator, Sequence

import pytest
from nacl.bindings import crypto_core_ed25519_add

from escrowd.chain.curve import IDENTITY, eight_times, keccak, scalar_of, varint
from escrowd.chain.scan import Filter, Prepared, ReferenceFilter, received, scan
from escrowd.chain.transaction import parse_transaction
from escrowd.chain.watched_keys import WatchedKeys
from escrowd.domain.outputs import MAX_SOURCES, ReceivedOutput
from escrowd.testing.wallet_sets import wallet_sets
from tests.unit.chain.sender import (
    ORDER_8,
    TX_KEY,
    Draft,
    Pay,
    additional_field,
    base,
    keys_of,
    multiple,
    nonce_field,
    public_key_field,
    receiver,
    shared,
)

TXID = "ab" * 32
XMR = 10**12
KEYS = keys_of(wallet_sets()[0])
STRANGER = keys_of(wallet_sets()[1])
ADDRESS = receiver()
SHARED = shared(ADDRESS)
TO_US = Pay(SHARED, ADDRESS.spend_public_key, 3 * XMR)
TO_STRANGER = Pay(shared(receiver(1)), receiver(1).spend_public_key, 5 * XMR)


def prepared(draft: Draft) -> Prepared:
    return Prepared.of(parse_transaction(TXID, draft.blob()))


def found(draft: Draft, keys: WatchedKeys = KEYS) -> list[tuple[int, int]]:
    """Return index and amount of each output that is found, by filter and confirmation together."""
    payments = list(scan([prepared(draft)], [keys], ReferenceFilter()))
    return [(output.index, output.amount) for payment in payments for output in payment.outputs]


def test_payment_is_not_found() -> None:
    """An output to a watched address is found with all that there is to know in the pool, and no other one."""
    draft = Draft([TO_STRANGER, TO_US], public_key_field(), unlock_time=77)
    transaction = parse_transaction(TXID, draft.blob())
    (payment,) = scan([Prepared.of(transaction)], [KEYS], ReferenceFilter())
    assert payment.keys is KEYS
    assert payment.outputs == (
        ReceivedOutput(
            TXID, 1, transaction.outputs[1].key.hex(), 3 * XMR, unlock_time=77, sources=(bytes(range(32)).hex(),)
        ),
    )


@pytest.mark.parametrize(("inputs", "kept"), [(1, 1), (2, 2), (MAX_SOURCES, MAX_SOURCES), (150, MAX_SOURCES)])
def test_output_carries_the_key_images_that_its_transaction_spends(inputs: int, kept: int) -> None:
    """W5: they prove later that a deposit which left the chain can never be mined. The first ones are kept."""
    images = [number.to_bytes(32, "big") for number in range(inputs)]
    draft = Draft([TO_US, TO_STRANGER, TO_US], public_key_field(), key_images=images)
    (payment,) = scan([prepared(draft)], [KEYS], ReferenceFilter())
    assert [each.sources for each in payment.outputs] == [tuple(each.hex() for each in images[:kept])] * 2


def test_miners_reward_has_no_sources() -> None:
    """A miner's transaction spends nothing."""
    (payment,) = scan([prepared(Draft([TO_US], public_key_field(), key_images=[]))], [KEYS], ReferenceFilter())
    assert [each.sources for each in payment.outputs] == [()]


def test_several_payments_go_to_the_wrong_escrow() -> None:
    """Each address gets what was paid to it, in the order of the transactions."""
    drafts = [
        Draft([TO_US, TO_STRANGER, TO_US], public_key_field()),
        Draft([TO_STRANGER], public_key_field()),
    ]
    payments = scan([prepared(each) for each in drafts], [STRANGER, KEYS], ReferenceFilter())
    assert [(each.keys.escrow, [output.index for output in each.outputs]) for each in payments] == [
        (STRANGER.escrow, [1]),
        (KEYS.escrow, [0, 2]),
        (STRANGER.escrow, [0]),
    ]


def test_output_without_a_view_tag_is_not_found() -> None:
    """Outputs from before view tags are found by their keys alone."""
    assert found(Draft([TO_STRANGER, TO_US], public_key_field(), tagged=False)) == [(1, 3 * XMR)]


def test_false_view_tag_is_credited() -> None:
    """An output with a false view tag is passed over, as wallet2 does."""
    right = Draft([TO_US], public_key_field())
    tag = parse_transaction(TXID, right.blob()).outputs[0].view_tag
    wrong = dataclasses.replace(TO_US, view_tag=(0 if tag is None else tag) ^ 1)
    assert found(right) == [(0, 3 * XMR)]
    assert found(Draft([wrong], public_key_field())) == []


@pytest.mark.parametrize("false_amount", [0, 1, 4 * XMR, 2**64 - 1])
def test_amount_that_was_not_committed_to_is_credited(false_amount: int) -> None:
    """An encrypted amount that is not the committed one counts for nothing: nobody can spend it."""
    assert found(Draft([dataclasses.replace(TO_US, false_amount=false_amount)], public_key_field())) == []


def test_amount_of_nothing_is_credited() -> None:
    """An output of zero is no payment, hidden or in clear."""
    nothing = dataclasses.replace(TO_US, amount=0)
    assert found(Draft([nothing], public_key_field())) == []
    assert found(Draft([nothing], public_key_field(), key_images=[])) == []


def test_mined_money_is_not_found() -> None:
    """The reward of a miner is read in clear, and marked."""
    (output,) = received(prepared(Draft([TO_US], public_key_field(), key_images=[], unlock_time=1060)), KEYS)
    assert (output.amount, output.is_coinbase, output.unlock_time) == (3 * XMR, True, 1060)


def test_second_public_key_is_not_tried() -> None:
    """Every public key of the extra is tried for every output; the first that fits settles it."""
    other = scalar_of(b"another key")
    by_other = Pay(shared(ADDRESS, other), ADDRESS.spend_public_key, 2 * XMR)
    both = public_key_field(other) + public_key_field()
    assert found(Draft([TO_US, by_other], both)) == [(0, 3 * XMR), (1, 2 * XMR)]
    assert found(Draft([TO_US], public_key_field() * 2)) == [(0, 3 * XMR)]


def test_subaddress_is_not_found() -> None:
    """Outputs to subaddresses up to the lookahead are found with account and index, by shared and by own keys."""
    for spend_key, place in KEYS.addresses.items():
        if place == (0, 0):
            continue
        # A transaction to one subaddress has a key that is a multiple of the subaddress's spend key.
        view_key = bytes.fromhex(wallet_sets()[0].secret_view_key)
        derivation = shared_of_subaddress(spend_key, view_key)
        own = Draft([Pay(derivation, spend_key, XMR)], b"\1" + multiple(spend_key, TX_KEY))
        (output,) = received(prepared(own), KEYS)
        assert (output.account, output.address_index) == place
        mixed = Draft(
            [TO_US, Pay(derivation, spend_key, XMR)],
            public_key_field() + additional_field([base(TX_KEY), multiple(spend_key, TX_KEY)]),
        )
        places = [(each.account, each.address_index) for each in received(prepared(mixed), KEYS)]
        assert places == [(0, 0), place]
    assert len(KEYS.addresses) == 4


def shared_of_subaddress(spend_key: bytes, view_key: bytes) -> bytes:
    derivation = multiple(multiple(spend_key, TX_KEY), view_key)
    for _ in range(3):
        derivation = crypto_core_ed25519_add(derivation, derivation)
    return derivation


def test_additional_key_is_tried_where_wallets_do_not() -> None:
    """Additional keys go with the first public key only, and an output without one has none."""
    other = scalar_of(b"another key")
    stray = public_key_field(scalar_of(b"nobody's key"))
    by_additional = Pay(SHARED, ADDRESS.spend_public_key, XMR)
    additional = additional_field([base(other), base(TX_KEY)])
    assert found(Draft([TO_STRANGER, by_additional], stray + additional)) == [(1, XMR)]
    assert found(Draft([TO_STRANGER, by_additional], additional)) == []  # without a public key nothing is tried
    assert found(Draft([TO_STRANGER, TO_STRANGER, by_additional], stray + additional)) == []
    swapped = Draft([by_additional, TO_STRANGER], stray + additional)
    assert found(swapped) == []


@pytest.mark.parametrize(
    "key",
    [
        bytes(32)[:-1] + b"\x80",  # the sign of y = 0, a point of order 4
        b"\1" + bytes(31),  # the neutral element
        b"\1" + bytes(30) + b"\x80",  # the same with a sign
        ORDER_8,
        b"\xee" + b"\xff" * 30 + b"\x7f",  # the neutral element, not canonical: y = p + 1
        b"\2" + bytes(31),  # not on the curve
    ],
)
def test_key_of_small_order_or_none_hides_a_payment(key: bytes) -> None:
    """With a public key that is no point or of small order, wallet2 goes on with the neutral element; so does this."""
    pay = Pay(IDENTITY, ADDRESS.spend_public_key, XMR)
    assert found(Draft([pay], b"\1" + key)) == [(0, XMR)]


def test_key_that_is_not_canonical_hides_a_payment() -> None:
    """A public key beyond the field is taken modulo its prime, as wallets on x86-64 take it."""
    view_key = bytes.fromhex(wallet_sets()[0].secret_view_key)
    eightfold = eight_times(b"\x12" + bytes(30) + b"\x80")
    assert eightfold is not None
    draft = Draft([Pay(multiple(eightfold, view_key), ADDRESS.spend_public_key, XMR)], b"\1" + b"\xff" * 32)
    assert found(draft) == [(0, XMR)]


def test_torsion_hides_a_payment() -> None:
    """A public key with a part of small order pays like the one without: the eightfold is the same."""
    key = crypto_core_ed25519_add(base(TX_KEY), ORDER_8)
    assert found(Draft([TO_US], b"\1" + key)) == [(0, 3 * XMR)]


def test_output_key_that_is_no_point_breaks_the_scan() -> None:
    """An output whose key is no point is nobody's, and the others are found."""
    blob = Draft([TO_US, TO_US], public_key_field(), tagged=False).blob()
    first = parse_transaction(TXID, blob).outputs[0].key
    for no_point in (b"\2" + bytes(31), b"\xff" * 32, b"\1" + bytes(30) + b"\x80"):
        transaction = parse_transaction(TXID, blob.replace(first, no_point))
        assert [each.index for each in received(Prepared.of(transaction), KEYS)] == [1]


def test_payment_id_is_not_decrypted() -> None:
    """The payment id of an integrated address is decrypted; the zeros that wallets write for none are none."""
    payment_id = bytes.fromhex("0123456789abcdef")
    hidden = xor(payment_id, SHARED)
    assert payment_id_in(nonce_field(b"\1" + hidden)) == payment_id.hex()
    assert payment_id_in(nonce_field(b"\1" + xor(bytes(8), SHARED))) is None
    assert payment_id_in(nonce_field(b"\0" + bytes(32))) is None
    assert payment_id_in(nonce_field(b"\1" + hidden + b"\0")) is None
    assert payment_id_in(b"") is None


def xor(payment_id: bytes, derivation: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(payment_id, keccak(derivation + b"\x8d"), strict=False))


def payment_id_in(field: bytes) -> str | None:
    (output,) = received(prepared(Draft([TO_US], public_key_field() + field)), KEYS)
    return output.payment_id


def test_faulty_kernel_invents_money() -> None:
    """A filter that names everything changes nothing: each pair is confirmed."""

    class Everything:
        def candidates(
            self, transactions: Sequence[Prepared], addresses: Sequence[WatchedKeys]
        ) -> Iterator[tuple[int, int]]:
            for number in range(len(transactions)):
                for other in range(len(addresses)):
                    yield number, other

    everything: Filter = Everything()
    transactions = [prepared(Draft([TO_STRANGER, TO_US], public_key_field())), prepared(Draft([], b""))]
    assert list(scan(transactions, [KEYS, STRANGER], everything)) == list(
        scan(transactions, [KEYS, STRANGER], ReferenceFilter())
    )


def test_many_outputs_are_not_told_apart() -> None:
    """The place of an output is written as a varint, so the 129th is found too."""
    draft = Draft([TO_STRANGER] * 128 + [TO_US], public_key_field())
    assert varint(128) == b"\x80\1"
    assert found(draft) == [(128, 3 * XMR)]
