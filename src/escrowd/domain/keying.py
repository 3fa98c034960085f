"""How three wallets become one 2-of-3 wallet: rounds of messages, who has to answer next, and when the keys count.

Each of the three answers each round once, given the others' answers of the round before. Everything is decided from
the messages that are stored, so a set-up goes on whenever a message comes in, days later and from outside too. What was
begun and cannot be finished is an *attempt* that failed; the next one begins with the first round and new wallets.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec
from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

from escrowd.domain.address import MoneroAddress
from escrowd.domain.errors import EscrowdError, Fault, InvalidInput, Retry
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret

THRESHOLD: Final = 2
TOTAL: Final = 3
#: No message of a 2-of-3 set-up is as long as this, in characters.
LONGEST_MESSAGE: Final = 4096
#: How far below the daemon's height at the beginning of an attempt reading the chain begins: a reorganisation may mine
#: a deposit in a lower block than the one after which it was sent.
RESTORE_MARGIN: Final = 30


class KeyingRound(StrEnum):
    """The rounds of a set-up, in order."""

    #: A fresh wallet gives its first message. It leaks the view key to whoever has all three (monero issue 3389).
    PREPARE = "prepare"
    #: The wallet becomes a multisig one.
    MAKE = "make"
    EXCHANGE_1 = "exchange_1"
    #: The last exchange. Its message is no longer for the other wallets: it is the :class:`Report` of a ready wallet.
    EXCHANGE_2 = "exchange_2"


MessageKey: TypeAlias = tuple[KeyingRound, WalletRole]


class StaleAttempt(EscrowdError):
    """The message belongs to an attempt that is over. Nothing was changed."""

    fault = Fault.CALLER


class MessageNotDue(EscrowdError):
    """The message is not asked for now. Nothing was changed."""

    fault = Fault.CALLER


class MessageConflict(EscrowdError):
    """Another message of this round and role is there already, and stays. Nothing was changed."""

    fault = Fault.CALLER


class InvalidMessage(InvalidInput):
    """The message has not the form of one of this round."""


class KeysDisagree(EscrowdError):
    """The three wallets did not become one 2-of-3 wallet. Its address must not be used."""

    fault = Fault.CALLER
    retry = Retry.SAFE


@dataclass(frozen=True, slots=True)
class Ask:
    """What is due: the messages of these roles in this round."""

    round: KeyingRound
    roles: tuple[WalletRole, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What the holder of a key says after the last exchange."""

    address: str
    #: Hex. All three holders know it, and so does the service, which watches the address with it.
    view_key: Secret
    #: The :func:`transcript` of the messages as this holder knows them.
    transcript: str
    ready: bool = True
    threshold: int = THRESHOLD
    total: int = TOTAL


@dataclass(frozen=True, slots=True)
class KeyingAttempt:
    """One attempt at the keys of an escrow, as far as it has come."""

    escrow: EscrowId
    #: From 1.
    number: int
    messages: Mapping[MessageKey, Secret] = field(default_factory=lambda: MappingProxyType({}))

    def due(self) -> Ask | None:
        """Return whose messages are missing in the first round that lacks any, or ``None`` when all are there."""
        for each in KeyingRound:
            missing = tuple(role for role in WalletRole if (each, role) not in self.messages)
            if missing:
                return Ask(each, missing)
        return None

    def others(self, before: KeyingRound, role: WalletRole) -> tuple[Secret, ...]:
        """Return what the other two said in the round before this one: what the role's wallet needs to answer it."""
        rounds = tuple(KeyingRound)
        previous = rounds[rounds.index(before) - 1]
        return tuple(self.messages[previous, other] for other in WalletRole if other is not role)

    def with_messages(self, messages: Mapping[MessageKey, Secret]) -> "KeyingAttempt":
        """Return the attempt with further messages."""
        return replace(self, messages=MappingProxyType({**self.messages, **messages}))


@dataclass(frozen=True, slots=True)
class AgreedKeys:
    """What all three holders agree on."""

    address: str
    view_key: Secret
    transcript: str


