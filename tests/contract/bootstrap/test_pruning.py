"""A service removes what its settings do not let it keep."""

import asyncio
from pathlib import Path

from sqlalchemy import insert, select

from escrowd.bootstrap.from_settings import house_of
from escrowd.bootstrap.service import open_service
from escrowd.settings.loading import load_settings
from escrowd.store.database import Database
from escrowd.store.schema_access import answers
from escrowd.wallets.vault_key import make_key_file

DAY = 86_400_000


async def put_answers(database: Database, *days: int) -> None:
    """Store answers that are so many days old, under keys that say so."""
    async with database.transaction() as session:
        now = await session.now()
        old = [{"key": f"{each} days", "at": now - each * DAY - DAY // 2} for each in days]
        same = {"caller": "key_1", "request": "r", "status": 201, "sealed_body": "sealed"}
        await session.connection.execute(insert(answers), [each | same for each in old])


async def keys_left(database: Database) -> set[str]:
    async with database.reading() as session:
        return set((await session.connection.execute(select(answers.c.key))).scalars())


async def test_service_keeps_everything(database: Database, tmp_path: Path) -> None:
    """A service begins to remove old answers when it starts, by its own settings, and counts them."""
    await put_answers(database, 0, 2, 3, 40)
    key = tmp_path / "vault.key"
    make_key_file(key)
    file = tmp_path / "escrowd.toml"
    programs = tmp_path / "monero"
    programs.mkdir()
    (programs / "monero-wallet-rpc").symlink_to("/bin/true")
    # It needs neither wallets nor a daemon for this.
    file.write_text(
        f'network = "regtest"\ndata_directory = "{tmp_path / "data"}"\n'
        f'database.url = "{database.url.render_as_string(hide_password=False)}"\n'
        f'vault.key_file = "{key}"\nmonero.directory = "{programs}"\ndaemon.port = 1\nstock.size = 0\n'
        "retention.answers_days = 3\n"
    )
    async with open_service(house_of(load_settings(file, environment={}))) as running, asyncio.timeout(30):
        while not running.metrics.get_sample_value("escrowd_pruned_rows_total", {"table": "answers"}):
            await asyncio.sleep(0.02)
        assert running.metrics.get_sample_value("escrowd_pruned_rows_total", {"table": "answers"}) == 2
    assert await keys_left(database) == {"0 days", "2 days"}
