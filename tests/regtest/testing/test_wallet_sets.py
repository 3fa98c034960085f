import asyncio
import stat
from pathlib import Path

import pytest

from escrowd.domain.identifiers import parse_escrow_id
from escrowd.domain.parties import WalletRole
from escrowd.monero.results_wallet import KeyKind
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from escrowd.testing.make_wallet_sets import make_wallet_sets
from escrowd.testing.two_of_three import NotTwoOfThree, checked_address
from escrowd.testing.wallet_sets import DESCRIPTION, install, keys_file, wallet_sets

XMR = 10**12
OTHER_ESCROW = parse_escrow_id("esc_01jd3v9k8z6x5w4t2r1q0p9n8m")


def test_sets_are_complete() -> None:
    """There are twelve sets of three wallets each, with addresses and ids of their own."""
    sets = wallet_sets()
    assert len({each.address for each in sets}) == len({parse_escrow_id(each.escrow) for each in sets}) == 12
    assert all(set(each.wallets) == set(WalletRole) for each in sets)
    assert len({wallet.worthless_password for each in sets for wallet in each.wallets.values()}) == 36


def test_installed_files_are_private(wallet_dir: Path) -> None:
    """Installed key files are readable by their owner only, and nothing else is installed."""
    there = install(wallet_sets()[0], wallet_dir)
    assert there == wallet_sets()[0]
    assert {path.name for path in wallet_dir.iterdir()} == {
        keys_file(wallet.filename) for wallet in there.wallets.values()
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in wallet_dir.iterdir()} == {0o600}


def test_one_set_serves_many_escrows(wallet_dir: Path) -> None:
    """A set can be installed under the id of another escrow, and never over wallets that are there."""
    first = install(wallet_sets()[0], wallet_dir)
    second = install(wallet_sets()[0], wallet_dir, OTHER_ESCROW)
    assert (second.escrow, second.address) == (OTHER_ESCROW, first.address)
    assert second.wallets[WalletRole.VENDOR].filename == f"{OTHER_ESCROW}-vendor"
    assert len(list(wallet_dir.iterdir())) == 6
    with pytest.raises(FileExistsError):
        install(wallet_sets()[1], wallet_dir, OTHER_ESCROW)


async def test_wallet_without_its_cache_sees_a_deposit(lab: RegtestLab, wallet_dir: Path) -> None:
    """Each role's wallet, opened from its keys alone, is ready 2 of 3, has the set's address and sees a deposit."""
    wallet_set = install(wallet_sets()[0], wallet_dir)
    txid = await lab.pay(wallet_set.address, 2 * XMR)
    await lab.mine(1)

    async def amount_seen_by(role: WalletRole) -> int:
        client = (await lab.start_wallet_process(wallet_dir)).client
        wallet = wallet_set.wallets[role]
        await client.open_wallet(wallet.filename, wallet.password)
        assert await checked_address(client) == wallet_set.address
        assert (await client.query_key(KeyKind.VIEW_KEY)).reveal() == wallet_set.secret_view_key
        await client.refresh()
        (found,) = [each for each in (await client.get_transfers()).incoming if each.txid == txid]
        return found.amount

    assert await asyncio.gather(*map(amount_seen_by, WalletRole)) == [2 * XMR] * 3


async def test_plain_wallet_is_no_two_of_three(lab: RegtestLab, wallet_dir: Path) -> None:
    """An address is not taken from a wallet that is not ready as 2 of 3."""
    client: MoneroClient = (await lab.start_wallet_process(wallet_dir)).client
    await client.create_wallet("plain", wallet_sets()[0].wallets[WalletRole.BUYER].password)
    with pytest.raises(NotTwoOfThree):
        await checked_address(client)


async def test_sets_can_be_made_anew(lab: RegtestLab, tmp_path: Path) -> None:
    """The generator makes sets of the form that is kept."""
    await make_wallet_sets(1, tmp_path / "sets")
    assert len(list((tmp_path / "sets").glob("*.keys"))) == 3
    assert (tmp_path / "sets" / DESCRIPTION).exists()
