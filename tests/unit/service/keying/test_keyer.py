import asyncio
from collections.abc import Callable

import pytest

from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.terms import all_hosted
from escrowd.domain.keying import Ask, KeyingRound, KeysDisagree, KeySet
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.errors import MultisigRefused
from escrowd.service.crash_points import CrashPoint, hit_by
from escrowd.service.keying.keyer import MOST_ATTEMPTS, Job, Keyer, TooManyAttempts
from escrowd.wallets.errors import PoolExhausted
from tests.unit.domain.test_keying import ADDRESS, VIEW_KEY
from tests.unit.service.keying.conftest import ESCROW, OWN_BUYER, FakeWorkshop, NotedJournal, Outsider

Starting = Callable[[], Keyer]

KEYING_POINTS = [point for point in CrashPoint if point.startswith("K")]


class KilledError(BaseException):
    """The service ended here."""


def hosted(journal: NotedJournal) -> Job:
    return Job(ESCROW, all_hosted(), journal)


def own_buyer(journal: NotedJournal) -> Job:
    return Job(ESCROW, OWN_BUYER, journal)


def kill_at(point: CrashPoint) -> Callable[[CrashPoint], None]:
    def hit(passed: CrashPoint) -> None:
        if passed is point:
            raise KilledError

    return hit


async def test_keys_of_hosted_wallets_take_more_than_one_call(
    start: Starting, journal: NotedJournal, workshop: FakeWorkshop
) -> None:
    """Three hosted wallets become keys in one go, and are asked no more than the four rounds need."""
    async with start() as keyer:
        keys = await keyer.advance(hosted(journal))
    assert isinstance(keys, KeySet)
    assert [key.role for key in keys.hosted] == list(WalletRole)
    assert keys.restore_height == 970
    assert workshop.done == ["begin 1", "make 1 buyer vendor arbiter", "keep 1"]
    assert len(workshop.calls) == 3 * 7 + 1


@pytest.mark.parametrize("point", KEYING_POINTS)
async def test_address_of_a_half_made_set_is_shown(
    point: CrashPoint, start: Starting, journal: NotedJournal, workshop: FakeWorkshop
) -> None:
    """Wherever the service ends, its next start has either the finished keys or makes all three wallets anew."""
    with hit_by(kill_at(point)), pytest.raises(KilledError):
        await start().advance(hosted(journal))
    stored = (await journal.load(ESCROW)) or pytest.fail("no attempt is stored")
    assert (stored.keys is not None) == (point is CrashPoint.K6_PUBLISHED)
    workshop.done.clear()

    keys = await start().advance(hosted(journal))
    assert isinstance(keys, KeySet)
    if point is CrashPoint.K6_PUBLISHED:
        assert keys == stored.keys
        assert workshop.done == []
    elif point is CrashPoint.K1_CREATED:  # no message of it was stored, so the attempt goes on with other wallets
        assert workshop.done == ["withdraw", "make 2 buyer vendor arbiter", "keep 2"]
    else:
        # Stored as over before its files are touched.
        assert workshop.done == ["begin 2", "withdraw", "make 2 buyer vendor arbiter", "keep 2"]
        assert journal.begun[-1][2] == "the wallets of this service were closed before the end"
    assert {key.filename for key in keys.hosted} == {
        f"{role}-{1 if point is CrashPoint.K6_PUBLISHED else 2}" for role in WalletRole
    }


async def test_keys_are_made_anew_when_only_the_answer_was_lost(
    start: Starting, journal: NotedJournal, workshop: FakeWorkshop
) -> None:
    """Keys whose storing was answered by an error, and that are stored in spite of it, are the escrow's."""
    journal.loses_answer = EscrowdError("the database went away")
    async with start() as keyer:
        with pytest.raises(EscrowdError, match="went away"):
            await keyer.advance(hosted(journal))
        keys = await keyer.advance(hosted(journal))
    assert keys == journal.records[ESCROW].keys
    assert workshop.done == ["begin 1", "make 1 buyer vendor arbiter", "keep 1"]


