"""A service does not begin with what would do harm."""

import secrets
from pathlib import Path

import pytest

from escrowd.bootstrap.adapters import new_escrow_id
from escrowd.bootstrap.service import ServiceHouse, open_service
from escrowd.bootstrap.vault_check import check_vault_key
from escrowd.domain.keying import HostedKey, KeySet
from escrowd.domain.networks import Network
from escrowd.domain.parties import WalletRole
from escrowd.store.database import Database
from escrowd.store.store import SqlShelf
from escrowd.testing.simulation.addresses import address
from escrowd.wallets.errors import VaultKeyRefused
from escrowd.wallets.process import WalletProgram
from escrowd.wallets.records import password_purpose
from escrowd.wallets.vault import KEY_BYTES, Vault, random_password


async def put_wallets(database: Database, vault: Vault) -> None:
    """Put wallets into the stock whose passwords are sealed with this key."""
    escrow = new_escrow_id()
    hosted = tuple(
        HostedKey(role, name, vault.seal(random_password(), password_purpose(name)), "sealed")
        for role, name in ((role, f"{escrow}-{role}") for role in WalletRole)
    )
    await SqlShelf(database, "node").ready(KeySet(escrow, address(escrow), "sealed", 0, "0" * 64, hosted))


async def test_service_begins_with_another_vault_key(database: Database, tmp_path: Path) -> None:
    """With a vault key that does not open the wallets that are there a service does not start, and makes nothing."""
    await put_wallets(database, Vault(secrets.token_bytes(KEY_BYTES)))
    house = ServiceHouse(
        network=Network.REGTEST,
        program=WalletProgram(
            Path("/nowhere/monero-wallet-rpc"), Network.REGTEST, "127.0.0.1", 1, tmp_path / "wallets"
        ),
        run_directory=tmp_path / "run",
        database_url=database.url.render_as_string(hide_password=False),
        vault=Vault(secrets.token_bytes(KEY_BYTES)),
    )
    with pytest.raises(VaultKeyRefused, match="bring back the key"):
        async with open_service(house):
            pass
    assert not (tmp_path / "run").exists()


async def test_right_vault_key_is_refused(database: Database) -> None:
    """Any key will do for a database without wallets, and later the one that sealed them."""
    vault = Vault(secrets.token_bytes(KEY_BYTES))
    await check_vault_key(database, vault)
    await put_wallets(database, vault)
    await check_vault_key(database, vault)