@dataclass(frozen=True, slots=True)
class HostedKey:
    """A wallet that this service keeps. The seals are the vault's."""

    role: WalletRole
    #: Name of the wallet for ``open_wallet``.
    filename: str
    sealed_password: str
    #: The bytes of the ``.keys`` file, for :func:`keys_purpose`: with the password they are the whole wallet.
    sealed_keys: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """The finished keys of an escrow. Only from here on there is an address."""

    escrow: EscrowId
    address: str
    #: Hex, sealed for :func:`view_key_purpose`.
    sealed_view_key: str
    #: The chain is read from this height on.
    restore_height: int
    #: For the parties to compare: it differs where somebody was given other messages than the others.
    transcript: str
    hosted: tuple[HostedKey, ...]


@dataclass(frozen=True, slots=True)
class KeyingRecord:
    """The current attempt at the keys of an escrow as it is stored."""

    #: From 1.
    number: int
    #: Stored when the attempt began, so before anybody could pay to its address.
    restore_height: int
    #: Why the attempt before this one was given up; empty for the first.
    why: str = ""
    #: Sealed for :func:`message_purpose`.
    messages: Mapping[MessageKey, str] = field(default_factory=lambda: MappingProxyType({}))
    #: The finished keys; ``None`` until then.
    keys: KeySet | None = None


def is_new(attempt: KeyingAttempt, number: int, key: MessageKey, message: Secret) -> bool:
    """Judge a message from outside: whether it is one to be stored, or the same as one that is there already.

    Raises:
        StaleAttempt: it is not for this attempt.
        InvalidMessage: it is no message of this round, or it is another role's.
        MessageConflict: this role has said something else in this round.
        MessageNotDue: the round is not the one that is due.

    """
    if number != attempt.number:
        raise StaleAttempt(f"the set-up is at attempt {attempt.number}, and the message is for attempt {number}")
    each, role = key
    there = attempt.messages.get(key)
    if there is not None:
        if there != message:
            raise MessageConflict(f"the {role} has sent another message for the round {each} of this attempt")
        return False
    check_form(each, message)
    for other in WalletRole:
        if attempt.messages.get((each, other)) == message and each is not KeyingRound.EXCHANGE_2:
            raise InvalidMessage(f"this is the {other}'s message of the round {each}, not the {role}'s own")
    due = attempt.due()
    if due is None or due.round is not each:
        at = "all messages are there" if due is None else f"the round {due.round} is due"
        raise MessageNotDue(f"a message for the round {each} is not asked for: {at}")
    return True


def check_form(each: KeyingRound, message: Secret) -> None:
    """Refuse what cannot be a message of this round. What it says is for the wallets to judge.

    Raises:
        InvalidMessage: it has another form.

    """
    text = message.reveal()
    if len(text) > LONGEST_MESSAGE:
        raise InvalidMessage(f"a message of a set-up has at most {LONGEST_MESSAGE} characters, this one {len(text)}")
    if each is KeyingRound.EXCHANGE_2:
        read_report(message)
    elif not (text.isascii() and text.isalnum() and text.startswith(_MAGIC[each])):
        raise InvalidMessage(f"a message of the round {each} begins with {_MAGIC[each]}, then letters and digits")


def write_report(report: Report) -> Secret:
    """Write a report as the message of the last round: a JSON object."""
    form = _ReportForm(
        report.address, report.view_key.reveal(), report.transcript, report.ready, report.threshold, report.total
    )
    return Secret(msgspec.json.encode(form).decode())


def read_report(message: Secret) -> Report:
    """Read the message of the last round.

    Raises:
        InvalidMessage: it is no report.

    """
    try:
        form = msgspec.json.decode(message.reveal(), type=_ReportForm)
    except msgspec.DecodeError:
        # Without the cause: it may quote the view key.
        raise InvalidMessage(
            "the message of the last round is a JSON object with address, view_key, transcript, ready, threshold, total"
        ) from None
    return Report(form.address, Secret(form.view_key), form.transcript, form.ready, form.threshold, form.total)


