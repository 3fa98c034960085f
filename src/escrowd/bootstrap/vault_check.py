"""Makes sure, before anything is made or taken over, that the vault key is the one that sealed the wallets."""

from escrowd.store.database import Database
from escrowd.store.keys import KeySetTable
from escrowd.wallets.errors import NotUnsealable, VaultKeyRefused
from escrowd.wallets.records import password_purpose
from escrowd.wallets.vault import Vault


async def check_vault_key(database: Database, vault: Vault) -> None:
    """Open the newest secret that is stored.

    With another key a service would run, and put wallets into the stock that the right key does not open: money would
    come to their addresses later.

    Raises:
        VaultKeyRefused: it does not open with this key.
        DatabaseUnavailable: the database did not answer.

    """
    async with database.reading() as session:
        stored = await KeySetTable(session).newest_password()
    if stored is None:
        return
    filename, sealed = stored
    try:
        vault.unseal(sealed, password_purpose(filename))
    except NotUnsealable:
        raise VaultKeyRefused(
            f"the vault key is not the one that sealed the password of wallet {filename}: bring back the key that the "
            "wallets were made with; no other one opens them"
        ) from None
