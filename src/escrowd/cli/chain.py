"""``escrowd chain``: decisions of the operator about the chain that is watched."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from escrowd.chain.comparing import newest_common, unreadable_at
from escrowd.cli.opening import Opened, opened, run_command
from escrowd.cli.options import ConfigOption, JsonOption
from escrowd.cli.showing.paper import say, write_json, write_text
from escrowd.domain.errors import EscrowdError, Fault, InvalidInput
from escrowd.domain.watching import AcceptedChain, BlockId
from escrowd.monero.daemon import MoneroDaemon, daemon_client
from escrowd.monero.transport import Connections, Endpoint
from escrowd.service.front.callers import OPERATOR

chain_app = typer.Typer(no_args_is_help=True, help="The chain that is watched: what to do where watching has ended.")


class NothingToDecide(EscrowdError):
    """The chain is in a state in which the decision would change nothing."""

    fault = Fault.OPERATOR


class ShownFork(msgspec.Struct, frozen=True):
    """The chain of the daemon beside the one that was watched. Heights count from 0."""

    watched_blocks: int
    daemon_blocks: int
    daemon_top: str
    #: The newest block that both are known to have; ``None`` where there is none.
    common_height: int | None
    accepted: bool


class ShownPassedOver(msgspec.Struct, frozen=True):
    """A transaction that is passed over."""

    txid: str
    height: int
    why_unreadable: str


@chain_app.callback()
def chain() -> None:
    """Decide about the chain that is watched, where watching has ended."""


@chain_app.command("rescan")
def rescan(
    *,
    accept: Annotated[
        bool, typer.Option("--accept", help="Follow the daemon's chain in place of the one that was watched.")
    ] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show where the daemon's chain parts from the one that was watched; with --accept follow it, and read it anew.

    For where the service says wrong_chain or daemon_behind, and that chain is the right one. Deposits that are not on
    it are gone, and their escrows go back or are held. A service that runs takes it up within a minute.
    """
    shown = run_command(_rescan(config, accept=accept))
    if as_json:
        write_json(shown)
        return
    common = "no block that is known" if shown.common_height is None else f"the blocks up to {shown.common_height}"
    write_text(
        f"watched: {shown.watched_blocks} blocks; the daemon has {shown.daemon_blocks}, the last one "
        f"{shown.daemon_top}\nin common: {common}"
    )
    say("Accepted: blocks above are forgotten and read anew." if accept else "To follow it: add --accept.")


@chain_app.command("pass-over")
def pass_over(
    txid: Annotated[str, typer.Argument(metavar="TXID", help="The transaction that the service names as unreadable.")],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Let the watcher go on behind a transaction that this version of escrowd cannot read.

    What it pays to an escrow or spends of one is not seen then, until a wallet sees it. Upgrade escrowd if there is a
    version that reads it; use this only for a transaction that is known to have nothing to do with any escrow.
    """
    shown = run_command(_pass_over(config, txid))
    if as_json:
        write_json(shown)
    else:
        write_text(f"{shown.txid} in block {shown.height} is passed over ({shown.why_unreadable})")


# ---------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _with_daemon(config: Path | None) -> AsyncIterator[tuple[Opened, MoneroDaemon]]:
    async with opened(config) as work, Connections() as connections:
        settings = work.settings
        daemon = daemon_client(connections, Endpoint(settings.model.daemon.host, settings.daemon_port))
        there = (await daemon.get_info()).network
        if there is not settings.model.network:
            raise NothingToDecide(f"the daemon follows {there}, and the settings say {settings.model.network}")
        yield work, daemon


async def _rescan(config: Path | None, *, accept: bool) -> ShownFork:
    async with _with_daemon(config) as (work, daemon):
        async with work.store.reading() as tx:
            cursor = await tx.chain.cursor()
        if cursor is None:
            raise NothingToDecide("nothing was watched yet, so there is no chain to compare with")
        common = await newest_common(daemon, cursor)
        top = await daemon.get_last_block_header()
        if common == cursor.block_ids[-1]:
            raise NothingToDecide(
                f"the daemon has the chain that was watched, up to its last block {common.height}: nothing to accept"
            )
        if accept:
            accepted = AcceptedChain(BlockId(top.height, top.hash), cursor.block_ids[-1].hash)
            async with work.store.transaction() as tx:
                await tx.chain.accept(accepted)
                await tx.audit.note(OPERATOR.name, f"accept chain with block {top.height}", top.hash)
        return ShownFork(
            cursor.height, top.height + 1, top.hash, None if common is None else common.height, accepted=accept
        )


async def _pass_over(config: Path | None, txid: str) -> ShownPassedOver:
    if not re.fullmatch("[0-9a-f]{64}", txid):
        raise InvalidInput(f"'{txid[:80]}' is no id of a transaction: it has 64 of the digits 0 to 9 and a to f")
    async with _with_daemon(config) as (work, daemon):
        found = (await daemon.get_transactions([txid], prune=True)).txs
        height = found[0].block_height if found else None
        if height is None:
            raise NothingToDecide(f"the daemon has no transaction {txid} in a block")
        unreadable = await unreadable_at(daemon, height, await _others_in(daemon, height, txid))
        if unreadable is None:
            raise NothingToDecide(f"transaction {txid} in block {height} can be read: there is no need to pass it over")
        if unreadable.txid is None:
            raise NothingToDecide(f"{unreadable}: only an escrowd that reads such blocks can go on")
        async with work.store.transaction() as tx:
            await tx.chain.pass_over(txid, height)
            await tx.audit.note(OPERATOR.name, f"pass over transaction in block {height}", txid)
        return ShownPassedOver(txid, height, str(unreadable))


async def _others_in(daemon: MoneroDaemon, height: int, txid: str) -> frozenset[str]:
    return frozenset((await daemon.get_block(height)).tx_hashes) - {txid}