@pytest.mark.parametrize(
    "call", ["prepare_multisig", "make_multisig", "exchange_multisig_keys", "get_address", "query_key", "keep"]
)
async def test_failed_call_leaves_wallets_in_use(
    call: str, start: Starting, journal: NotedJournal, workshop: FakeWorkshop
) -> None:
    """After any call that fails, the wallets of the attempt are ended, and the next call makes others."""

    async def fail_once(name: str) -> None:
        if name == call:
            workshop.at_call = None
            raise MultisigRefused(name, -30, "no")

    async with start() as keyer:
        workshop.at_call = fail_once
        with pytest.raises(MultisigRefused):
            await keyer.advance(hosted(journal))
        assert workshop.done[-1] == "drop 1"
        assert isinstance(await keyer.advance(hosted(journal)), KeySet)
    assert workshop.done[-4:] == ["begin 2", "withdraw", "make 2 buyer vendor arbiter", "keep 2"]


async def test_cancelled_set_up_leaves_wallets_open(
    start: Starting, journal: NotedJournal, workshop: FakeWorkshop
) -> None:
    """A set-up that is cancelled ends its wallets, and so does one whose worker has lost its claim."""

    async def forever(name: str) -> None:
        if name == "make_multisig":
            await asyncio.Event().wait()

    async with start() as keyer:
        workshop.at_call = forever
        task = asyncio.create_task(keyer.advance(hosted(journal)))
        while "make_multisig" not in workshop.calls:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert workshop.done[-1] == "drop 1"

        workshop.at_call = None
        checks = iter([None, None, None])

        def check() -> None:
            if next(checks, KilledError) is KilledError:
                raise EscrowdError("somebody else has the claim")

        with pytest.raises(EscrowdError, match="claim"):
            await keyer.advance(Job(ESCROW, all_hosted(), journal, check))
        assert workshop.done[-1] == "drop 2"


async def test_full_pool_begins_a_new_attempt(start: Starting, journal: NotedJournal, workshop: FakeWorkshop) -> None:
    """When no wallets could be made, the attempt waits for them: no message of it was lost."""
    workshop.making_fails = PoolExhausted()
    async with start() as keyer:
        with pytest.raises(PoolExhausted):
            await keyer.advance(hosted(journal))
        assert isinstance(await keyer.advance(hosted(journal)), KeySet)
    assert [number for _, number, _ in journal.begun] == [1]


# --- parties outside -------------------------------------------------------------------------------------------------


async def rounds_until_the_report(keyer: Keyer, outsider: Outsider, job: Job) -> None:
    for number, each in enumerate(list(KeyingRound)[:3]):
        assert await keyer.advance(job) == Ask(each, (WalletRole.BUYER,))
        beginning = "MultisigxV2R1" if each is KeyingRound.PREPARE else "MultisigxV2Rn"
        assert await outsider.say(each, Secret(f"{beginning}own{number}"))
    assert await keyer.advance(job) == Ask(KeyingRound.EXCHANGE_2, (WalletRole.BUYER,))


async def test_party_outside_does_not_get_its_turn(
    start: Starting, journal: NotedJournal, workshop: FakeWorkshop, outsider: Outsider
) -> None:
    """A set-up waits for a party outside in each round, whenever it answers, and hosts the other two."""
    async with start() as keyer:
        await rounds_until_the_report(keyer, outsider, own_buyer(journal))
        await outsider.report()
        keys = await keyer.advance(own_buyer(journal))
    assert isinstance(keys, KeySet)
    assert [key.role for key in keys.hosted] == [WalletRole.VENDOR, WalletRole.ARBITER]
    assert workshop.done == ["begin 1", "withdraw", "make 1 vendor arbiter", "keep 1"]


