"""A party that keeps its own key: a wallet process of its own, which the service knows through messages alone."""

from collections.abc import Sequence
from types import MappingProxyType

import pytest

from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.terms import Custody, all_hosted
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import (
    Ask,
    KeyingRound,
    KeysDisagree,
    KeySet,
    Report,
    transcript,
    write_report,
)
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.errors import MultisigRefused
from escrowd.monero.results_wallet import KeyKind
from escrowd.monero.wallet import MoneroClient
from escrowd.service.keying.keyer import Job, Keyer
from escrowd.service.keying.messages import MessageDesk
from escrowd.testing.funder import FUNDER_ADDRESS
from escrowd.testing.keying import KeyingHouse
from escrowd.testing.lab import RegtestLab
from tests.regtest.keying.conftest import CLOSING

PASSWORD = Secret("the party's own")
CUSTODY = MappingProxyType({**all_hosted(), WalletRole.VENDOR: Custody.OWN})


class Party:
    """The vendor with its own wallet. It sees the messages of the others, and sends its own."""

    def __init__(self, client: MoneroClient, house: KeyingHouse, escrow: EscrowId) -> None:
        self.client = client
        self._house = house
        self._escrow = escrow
        self._desk = MessageDesk(house.vault)

    async def say(self, each: KeyingRound, message: Secret) -> None:
        number = self._house.journal.records[self._escrow].number
        key = (each, WalletRole.VENDOR)
        assert await self._desk.take(self._house.journal, self._escrow, CUSTODY, number, key, message)

    async def hear(self, due: KeyingRound) -> Sequence[Secret]:
        attempt = await self._desk.look(self._house.journal, self._escrow)
        return attempt.others(due, WalletRole.VENDOR)

    async def new_wallet(self, name: str) -> None:
        await self.client.create_wallet(name, PASSWORD)

    async def answer(self, due: KeyingRound) -> None:
        """Answer a round as an honest party does."""
        match due:
            case KeyingRound.PREPARE:
                await self.say(due, await self.client.prepare_multisig())
            case KeyingRound.MAKE:
                made = await self.client.make_multisig(await self.hear(due), 2, PASSWORD)
                await self.say(due, made.multisig_info)
            case KeyingRound.EXCHANGE_1:
                exchanged = await self.client.exchange_multisig_keys(await self.hear(due), PASSWORD)
                await self.say(due, exchanged.multisig_info)
            case KeyingRound.EXCHANGE_2:
                await self.client.exchange_multisig_keys(await self.hear(due), PASSWORD)
                await self.report(await self.client.get_address())

    async def report(self, address: str) -> None:
        attempt = await self._desk.look(self._house.journal, self._escrow)
        view_key = await self.client.query_key(KeyKind.VIEW_KEY)
        await self.say(KeyingRound.EXCHANGE_2, write_report(Report(address, view_key, transcript(attempt))))


async def honest_until(party: Party, keyer: Keyer, job: Job, last: KeyingRound | None) -> None:
    """Go through the rounds, up to the one with which ``last`` is due and unanswered; ``None``: answer all."""
    for each in KeyingRound:
        assert await keyer.advance(job) == Ask(each, (WalletRole.VENDOR,))
        if each is last:
            return
        await party.answer(each)


async def dishonest(party: Party, keyer: Keyer, job: Job) -> None:
    """Try to send messages of others, which are refused, and report another address in the end."""
    await honest_until(party, keyer, job, KeyingRound.MAKE)
    buyers, _ = await party.hear(KeyingRound.MAKE)
    with pytest.raises(EscrowdError, match="begins with"):
        await party.say(KeyingRound.MAKE, buyers)
    await party.answer(KeyingRound.MAKE)
    assert await keyer.advance(job) == Ask(KeyingRound.EXCHANGE_1, (WalletRole.VENDOR,))
    _, arbiters = await party.hear(KeyingRound.EXCHANGE_2)
    with pytest.raises(EscrowdError, match="arbiter's message"):
        await party.say(KeyingRound.EXCHANGE_1, arbiters)
    await party.answer(KeyingRound.EXCHANGE_1)
    assert await keyer.advance(job) == Ask(KeyingRound.EXCHANGE_2, (WalletRole.VENDOR,))
    await party.client.exchange_multisig_keys(await party.hear(KeyingRound.EXCHANGE_2), PASSWORD)
    await party.report(FUNDER_ADDRESS)


async def test_party_with_its_own_key_is_left_out(house: KeyingHouse, escrow: EscrowId, lab: RegtestLab) -> None:
    """Two hosted wallets and one outside become one address; what a hostile party sends makes none."""
    process = await lab.start_wallet_process()
    party = Party(process.client, house, escrow)
    job = Job(escrow, CUSTODY, house.journal)
    async with house.open(CLOSING) as workshop:
        keyer = workshop.keyer
        # 1. Rubbish in the form of a message: the hosted wallets refuse it.
        assert await keyer.advance(job) == Ask(KeyingRound.PREPARE, (WalletRole.VENDOR,))
        await party.say(KeyingRound.PREPARE, Secret("MultisigxV2R1" + "a" * 176))
        with pytest.raises(MultisigRefused):
            await keyer.advance(job)
        assert workshop.house.pool.stats().in_use == 0

        # 2. The messages of others: refused at the door. Then a lie at the end.
        await party.new_wallet(f"{escrow}-own-2")
        await dishonest(party, keyer, job)
        with pytest.raises(KeysDisagree, match="another address"):
            await keyer.advance(job)
        assert workshop.house.pool.stats().in_use == 0
        assert house.journal.records[escrow].keys is None

        # 3. Honest to the end.
        await party.new_wallet(f"{escrow}-own-3")
        await honest_until(party, keyer, job, None)
        keys = await keyer.advance(job)
        assert isinstance(keys, KeySet)
        assert keys.address == await party.client.get_address()
        assert [each.role for each in keys.hosted] == [WalletRole.BUYER, WalletRole.ARBITER]
        async with workshop.house.manager.lease(escrow) as lease:
            assert set(lease.roles) == {WalletRole.BUYER, WalletRole.ARBITER}
            assert {await lease.wallet(role).get_address() for role in lease.roles} == {keys.address}
    assert [number for _, number, _ in house.journal.begun] == [1, 2, 3]
    assert "another address" in house.journal.begun[2][2]
