import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp

from escrowd.domain.address import MoneroAddress
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import (
    Ask,
    InvalidMessage,
    KeyingAttempt,
    KeyingRound,
    KeysDisagree,
    MessageConflict,
    MessageKey,
    MessageNotDue,
    Report,
    StaleAttempt,
    agreed,
    is_new,
    read_report,
    restore_height,
    transcript,
    write_report,
)
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret

ESCROW = EscrowId("esc_01jd3v9k8z6x5w4t2r1q0p9n8m")
BUYER, VENDOR, ARBITER = WalletRole
PREPARE, MAKE, EXCHANGE_1, EXCHANGE_2 = KeyingRound

ALL_KEYS = [(each, role) for each in KeyingRound for role in WalletRole]


def key_pair(number: int) -> tuple[str, bytes]:
    secret = number.to_bytes(32, "little")
    return secret.hex(), crypto_scalarmult_ed25519_base_noclamp(secret)


VIEW_KEY, VIEW_POINT = key_pair(7)
ADDRESS = MoneroAddress.of_keys(Network.REGTEST, AddressKind.STANDARD, key_pair(5)[1], VIEW_POINT).text


def message(each: KeyingRound, role: WalletRole) -> Secret:
    beginning = "MultisigxV2R1" if each is PREPARE else "MultisigxV2Rn"
    return Secret(f"{beginning}{each.replace('_', '')}{role}")


def exchanged() -> KeyingAttempt:
    """Return an attempt that lacks the reports alone."""
    messages = {(each, role): message(each, role) for each in (PREPARE, MAKE, EXCHANGE_1) for role in WalletRole}
    return KeyingAttempt(ESCROW, 1, messages)


def report() -> Report:
    return Report(ADDRESS, Secret(VIEW_KEY), transcript(exchanged()))


def reported(changes: Mapping[WalletRole, Report]) -> KeyingAttempt:
    """Return an attempt with the reports of all three, those of some roles changed."""
    reports = {**dict.fromkeys(WalletRole, report()), **changes}
    return exchanged().with_messages({(EXCHANGE_2, role): write_report(each) for role, each in reports.items()})


@given(st.sets(st.sampled_from(ALL_KEYS)))
def test_somebody_else_is_asked_than_who_is_missing(there: set[MessageKey]) -> None:
    """Whatever messages are there, exactly those are asked for that lack in the first incomplete round."""
    due = KeyingAttempt(ESCROW, 1, dict.fromkeys(there, Secret("x"))).due()
    missing = [key for key in ALL_KEYS if key not in there]
    if due is None:
        assert missing == []
    else:
        assert [(due.round, role) for role in due.roles] == [key for key in missing if key[0] is missing[0][0]]


def test_wallet_is_given_its_own_message() -> None:
    """To answer a round, a wallet is given the other two's messages of the round before, and nothing else."""
    attempt = exchanged()
    assert attempt.others(MAKE, VENDOR) == (message(PREPARE, BUYER), message(PREPARE, ARBITER))
    assert attempt.others(EXCHANGE_2, BUYER) == (message(EXCHANGE_1, VENDOR), message(EXCHANGE_1, ARBITER))


# --- what is taken from outside --------------------------------------------------------------------------------------


def test_same_message_twice_is_an_error() -> None:
    """A message that is there already may come again; it is not new."""
    attempt = KeyingAttempt(ESCROW, 1)
    assert is_new(attempt, 1, (PREPARE, BUYER), message(PREPARE, BUYER))
    after = attempt.with_messages({(PREPARE, BUYER): message(PREPARE, BUYER)})
    assert not is_new(after, 1, (PREPARE, BUYER), message(PREPARE, BUYER))


def test_wrong_message_is_taken() -> None:
    """A message of another attempt, out of turn, of another role, or a second one for its place is refused."""
    attempt = KeyingAttempt(ESCROW, 2, {(PREPARE, VENDOR): message(PREPARE, VENDOR)})
    with pytest.raises(StaleAttempt, match="attempt 2"):
        is_new(attempt, 1, (PREPARE, BUYER), message(PREPARE, BUYER))
    with pytest.raises(MessageNotDue, match="prepare is due"):
        is_new(attempt, 2, (MAKE, BUYER), message(MAKE, BUYER))
    with pytest.raises(MessageConflict):
        is_new(attempt, 2, (PREPARE, VENDOR), message(PREPARE, BUYER))
    with pytest.raises(InvalidMessage, match="vendor's message"):
        is_new(attempt, 2, (PREPARE, BUYER), message(PREPARE, VENDOR))