async def test_silent_party_costs_wallets(start: Starting, journal: NotedJournal, workshop: FakeWorkshop) -> None:
    """Before a party outside has sent its first message, no wallet is made, however often the set-up is looked at."""
    async with start() as keyer:
        for _ in range(3):
            assert await keyer.advance(own_buyer(journal)) == Ask(KeyingRound.PREPARE, (WalletRole.BUYER,))
    assert not any(what.startswith("make") for what in workshop.done)


async def test_lie_about_the_address_gives_an_address(
    start: Starting, journal: NotedJournal, workshop: FakeWorkshop, outsider: Outsider
) -> None:
    """A party outside that reports another address spoils the attempt: no keys, and the next one begins anew."""
    async with start() as keyer:
        await rounds_until_the_report(keyer, outsider, own_buyer(journal))
        await outsider.report(address=ADDRESS)
        with pytest.raises(KeysDisagree, match="another address"):
            await keyer.advance(own_buyer(journal))
        assert workshop.done[-1] == "drop 1"
        assert await keyer.advance(own_buyer(journal)) == Ask(KeyingRound.PREPARE, (WalletRole.BUYER,))
    record = journal.records[ESCROW]
    assert (record.number, dict(record.messages), record.keys) == (2, {}, None)
    assert "another address" in record.why


async def test_spoiler_keeps_the_machine_busy(start: Starting, journal: NotedJournal, workshop: FakeWorkshop) -> None:
    """Attempts with parties outside are bounded."""
    for number in range(1, MOST_ATTEMPTS + 1):
        await journal.begin(ESCROW, number, 0, "")
    await journal.store(ESCROW, MOST_ATTEMPTS, {(KeyingRound.PREPARE, WalletRole.VENDOR): "sealed"})
    async with start() as keyer:
        with pytest.raises(TooManyAttempts, match=str(MOST_ATTEMPTS)):
            await keyer.advance(own_buyer(journal))
    assert not any(what.startswith("make") for what in workshop.done)


async def test_restart_while_waiting_goes_on_with_lost_wallets(
    start: Starting, journal: NotedJournal, workshop: FakeWorkshop, outsider: Outsider
) -> None:
    """When the service stops while a party outside is awaited, the next start begins anew, with the party too."""
    async with start() as keyer:
        assert isinstance(await keyer.advance(own_buyer(journal)), Ask)
        await outsider.say(KeyingRound.PREPARE, Secret("MultisigxV2R1own"))
        assert await keyer.advance(own_buyer(journal)) == Ask(KeyingRound.MAKE, (WalletRole.BUYER,))
    assert workshop.done[-1] == "drop 1"
    async with start() as keyer:
        assert await keyer.advance(own_buyer(journal)) == Ask(KeyingRound.PREPARE, (WalletRole.BUYER,))
    assert journal.records[ESCROW].number == 2


async def test_messages_are_readable_where_they_are_stored(
    start: Starting, journal: NotedJournal, outsider: Outsider
) -> None:
    """What is stored of a set-up shows neither a message nor the view key, and is bound to its place."""
    async with start() as keyer:
        await rounds_until_the_report(keyer, outsider, own_buyer(journal))
        await outsider.report()
        await keyer.advance(own_buyer(journal))
    stored = repr(journal.records)
    assert len(journal.records[ESCROW].messages) == 12
    assert "Multisig" not in stored
    assert VIEW_KEY not in stored


async def test_hosted_role_can_be_answered_for(start: Starting, journal: NotedJournal, outsider: Outsider) -> None:
    """Nobody outside can speak for a role that is hosted, and the same message may come twice."""
    async with start() as keyer:
        await keyer.advance(own_buyer(journal))
    message = Secret("MultisigxV2R1own")
    assert await outsider.say(KeyingRound.PREPARE, message)
    assert not await outsider.say(KeyingRound.PREPARE, message)
    with pytest.raises(EscrowdError, match="kept by this service"):
        await outsider.desk.take(
            journal, ESCROW, OWN_BUYER, 1, (KeyingRound.PREPARE, WalletRole.VENDOR), Secret("MultisigxV2R1x")
        )
