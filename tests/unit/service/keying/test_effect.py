from collections.abc import Callable
from dataclasses import replace

import pytest

from escrowd.domain.escrow.effects import Effect
from escrowd.domain.escrow.events import KeysReady
from escrowd.domain.escrow.facts import Escrow
from escrowd.domain.escrow.status import Status
from escrowd.domain.escrow.terms import Terms
from escrowd.domain.keying import KeyingRound
from escrowd.domain.networks import Network
from escrowd.domain.secret import Secret
from escrowd.service.advance import Task
from escrowd.service.keying.effect import KeysEffect, WaitsForParties
from escrowd.service.keying.keyer import Keyer
from escrowd.service.ports import PendingEffect
from tests.unit.domain.test_keying import ADDRESS
from tests.unit.service.keying.conftest import ESCROW, OWN_BUYER, FakeWorkshop, NotedJournal, Outsider

TERMS = Terms(Network.REGTEST, 10**12, refund_address="4refund", payout_address="4payout")
KEYING = Escrow(ESCROW, Status.KEYING, 1, TERMS, created_at=0)


class Claimed:
    """A claim that lasts."""

    key = "escrow"
    fence = 1

    def check(self) -> None:
        return None


def task(escrow: Escrow) -> Task:
    return Task(escrow, PendingEffect(1, 0, Effect.MAKE_KEYS), Claimed())


async def test_finished_keys_do_not_reach_the_escrow(start: Callable[[], Keyer], journal: NotedJournal) -> None:
    """The effect tells the address of the finished keys, and the same one when it is carried out again."""
    async with start() as keyer:
        effect = KeysEffect(keyer, journal)
        told = await effect.make_keys(task(KEYING))
        assert await effect.make_keys(task(KEYING)) == told
    keys = journal.records[ESCROW].keys
    assert keys is not None
    assert told == (KeysReady(keys.address, keys.restore_height),)


async def test_waiting_for_a_party_counts_as_done(start: Callable[[], Keyer], journal: NotedJournal) -> None:
    """While a party outside is awaited, the effect stays undone, and says who is awaited."""
    waiting = replace(KEYING, terms=replace(TERMS, custody=OWN_BUYER))
    async with start() as keyer:
        with pytest.raises(WaitsForParties, match="prepare waits for the buyer"):
            await KeysEffect(keyer, journal).make_keys(task(waiting))


async def test_escrow_without_keys_keeps_wallets_open(
    start: Callable[[], Keyer], journal: NotedJournal, workshop: FakeWorkshop, outsider: Outsider
) -> None:
    """The wallets of an escrow that ended before it had an address are ended; those of one with an address stay."""
    ended = replace(KEYING, status=Status.CANCELLED, terms=replace(TERMS, custody=OWN_BUYER))
    async with start() as keyer:
        effect = KeysEffect(keyer, journal)
        with pytest.raises(WaitsForParties):
            await effect.make_keys(task(replace(ended, status=Status.KEYING)))
        await outsider.say(KeyingRound.PREPARE, Secret("MultisigxV2R1own"))
        with pytest.raises(WaitsForParties):
            await effect.make_keys(task(replace(ended, status=Status.KEYING)))
        workshop.done.clear()
        assert await effect.make_keys(task(replace(ended, address=ADDRESS))) == ()
        assert workshop.done == []
        assert await effect.make_keys(task(ended)) == ()
        assert workshop.done == ["drop 1", "withdraw"]