@pytest.mark.parametrize(
    ("each", "text"),
    [
        (PREPARE, ""),
        (PREPARE, "hello"),
        (PREPARE, "MultisigxV2Rn1LWHSQY"),
        (PREPARE, "MultisigxV2R1 1LWHSQY"),
        (PREPARE, "MultisigxV2R1é"),
        (PREPARE, "MultisigxV2R1" + "a" * 5000),
        (MAKE, "MultisigxV2R11LWHSQY"),
        (EXCHANGE_1, '{"address": "4"}'),
        (EXCHANGE_2, "MultisigxV2Rn1LWHSQY"),
        (EXCHANGE_2, "[]"),
        (EXCHANGE_2, '{"address": "4"}'),
        (EXCHANGE_2, json.dumps({"address": 4, "view_key": "", "transcript": "", "ready": 1, "threshold": 2})),
    ],
)
def test_message_without_its_form_is_taken(each: KeyingRound, text: str) -> None:
    """What cannot be a message of its round is refused before any wallet sees it."""
    rounds = list(KeyingRound)[: list(KeyingRound).index(each)]
    messages = {(other, role): message(other, role) for other in rounds for role in WalletRole}
    with pytest.raises(InvalidMessage) as caught:
        is_new(KeyingAttempt(ESCROW, 1, messages), 1, (each, BUYER), Secret(text))
    assert not text or text not in str(caught.value)


# --- what counts as agreement ----------------------------------------------------------------------------------------


def test_agreement_is_not_seen() -> None:
    """Three equal reports of ready wallets, whose view key is the one of the address, are keys."""
    keys = agreed(reported({}), Network.REGTEST)
    assert (keys.address, keys.view_key, keys.transcript) == (ADDRESS, Secret(VIEW_KEY), transcript(exchanged()))


OTHER_ADDRESS = MoneroAddress.of_keys(Network.REGTEST, AddressKind.STANDARD, key_pair(6)[1], VIEW_POINT).text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ready": False}, "no ready 2-of-3"),
        ({"threshold": 3}, "no ready 2-of-3"),
        ({"threshold": 1}, "no ready 2-of-3"),
        ({"total": 2}, "no ready 2-of-3"),
        ({"transcript": hashlib.sha256(b"other messages").hexdigest()}, "other messages"),
        ({"address": OTHER_ADDRESS}, "another address"),
        ({"address": ""}, "another address"),
        ({"view_key": Secret(key_pair(8)[0])}, "another address or view key"),
    ],
)
@pytest.mark.parametrize("role", WalletRole)
def test_wallets_that_differ_count_as_one(change: dict[str, object], says: str, role: WalletRole) -> None:
    """Whoever of the three is not ready as 2 of 3, or says anything else than the others, there is no address."""
    with pytest.raises(KeysDisagree, match=says):
        agreed(reported({role: replace(report(), **change)}), Network.REGTEST)  # type: ignore[arg-type] # of any field


@pytest.mark.parametrize("view_key", [key_pair(8)[0], "00" * 32, "ff" * 32, "07", "not hex", ""])
def test_view_key_of_another_address_counts(view_key: str) -> None:
    """Three who agree on a view key that does not belong to their address have no keys."""
    wrong = replace(report(), view_key=Secret(view_key))
    with pytest.raises(KeysDisagree, match="not the one of the address"):
        agreed(reported(dict.fromkeys(WalletRole, wrong)), Network.REGTEST)


def test_subaddress_counts_as_the_address_of_the_wallet() -> None:
    """The address of three keys is a standard one, whatever the three agree on."""
    other = MoneroAddress.of_keys(Network.REGTEST, AddressKind.SUBADDRESS, key_pair(5)[1], VIEW_POINT).text
    with pytest.raises(KeysDisagree):
        agreed(reported(dict.fromkeys(WalletRole, replace(report(), address=other))), Network.REGTEST)


@given(st.sampled_from([key for key in ALL_KEYS if key[0] is not EXCHANGE_2]))
def test_changed_message_leaves_the_transcript_as_it_was(key: MessageKey) -> None:
    """The transcript changes with each message that went from wallet to wallet, and with the escrow."""
    attempt = exchanged()
    changed = attempt.with_messages({key: Secret(attempt.messages[key].reveal() + "1")})
    other = replace(attempt, escrow=EscrowId("esc_01jd3v9k8z6x5w4t2r1q0p9n8n"))
    assert len({transcript(attempt), transcript(changed), transcript(other)}) == 3


def test_transcript_is_made_otherwise_than_written_down() -> None:
    """The transcript is what the documentation says, so that another program can compute it."""
    texts = ["escrowd 2-of-3 keying", ESCROW]
    texts += [message(each, role).reveal() for each in (PREPARE, MAKE, EXCHANGE_1) for role in WalletRole]
    data = b"".join(len(text).to_bytes(4, "big") + text.encode() for text in texts)
    assert transcript(exchanged()) == hashlib.sha256(data).hexdigest()


def test_report_does_not_come_back_as_it_was() -> None:
    """A report that is written and read is the same, and shows its view key in no text."""
    assert read_report(write_report(report())) == report()
    assert VIEW_KEY not in repr(report())


def test_restore_height_is_above_a_deposit() -> None:
    """Reading begins below the height at which keys were begun, for reorganisations, and never below zero."""
    assert (restore_height(1000), restore_height(3)) == (970, 0)


def test_everybody_is_asked_first() -> None:
    """A new attempt asks all three for their first message."""
    assert KeyingAttempt(ESCROW, 1).due() == Ask(PREPARE, tuple(WalletRole))
    assert exchanged().due() == Ask(EXCHANGE_2, tuple(WalletRole))
    assert reported({}).due() is None
