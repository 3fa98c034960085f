"""Make the kept 2-of-3 wallets anew: ``python -m escrowd.testing.make_wallet_sets --count 12``.

Their keys end up in a public repository. Never send money to their addresses.
"""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec
import structlog

from escrowd.domain.identifiers import RANDOM_BYTES, EscrowId, Prefix, make_identifier
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.results_wallet import KeyKind
from escrowd.monero.transport import Connections
from escrowd.testing.daemon_process import RegtestDaemon
from escrowd.testing.two_of_three import Clients, make_two_of_three
from escrowd.testing.wallet_process import PATIENCE, start_wallet_process
from escrowd.testing.wallet_sets import DATA, DESCRIPTION, KeptWallet, WalletSet, keys_file, wallet_filename

#: Sets made at the same time. Making one keeps more than a core busy.
AT_ONCE: Final = 2


def main() -> None:
    """Read the command line and make the sets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=12, help="how many sets (12)")
    parser.add_argument(
        "--into", type=Path, default=Path(__file__).with_name(DATA), help="the directory that is replaced"
    )
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    asyncio.run(make_wallet_sets(arguments.count, arguments.into))


async def make_wallet_sets(count: int, into: Path) -> None:
    """Make ``count`` sets on an empty chain, and put them in place of what the directory held."""
    escrows = iter([_new_escrow_id() for _ in range(count)])
    with tempfile.TemporaryDirectory() as name:
        workshop = Path(name)
        # On an empty chain, so that the wallets begin to read any private chain at its first block.
        async with Connections() as connections, RegtestDaemon(workshop / "daemon", connections) as daemon:
            made = await asyncio.gather(
                *(_make_some(escrows, connections, daemon, workshop) for _ in range(min(AT_ONCE, count)))
            )
        sets = sorted((each for part in made for each in part), key=lambda each: each.escrow)
        _replace(into, sets, workshop / "wallets")


# ---------------------------------------------------------------------------------------------------------------------


async def _make_some(
    escrows: Iterator[EscrowId], connections: Connections, daemon: RegtestDaemon, workshop: Path
) -> list[WalletSet]:
    """Make sets with three wallet processes until there is no more to make."""
    async with AsyncExitStack() as closers:
        clients = {}
        for role in WalletRole:
            process = await start_wallet_process(
                connections, daemon.endpoint, workshop / "wallets", workshop / f"run-{role}"
            )
            closers.push_async_callback(process.end, PATIENCE)
            clients[role] = process.client
        made = []
        for escrow in escrows:
            started = time.monotonic()
            made.append(await _make_set(escrow, clients))
            sys.stderr.write(f"{escrow}: {time.monotonic() - started:.1f} s\n")
        return made


async def _make_set(escrow: EscrowId, clients: Clients) -> WalletSet:
    wallets = {role: KeptWallet(wallet_filename(escrow, role), secrets.token_hex(8)) for role in WalletRole}
    passwords: dict[WalletRole, Secret] = {role: wallet.password for role, wallet in wallets.items()}
    await asyncio.gather(
        *(clients[role].create_wallet(wallet.filename, wallet.password) for role, wallet in wallets.items())
    )
    address = await make_two_of_three(clients, passwords)
    view_key = await clients[WalletRole.BUYER].query_key(KeyKind.VIEW_KEY)
    await asyncio.gather(*(client.close_wallet() for client in clients.values()))
    return WalletSet(escrow, address, view_key.reveal(), 0, wallets)


def _replace(into: Path, sets: list[WalletSet], made_in: Path) -> None:
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    for each in sets:
        for wallet in each.wallets.values():
            shutil.copyfile(made_in / keys_file(wallet.filename), into / keys_file(wallet.filename))
    (into / DESCRIPTION).write_bytes(msgspec.json.format(msgspec.json.encode(sets)) + b"\n")


def _new_escrow_id() -> EscrowId:
    milliseconds = time.time_ns() // 1_000_000
    return EscrowId(make_identifier(Prefix.ESCROW, milliseconds, secrets.token_bytes(RANDOM_BYTES)))


if __name__ == "__main__":
    main()
