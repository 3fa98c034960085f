"""Finds the outputs of transactions that pay watched addresses, as wallet2 finds them (``process_new_transaction``).

A first pass asks, of every transaction and every address, whether they are worth a second look: that is nearly all of
the cost, and a faster kernel may take its place. The second look is always the one below, so a faulty kernel can miss
money, but cannot invent it. Pure, and long: it runs in a thread, and libsodium lets the others go on meanwhile.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from escrowd.chain.curve import commitment, derivation, eight_times, keccak, public_key, scalar_of, varint, without
from escrowd.chain.transaction import Output, Transaction
from escrowd.chain.watched_keys import WatchedKeys
from escrowd.domain.outputs import MAX_SOURCES, ReceivedOutput


@dataclass(frozen=True, slots=True)
class Prepared:
    """A transaction with the points that are the same for every address: eight times each of its public keys.

    Where the bytes are no point there is ``None``.
    """

    transaction: Transaction
    public_keys: tuple[bytes | None, ...]
    #: Used beside the first public key only; empty where there is none.
    additional_keys: tuple[bytes | None, ...]

    @classmethod
    def of(cls, transaction: Transaction) -> "Prepared":
        """Compute the points, which takes some 40 microseconds for each key."""
        extra = transaction.extra
        # A sender may put in as many as fit. More than there are outputs are of no use to anybody.
        additional = extra.additional_keys[: len(transaction.outputs)] if extra.public_keys else ()
        return cls(transaction, tuple(map(eight_times, extra.public_keys)), tuple(map(eight_times, additional)))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction is: the height of its block, and the global index of each of its outputs."""

    height: int
    global_indices: tuple[int, ...]

    def of(self, output: ReceivedOutput) -> ReceivedOutput:
        """Describe an output of the transaction as it is in the chain."""
        return replace(output, height=self.height, global_index=self.global_indices[output.index])


@dataclass(frozen=True, slots=True)
class Payment:
    """What a transaction pays to one watched address. The outputs are described as they are in the pool."""

    transaction: Transaction
    keys: WatchedKeys
    outputs: tuple[ReceivedOutput, ...]


class Filter(Protocol):
    """Says what is worth a second look."""

    def candidates(
        self, transactions: Sequence[Prepared], addresses: Sequence[WatchedKeys]
    ) -> Iterator[tuple[int, int]]:
        """Yield the places of a transaction and an address that may go together, each pair once.

        It may yield a pair that does not go together. One that does and is left out is money that is not seen.
        """
        ...


class ReferenceFilter:
    """The filter that others are held to: PyNaCl, and view tags by Keccak."""

    def candidates(
        self, transactions: Sequence[Prepared], addresses: Sequence[WatchedKeys]
    ) -> Iterator[tuple[int, int]]:
        """Yield the pairs where the view tag of an output fits, or an output has none."""
        for number, prepared in enumerate(transactions):
            tags = [(varint(index), each.view_tag) for index, each in enumerate(prepared.transaction.outputs)]
            for other, address in enumerate(addresses):
                if _may_pay(prepared, tags, address.view_key):
                    yield number, other


def scan(transactions: Sequence[Prepared], addresses: Sequence[WatchedKeys], kernel: Filter) -> Iterator[Payment]:
    """Yield what each transaction pays to each address, the transactions in order."""
    for number, other in kernel.candidates(transactions, addresses):
        if outputs := received(transactions[number], addresses[other]):
            yield Payment(transactions[number].transaction, addresses[other], outputs)


def received(prepared: Prepared, address: WatchedKeys) -> tuple[ReceivedOutput, ...]:
    """Return the outputs of a transaction that a wallet with these keys would credit, in order."""
    transaction = prepared.transaction
    payment_id = _payment_id(prepared, address.view_key)
    sources = tuple(each.hex() for each in transaction.key_images[:MAX_SOURCES])
    return tuple(
        ReceivedOutput(
            txid=transaction.txid,
            index=index,
            key=transaction.outputs[index].key.hex(),
            amount=amount,
            account=match.account,
            address_index=match.address_index,
            unlock_time=transaction.unlock_time,
            is_coinbase=transaction.is_coinbase,
            payment_id=payment_id,
            sources=sources,
        )
        for index, match in sorted(_matches(prepared, address).items())
        if (amount := _amount(transaction, index, match.derivation))
    )


