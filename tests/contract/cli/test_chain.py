"""Decisions of the operator about the chain, from the command line."""

from sqlalchemy import insert

from escrowd.domain.watching import AcceptedChain, BlockId, ChainDecisions, Cursor
from escrowd.service.front.callers import OPERATOR
from escrowd.store import schema
from escrowd.store.chain_decisions import ChainTable
from escrowd.store.coding import encoded
from escrowd.store.database import Database
from escrowd.store.ledgers import COMMON
from tests.contract.cli.conftest import Commands
from tests.doctor_place import GENESIS, StubDaemon, stub_daemon

WATCHED = Cursor(950, 0, "ff" * 32, (BlockId(0, "ff" * 32), BlockId(949, "dd" * 32)))
#: The last block of the stub.
TOP = BlockId(999, "ef" * 32)


async def store_cursor(database: Database, cursor: Cursor) -> None:
    values = {"lane": COMMON, "height": cursor.height, "time": cursor.time, "body": encoded(cursor)}
    async with database.transaction() as session:
        await session.connection.execute(insert(schema.cursors).values(values))


async def decisions(database: Database) -> ChainDecisions:
    async with database.reading() as session:
        return await ChainTable(session).decisions()


def of_regtest(daemon: StubDaemon) -> None:
    daemon.info["nettype"] = "fakechain"


async def test_other_chain_is_accepted_only_with_the_flag(commands: Commands, database: Database) -> None:
    """Without it the command shows where the chains part; with it the decision is stored and noted in the audit."""
    await store_cursor(database, WATCHED)
    async with stub_daemon(commands.daemon_port) as daemon:
        of_regtest(daemon)
        shown = (await commands.run("chain", "rescan", "--json")).json
        assert (shown["watched_blocks"], shown["daemon_blocks"], shown["common_height"]) == (950, 1000, None)
        assert not shown["accepted"]
        assert await decisions(database) == ChainDecisions()
        assert (await commands.run("chain", "rescan", "--accept", "--json")).json["accepted"]
    assert (await decisions(database)).accepted == (AcceptedChain(TOP, "dd" * 32),)
    (entry,) = (await commands.run("audit", "list", "--subject", TOP.hash, "--json")).json["items"]
    assert (entry["caller"], entry["action"]) == (OPERATOR.name, "accept chain with block 999")


async def test_chain_that_is_watched_is_not_accepted(commands: Commands, database: Database) -> None:
    """Where the daemon has the last block that was watched, or nothing was watched, there is nothing to decide."""
    async with stub_daemon(commands.daemon_port) as daemon:
        of_regtest(daemon)
        said = await commands.run("chain", "rescan", "--accept")
        assert (said.code, "nothing was watched" in said.err) == (1, True)
        await store_cursor(database, Cursor(950, 0, GENESIS, (BlockId(0, GENESIS), BlockId(949, "ef" * 32))))
        said = await commands.run("chain", "rescan", "--accept")
        assert (said.code, "nothing to accept" in said.err) == (1, True)
        daemon.info["nettype"] = "stagenet"
        said = await commands.run("chain", "rescan", "--accept")
        assert (said.code, "follows stagenet" in said.err) == (1, True)
    assert await decisions(database) == ChainDecisions()


async def test_readable_transaction_is_not_passed_over(commands: Commands, database: Database) -> None:
    """Only a transaction that is in a block and that cannot be read is passed over; a wrong id is named."""
    txid = "ab" * 32
    said = await commands.run("chain", "pass-over", "abc")
    assert (said.code, "64 of the digits" in said.err) == (1, True)
    async with stub_daemon(commands.daemon_port) as daemon:
        of_regtest(daemon)
        said = await commands.run("chain", "pass-over", txid)
        assert (said.code, "has no transaction" in said.err) == (1, True)
        daemon.transactions[txid] = bytes([2, 0, 0, 0, 0, 0])
        said = await commands.run("chain", "pass-over", txid)
        assert (said.code, "can be read" in said.err) == (1, True)
        daemon.transactions[txid] = bytes([2, 0, 0, 0, 0, 7])
        shown = (await commands.run("chain", "pass-over", txid, "--json")).json
        assert (shown["txid"], shown["height"], "RingCT of type 7" in shown["why_unreadable"]) == (txid, 903, True)
    assert (await decisions(database)).passed_over == frozenset({txid})
    (entry,) = (await commands.run("audit", "list", "--subject", txid, "--json")).json["items"]
    assert entry["action"] == "pass over transaction in block 903"
