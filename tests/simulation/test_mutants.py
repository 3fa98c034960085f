"""A simulation that finds nothing proves nothing: here laws are taken out of the service, and it has to notice."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping

import pytest

from escrowd.domain.escrow import assess, table
from escrowd.domain.escrow.assess import Ledger
from escrowd.domain.escrow.events import Event, Released, Settled
from escrowd.domain.escrow.status import Who
from escrowd.domain.payouts.plan import PayoutPlan
from escrowd.domain.payouts.records import Attempt, Payout
from escrowd.domain.secret import Secret
from escrowd.monero.results_signing import TransactionIds
from escrowd.service import funding
from escrowd.service.payouts import attempt as attempts
from escrowd.service.payouts import desk
from escrowd.service.payouts.attempt import Journal
from escrowd.service.payouts.following import Following
from escrowd.service.payouts.wallets import Seen, Signers
from escrowd.testing.simulation.driver import BrokenLaw, run_world
from escrowd.testing.simulation.memory import MemoryPayouts
from escrowd.testing.simulation.wallet_rpc import WalletRpc

Mutant = Callable[[pytest.MonkeyPatch], None]

#: Worlds within which each missing law has to be noticed.
WORLDS = 500


def store_after_signature_is_skipped(patch: pytest.MonkeyPatch) -> None:
    async def sign(self: Signers, txset: Secret) -> tuple[Secret, tuple[str, ...]]:
        signed = await self._cosigner.sign_multisig(txset)
        return signed.tx_data_hex, signed.tx_hash_list

    patch.setattr(Signers, "sign", sign)


def old_nonces_serve_the_next_attempt(patch: pytest.MonkeyPatch) -> None:
    sync = attempts._sync

    async def resume(signers: Signers, plan: PayoutPlan, attempt: Attempt, journal: Journal) -> Seen:
        if attempt.number > 1:
            seen = await signers.see(plan.account)
            if all(each.key_image for each in seen.by_proposer):
                return Seen(seen.by_proposer, seen.by_proposer, seen.elsewhere)
        return await sync(signers, plan, attempt, journal)

    patch.setattr(attempts, "_sync", resume)


def signature_is_sent_before_it_is_stored(patch: pytest.MonkeyPatch) -> None:
    submit = WalletRpc.submit_multisig

    def send(self: WalletRpc, params: Mapping[str, object]) -> TransactionIds:
        sent = submit(self, params)
        for txid in sent.tx_hash_list:
            self._chain.send(self._chain.submitted[txid])
        return sent

    # As if the wallet submitted to the daemon, and not to a recorder.
    patch.setattr(WalletRpc, "submit_multisig", send)


def nobody_looks_at_what_is_signed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(attempts, "validate", lambda *_arguments: None)


def wallet_and_watcher_need_not_agree(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(funding, "compare", lambda *_arguments: "")


def change_counts_as_deposit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(assess, "_not_our_change", lambda ledger: ledger.outputs)


def second_payout_may_be_opened(patch: pytest.MonkeyPatch) -> None:
    async def add(self: MemoryPayouts, payout: Payout, order_version: int) -> None:
        self._tables.payouts[payout.id] = payout
        self._tables.orders[payout.id] = order_version

    async def of_order(_self: MemoryPayouts, _escrow: str, _order_version: int) -> None:
        return None

    patch.setattr(MemoryPayouts, "add", add)
    patch.setattr(MemoryPayouts, "of_order", of_order)


def vendor_may_release(patch: pytest.MonkeyPatch) -> None:
    changed = {
        key: tuple(
            dataclasses.replace(row, who=row.who | {Who.VENDOR}) if row.sends is Released else row for row in rows
        )
        for key, rows in table._ROWS.items()
    }
    patch.setattr(table, "_ROWS", changed)


def mined_payout_stays_given_up(patch: pytest.MonkeyPatch) -> None:
    async def take_back(_self: Following, _books: object, _payout: Payout) -> list[Event]:
        return []

    patch.setattr(Following, "_take_back", take_back)


def spent_money_counts_as_divisible(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ledger, "spent", property(lambda _self: frozenset()))


def settle_is_not_possible(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(table, "_ROWS", {key: rows for key, rows in table._ROWS.items() if key[1] is not Settled})


def older_payouts_need_not_be_excluded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desk, "to_be_excluded", lambda _attempts, _ledger: ())


@pytest.mark.parametrize(
    ("mutant", "noticed"),
    [
        (store_after_signature_is_skipped, "a file still has its nonce"),
        (old_nonces_serve_the_next_attempt, "a nonce was used twice"),
        (signature_is_sent_before_it_is_stored, "stored as signed"),
        (nobody_looks_at_what_is_signed, "paid to"),
        (wallet_and_watcher_need_not_agree, "is (funded|delivered|disputed) with"),
        (change_counts_as_deposit, "as late, and"),
        (second_payout_may_be_opened, "is open|can be mined beside"),
        (vendor_may_release, "vendor may not decide Released"),
        (mined_payout_stays_given_up, "not booked as blocks have it"),
        (spent_money_counts_as_divisible, "no end within"),
        (settle_is_not_possible, "no end within"),
        (older_payouts_need_not_be_excluded, "can be mined beside"),
    ],
)
def test_missing_law_is_noticed(mutant: Mutant, noticed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without one of its laws breaks another one in some world, and that is seen."""
    mutant(monkeypatch)
    assert any(re.search(noticed, failure) for failure in failures(WORLDS))


def failures(worlds: int) -> Iterator[str]:
    """Yield what breaks, in words, in the worlds where something does."""
    for seed in range(worlds):
        try:
            run_world(seed)
        except BrokenLaw as broken:
            yield str(broken)
