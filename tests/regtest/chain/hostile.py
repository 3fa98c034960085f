"""What hostile senders write into the extra of a transaction, case by case."""

from collections.abc import Iterator
from dataclasses import dataclass

from nacl.bindings import crypto_core_ed25519_add

from escrowd.chain.curve import IDENTITY, eight_times, keccak, scalar_of, varint
from escrowd.chain.watched_keys import WatchedKeys
from escrowd.domain.address import MoneroAddress
from tests.unit.chain.sender import ORDER_8, Pay, additional_field, base, multiple, nonce_field, shared

SMALL = 10**9
UNKNOWN = b"\x55"
MERGE_MINING = b"\3\x21\0" + bytes(32)
ORDER_4 = bytes(32)
NO_KEYS = {
    "neutral element": IDENTITY,
    "order 8": ORDER_8,
    "order 4": ORDER_4,
    "order 4 with a sign": bytes(31) + b"\x80",
    "neutral element with a sign": b"\1" + bytes(30) + b"\x80",
    "not canonical": b"\xee" + b"\xff" * 30 + b"\x7f",
    "not on the curve": b"\2" + bytes(31),
}
#: Beyond the field; and what it is modulo the prime.
ALL_ONES = b"\xff" * 32
EIGHTEEN = b"\x12" + bytes(30) + b"\x80"


@dataclass
class Hostile:
    """A transaction of a miner: its outputs, and what is in its extra."""

    what: str
    extra: bytes
    pays: list[Pay]