# ---------------------------------------------------------------------------------------------------------------------

_VIEW_TAG: Final = b"view_tag"
_AMOUNT: Final = b"amount"
_MASK: Final = b"commitment_mask"
_ENCRYPTED_PAYMENT_ID: Final = b"\x8d"
_NO_KEY: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class _Match:
    """An output that belongs to a watched address, and the derivation by which it does."""

    account: int
    address_index: int
    derivation: bytes


def _may_pay(prepared: Prepared, tags: Sequence[tuple[bytes, int | None]], view_key: bytes) -> bool:
    """Say whether the view tag of an output fits. This is the loop in which nearly all the time is spent."""
    for eightfold in prepared.public_keys:
        tagged = _VIEW_TAG + derivation(view_key, eightfold)
        for index, tag in tags:
            if tag is None or keccak(tagged + index)[0] == tag:
                return True
    for eightfold, (index, tag) in zip(prepared.additional_keys, tags, strict=False):
        if tag is None or keccak(_VIEW_TAG + derivation(view_key, eightfold) + index)[0] == tag:
            return True
    return False


def _matches(prepared: Prepared, address: WatchedKeys) -> dict[int, _Match]:
    """Find for each output the first key by which it belongs to the address (``check_acc_out_precomp_once``)."""
    matches: dict[int, _Match] = {}
    additional = [derivation(address.view_key, each) for each in prepared.additional_keys]
    for eightfold in prepared.public_keys:
        shared = derivation(address.view_key, eightfold)
        for index, output in enumerate(prepared.transaction.outputs):
            if index not in matches and (match := _match(output, index, shared, additional, address)):
                matches[index] = match
        additional = []  # as in the caching of wallet2 (geniod in process_parsed_blocks)
    return matches


def _match(
    output: Output, index: int, shared: bytes, additional: Sequence[bytes], address: WatchedKeys
) -> _Match | None:
    """Try the shared key, then the output's own one where there is one (``is_out_to_acc_precomp``)."""
    for derived in (shared, *additional[index : index + 1]):
        place = varint(index)
        if output.view_tag is not None and keccak(_VIEW_TAG + derived + place)[0] != output.view_tag:
            continue
        spend_key = without(output.key, public_key(scalar_of(derived + place)))
        if spend_key is None:
            return None
        if (found := address.addresses.get(spend_key)) is not None:
            return _Match(*found, derived)
    return None


def _amount(transaction: Transaction, index: int, derived: bytes) -> int:
    """Return the amount of an output; 0 where it is not what was committed to, and so can never be spent."""
    output = transaction.outputs[index]
    if output.amount or transaction.is_coinbase or output.masked_amount is None:
        return output.amount
    shared = scalar_of(derived + varint(index))
    amount = int.from_bytes(_xor(output.masked_amount, keccak(_AMOUNT + shared)), "little")
    if amount == 0 or commitment(scalar_of(_MASK + shared), amount) != output.commitment:
        return 0
    return amount


def _payment_id(prepared: Prepared, view_key: bytes) -> str | None:
    """Decrypt the short payment id, hex, by the last public key, as wallet2 does. One of zeros stands for none."""
    encrypted = prepared.transaction.extra.encrypted_payment_id
    if encrypted is None or not prepared.public_keys or prepared.public_keys[-1] is None:
        return None
    if prepared.transaction.extra.public_keys[-1] == _NO_KEY:
        return None
    shared = derivation(view_key, prepared.public_keys[-1])
    decrypted = _xor(encrypted, keccak(shared + _ENCRYPTED_PAYMENT_ID))
    return decrypted.hex() if any(decrypted) else None


def _xor(data: bytes, mask: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(data, mask, strict=False))