def transcript(attempt: KeyingAttempt) -> str:
    """Return the SHA-256, hex, of everything that the wallets told each other, in a fixed order.

    A relay that gives two parties different messages (to put a key of its own in another's place) cannot give them the
    same transcript. So parties compare it by a way that the service does not control.
    """
    digest = hashlib.sha256(_field("escrowd 2-of-3 keying") + _field(attempt.escrow))
    for each in _EXCHANGED:
        for role in WalletRole:
            digest.update(_field(attempt.messages[each, role].reveal()))
    return digest.hexdigest()


def agreed(attempt: KeyingAttempt, network: Network) -> AgreedKeys:
    """Compare the reports of an attempt whose messages are all there.

    An address alone proves nothing: ``make_multisig`` answers with a placeholder that is the same in all wallets.

    Raises:
        KeysDisagree: a wallet is not ready as 2 of 3, or address, view key or transcript differ or do not fit.
        InvalidMessage: a report is none.

    """
    expected = transcript(attempt)
    reports = {role: read_report(attempt.messages[KeyingRound.EXCHANGE_2, role]) for role in WalletRole}
    for role, report in reports.items():
        if not (report.ready and (report.threshold, report.total) == (THRESHOLD, TOTAL)):
            raise KeysDisagree(f"the {role}'s wallet is no ready 2-of-3 wallet")
        if report.transcript != expected:
            raise KeysDisagree(f"the {role} was given other messages than the service has, or counted them wrongly")
    first = reports[WalletRole.BUYER]
    for role, report in reports.items():
        if report.address != first.address or report.view_key != first.view_key:
            raise KeysDisagree(f"the {role}'s wallet has another address or view key than the buyer's")
    address = MoneroAddress.parse(first.address, network)
    if address.kind is not AddressKind.STANDARD or not _is_view_key(first.view_key, address.view_public_key):
        raise KeysDisagree("the view key is not the one of the address")
    return AgreedKeys(address.text, first.view_key, expected)


def restore_height(daemon_height: int) -> int:
    """Return from which height the chain is read for an attempt that begins when the daemon is at this one."""
    return max(0, daemon_height - RESTORE_MARGIN)


def message_purpose(escrow: EscrowId, number: int, key: MessageKey) -> str:
    """Name what a message is sealed for."""
    each, role = key
    return f"message of {role} in round {each} of attempt {number} at the keys of {escrow}"


def view_key_purpose(escrow: EscrowId) -> str:
    """Name what the view key of an escrow is sealed for."""
    return f"view key of {escrow}"


def keys_purpose(filename: str) -> str:
    """Name what the bytes of a ``.keys`` file are sealed for."""
    return f"keys of wallet {filename}"


# ---------------------------------------------------------------------------------------------------------------------

#: Beginnings of messages, from ``multisig_kex_msg.cpp``: one for the first round, one for all others.
_MAGIC: Final = MappingProxyType(
    {
        KeyingRound.PREPARE: "MultisigxV2R1",
        KeyingRound.MAKE: "MultisigxV2Rn",
        KeyingRound.EXCHANGE_1: "MultisigxV2Rn",
    }
)
#: The rounds whose messages go from wallet to wallet.
_EXCHANGED: Final = (KeyingRound.PREPARE, KeyingRound.MAKE, KeyingRound.EXCHANGE_1)
#: The order of the base point of Ed25519 (RFC 8032, section 5.1): a secret key is a number below it, and above zero.
_GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493


class _ReportForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: str
    view_key: str
    transcript: str
    ready: bool
    threshold: int
    total: int


def _field(text: str) -> bytes:
    """Return a text so that two lists of texts never make the same bytes: its length goes first."""
    data = text.encode()
    return len(data).to_bytes(4, "big") + data


def _is_view_key(view_key: Secret, public_key: bytes) -> bool:
    try:
        key = bytes.fromhex(view_key.reveal())
    except ValueError:
        return False
    if len(key) != len(public_key) or not 0 < int.from_bytes(key, "little") < _GROUP_ORDER:
        return False
    return crypto_scalarmult_ed25519_base_noclamp(key) == public_key