class Cases:
    """Makes the cases, all against one address, each with a transaction key of its own."""

    def __init__(self, address: MoneroAddress, keys: WatchedKeys, seed: str) -> None:
        self._address = address
        self._subaddress = next(key for key, place in keys.addresses.items() if place == (0, 1))
        self._view_key = keys.view_key
        self._seed = seed

    def all(self) -> Iterator[Hostile]:
        """Yield every case."""
        yield from self._keys()
        yield from self._additional_keys()
        yield from self._broken_fields()
        yield from self._no_points()
        yield from self._payment_ids()
        yield from self._burning()

    def that_no_wallet_gets_over(self) -> tuple[bytes, list[Pay]]:
        """Return extra and outputs at which a real wallet is stuck for ever: two keys, and an output of nothing."""
        return self._field("one") + self._field("other"), [self._to_us("one", 0), self._to_nobody()]

    def _key(self, name: str) -> bytes:
        return scalar_of(f"{self._seed} {name}".encode())

    def _to_us(self, name: str, amount: int = SMALL) -> Pay:
        return Pay(shared(self._address, self._key(name)), self._address.spend_public_key, amount)

    def _to_nobody(self, amount: int = SMALL) -> Pay:
        # Somebody's output, with keys that nobody has.
        return Pay(self._key("nobody"), self._address.spend_public_key, amount, view_tag=0)

    def _to_subaddress(self, name: str) -> Pay:
        eightfold = multiple(multiple(self._subaddress, self._key(name)), self._view_key)
        for _ in range(3):
            eightfold = crypto_core_ed25519_add(eightfold, eightfold)
        return Pay(eightfold, self._subaddress, SMALL)

    def _field(self, name: str) -> bytes:
        return b"\1" + base(self._key(name))

    def _keys(self) -> Iterator[Hostile]:
        stray = [self._field(f"stray {number}") for number in range(30)]
        for what, extra in {
            "plain": self._field("plain"),
            "no key": b"",
            "twice": self._field("twice") * 2,
            "second key": stray[0] + self._field("second key"),
            "first of two": self._field("first of two") + stray[0],
            "31st key": b"".join(stray) + self._field("31st key"),
            "key as additional": stray[0] + additional_field([base(self._key("key as additional"))]),
        }.items():
            yield Hostile(what, extra, [self._to_us(what), self._to_nobody()])
        for first, second in (("one", "other"), ("other", "one")):
            fields = self._field(f"two keys {first}") + self._field(f"two keys {second}")
            yield Hostile("two keys", fields, [self._to_us("two keys one"), self._to_us("two keys other")])
        yield Hostile("subaddress", b"\1" + multiple(self._subaddress, self._key("s")), [self._to_subaddress("s")])
        false_tag = self._to_us("false view tag")
        false_tag.view_tag = (keccak(b"view_tag" + false_tag.derivation + b"\0")[0] + 1) % 256
        yield Hostile("false view tag", self._field("false view tag"), [false_tag, self._to_nobody()])
        nothing = self._to_us("nothing", 0)
        yield Hostile("amount of nothing", self._field("nothing"), [nothing, self._to_nobody()])

    def _additional_keys(self) -> Iterator[Hostile]:
        stray, right = self._field("stray"), base(self._key("added"))
        other = base(self._key("stray additional"))
        for number, (what, extra) in enumerate(
            {
                "too few": stray + additional_field([other]),
                "too many": stray + additional_field([other, right, other, right]),
                "fitting": stray + additional_field([other, right]),
                "before the key": additional_field([other, right]) + stray,
                "without a key": additional_field([other, right]),
                "with the second key only": stray + self._field("second") + additional_field([other, right]),
                "second list": stray + additional_field([other, other]) + additional_field([other, right]),
                "empty list first": stray + additional_field([]) + additional_field([other, right]),
                "no points": stray + additional_field([NO_KEYS["not on the curve"], right]),
                "with torsion": stray + additional_field([other, crypto_core_ed25519_add(right, ORDER_8)]),
            }.items()
        ):
            pays = [self._to_nobody(SMALL + number), self._to_us("added", SMALL + number)]
            yield Hostile(f"additional keys: {what}", extra, [*pays, self._to_nobody()])
        subaddress = additional_field([other, multiple(self._subaddress, self._key("sa"))])
        yield Hostile("additional: subaddress", stray + subaddress, [self._to_nobody(), self._to_subaddress("sa")])
        identity = Pay(IDENTITY, self._address.spend_public_key, SMALL)
        nowhere = additional_field([other, other, NO_KEYS["not on the curve"]])
        pays = [self._to_nobody(), self._to_nobody(), identity]
        yield Hostile("additional: no point", stray + nowhere, [*pays, self._to_nobody()])

    def _broken_fields(self) -> Iterator[Hostile]:
        hundred = varint(100)
        for what, field in {
            "unknown tag": UNKNOWN,
            "padding": b"\0",
            "longest padding": bytes(255),
            "too much padding": bytes(256),
            "nonce": nonce_field(bytes(255)),
            "nonce too long": nonce_field(bytes(256)),
            "nonce with a long length": b"\2\x83\0abc",
            "nonce beyond the end": b"\2" + hundred + b"abc",
            "merge mining": MERGE_MINING,
            "merge mining too long": b"\3\x22\0" + bytes(33),
            "merge mining too short": b"\3\x20" + bytes(32),
            "merge mining with a long depth": b"\3\x22\x80\0" + bytes(32),
            "minergate": b"\xde\3abc",
            "minergate beyond the end": b"\xde" + hundred + b"abc",
            "endless additional keys": b"\4" + varint(2**58),
            "additional keys with a long count": b"\4\x80\0",
            "overflowing length": b"\2" + b"\xff" * 9 + b"\x02",
        }.items():
            for place, extra in (
                ("before", field + self._field(f"{what} before")),
                ("behind", self._field(f"{what} behind") + field),
            ):
                yield Hostile(f"{what} {place} the key", extra, [self._to_us(f"{what} {place}"), self._to_nobody()])
        half = self._field("half a key") + b"\1" + bytes(31)
        yield Hostile("half a key", half, [self._to_us("half a key"), self._to_nobody()])

    def _no_points(self) -> Iterator[Hostile]:
        for number, (what, key) in enumerate(NO_KEYS.items()):
            # By the neutral element all have the same keys, but for their places: no two in the same place here.
            pays = [self._to_nobody() for _ in range(number)]
            pays.append(Pay(IDENTITY, self._address.spend_public_key, SMALL + number))
            yield Hostile(f"key: {what}", b"\1" + key, [*pays, self._to_nobody()])
        eightfold = eight_times(EIGHTEEN)
        assert eightfold is not None
        modulo = Pay(multiple(eightfold, self._view_key), self._address.spend_public_key, SMALL)
        identity = Pay(IDENTITY, self._address.spend_public_key, SMALL)
        pays = [modulo, *(self._to_nobody() for _ in NO_KEYS), identity]
        yield Hostile("key: beyond the field", b"\1" + ALL_ONES, [*pays, self._to_nobody()])
        torsion = b"\1" + crypto_core_ed25519_add(base(self._key("torsion")), ORDER_8)
        yield Hostile("key: torsion", torsion, [self._to_us("torsion"), self._to_nobody()])

    def _payment_ids(self) -> Iterator[Hostile]:
        payment_id = bytes.fromhex("1122334455667788")

        def hidden(name: str) -> bytes:
            mask = keccak(shared(self._address, self._key(name)) + b"\x8d")
            return nonce_field(b"\1" + bytes(a ^ b for a, b in zip(payment_id, mask, strict=False)))

        for what, extra in {
            "id": self._field("id") + hidden("id"),
            "id first": hidden("id first") + self._field("id first"),
            "second id": self._field("second id") + nonce_field(b"abc") + hidden("second id"),
            "id by the last key": self._field("id by the last key") + self._field("l") + hidden("l"),
            "id by no point": self._field("id by no point")
            + b"\1"
            + NO_KEYS["not on the curve"]
            + hidden("id by no point"),
            "id by nothing": self._field("id by nothing") + b"\1" + ORDER_4 + hidden("id by nothing"),
            "long id": self._field("long id") + nonce_field(b"\0" + bytes(range(32))),
        }.items():
            yield Hostile(what, extra, [self._to_us(what), self._to_nobody()])

    def _burning(self) -> Iterator[Hostile]:
        for what, amounts in {
            "growing": (SMALL, 2 * SMALL, 3 * SMALL),
            "shrinking": (3 * SMALL, 2 * SMALL, SMALL),
            "equal": (SMALL, SMALL),
        }.items():
            for amount in amounts:
                yield Hostile(f"burning: {what}", self._field(what), [self._to_us(what, amount), self._to_nobody()])
