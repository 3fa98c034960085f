"""Record what real servers of one release answer: ``python -m escrowd.testing.record_replies tests/recorded``.

The programs are those of ``ESCROWD_MONERO_DIR``. Do it again for a new release, and read the difference: it is what
that release changed.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog

from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.errors import DAEMON_REFUSALS, WALLET_REFUSALS
from escrowd.monero.methods import Effect, Method
from escrowd.monero.programs import MoneroProgram, find_program, release_of
from escrowd.monero.results_daemon import DaemonReply
from escrowd.monero.results_wallet import Nothing
from escrowd.monero.transport import HttpTransport, Transport
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from escrowd.testing.recorded_replies import Recorder, Recording, RecordingTransport
from escrowd.testing.recorded_scenario import (
    ARBITER,
    BUYER,
    PASSWORD,
    SECTIONS,
    VENDOR,
    XMR,
    Clients,
    synchronise,
    tried,
)
from escrowd.wallets.process import WalletProcess

#: Methods that escrowd does not call on 0.18.0.0.
SET_LOOKAHEAD: Final = Method("set_subaddress_lookahead", Effect.CHANGES, 60)
SET_DAEMON: Final = Method("set_daemon", Effect.CHANGES, 30)
HARD_FORK_INFO: Final = Method("hard_fork_info", Effect.READS, 15)
PREPARE: Final = Method("prepare_multisig", Effect.CHANGES, 30)
#: The wallet file of each signer, in a directory of its own.
WALLET: Final = "signer"
PAYEES: Final = 3
#: Tries until a wallet has noticed that the daemon is back.
RECONNECTIONS: Final = 5


class RealGround:
    """Three wallet processes and the daemon of a lab."""

    def __init__(self, lab: RegtestLab, processes: dict[WalletRole, WalletProcess], directory: Path) -> None:
        self.recorder = Recorder()
        self.directory = directory
        self._lab = lab
        self._transports: dict[str, Transport] = {
            role: RecordingTransport(
                HttpTransport(lab.connections, each.endpoint, WALLET_REFUSALS, one_at_a_time=True), self.recorder, role
            )
            for role, each in processes.items()
        }
        daemon = HttpTransport(lab.connections, lab.daemon_endpoint, DAEMON_REFUSALS, one_at_a_time=False)
        self._transports["daemon"] = RecordingTransport(daemon, self.recorder, "daemon")
        self.daemon = MoneroDaemon(self._transports["daemon"])
        self.clients = {role: MoneroClient(self._transports[role]) for role in WalletRole}
        self.payees: Sequence[str] = ()
        self.address = ""

    def transport(self, server: str) -> Transport:
        """Return the recorded transport of a server."""
        return self._transports[server]

    async def fresh_wallets(self) -> Clients:
        """Return the wallets that were just made."""
        return self.clients

    async def ready_wallets(self) -> Clients:
        """Return the same ones."""
        self.address = self.address or await self.clients[BUYER].get_address()
        return self.clients

    async def without_cache(self, role: WalletRole) -> MoneroClient:
        """Open a wallet whose cache was removed."""
        client = self.clients[role]
        await client.close_wallet()
        (self.directory / role / WALLET).unlink()
        await client.open_wallet(WALLET, PASSWORD)
        return client

    async def submit(self, client: MoneroClient, txset: Secret) -> Sequence[str]:
        """Submit it."""
        return await client.submit_multisig(txset)

    async def pay(self, amount: int) -> None:
        """Let the funder pay."""
        await _reconnected(lambda: self._lab.pay(self.address, amount))

    async def mine(self, blocks: int) -> None:
        """Mine blocks."""
        await self._lab.mine(blocks)

    async def stop_daemon(self) -> None:
        """End the daemon."""
        await self._lab.daemon_process.end()

    async def start_daemon(self) -> None:
        """Start it again."""
        await self._lab.daemon_process.start()
        for client in self.clients.values():
            await _reconnected(client.refresh)


# --- sections that only real wallets can play ------------------------------------------------------------------------


async def files(ground: RealGround) -> None:
    """Make wallet files, and open them with what is wrong."""
    step, client = ground.recorder.step, ground.clients[BUYER]
    with step("no wallet open"):
        await tried(client.get_address())
    with step("wallet made"):
        await client.create_wallet(WALLET, PASSWORD)
    for role in (VENDOR, ARBITER):
        await ground.clients[role].create_wallet(WALLET, PASSWORD)
    with step("wallet made again"):
        await tried(client.create_wallet(WALLET, PASSWORD))
    with step("opened with a wrong password"):
        await tried(client.open_wallet(WALLET, Secret("wrong")))
    with step("opened without a file"):
        await tried(client.open_wallet("missing", PASSWORD))
    with step("prepared without the flag"):
        await tried(ground.transport(BUYER).call(PREPARE, {}, Nothing))


async def damaged_cache(ground: RealGround) -> None:
    """Open a wallet with a cache that is cut in half, and with an empty one."""
    client, cache = ground.clients[BUYER], ground.directory / BUYER / WALLET
    await client.close_wallet()
    whole = cache.read_bytes()
    for name, content in (("half", whole[: len(whole) // 2]), ("empty", b"")):
        cache.write_bytes(content)
        with ground.recorder.step(f"opened with a cache that is {name}"):
            await tried(client.open_wallet(WALLET, PASSWORD))
        await tried(client.close_wallet())
    cache.write_bytes(whole)
    with ground.recorder.step("opened"):
        await client.open_wallet(WALLET, PASSWORD)


async def proofs(ground: RealGround) -> None:
    """Prove a payout by its key and by a signature."""
    step, clients = ground.recorder.step, ground.clients
    await ground.pay(XMR)
    await ground.mine(12)
    await synchronise(clients[BUYER], clients[VENDOR])
    built = await clients[BUYER].sweep_all(ground.payees[0])
    signed = await clients[VENDOR].sign_multisig(built.multisig_txset)
    (txid,) = await clients[VENDOR].submit_multisig(signed.tx_data_hex)
    await ground.mine(1)
    with step("transaction key"):
        await tried(clients[BUYER].get_tx_key(txid))
        key = await clients[VENDOR].get_tx_key(txid)
        await clients[ARBITER].check_tx_key(txid, key, ground.payees[0])
    with step("proof"):
        proof = await clients[VENDOR].get_tx_proof(txid, ground.payees[0], "esc_1")
        await clients[ARBITER].check_tx_proof(txid, ground.payees[0], proof, "esc_1")
        await clients[ARBITER].check_tx_proof(txid, ground.payees[0], proof, "esc_2")


async def other_methods(ground: RealGround) -> None:
    """Call what newer releases have, and what is not simulated of the daemon."""
    step, wallet = ground.recorder.step, ground.transport(BUYER)
    with step("hard fork"):
        await ground.transport("daemon").call(HARD_FORK_INFO, {}, DaemonReply)
    with step("lookahead"):
        params = {"major_idx": 2, "minor_idx": 2, "password": PASSWORD}
        await tried(wallet.call(SET_LOOKAHEAD, params, Nothing))
        await tried(wallet.call(SET_LOOKAHEAD, {"major_idx": 2, "minor_idx": 2}, Nothing))
    with step("daemon set"):
        await tried(wallet.call(SET_DAEMON, {"address": "127.0.0.1:1", "trusted": True}, Nothing))
        await tried(ground.clients[BUYER].refresh())
    with step("addresses"):
        await ground.clients[BUYER].create_address(0, 2)
        await ground.clients[BUYER].get_addresses()
        await ground.clients[BUYER].validate_address(ground.payees[0])
        await ground.clients[BUYER].validate_address("4rubbish")
    with step("blocks"):
        made = await ground.daemon.generateblocks(2, ground.payees[0])
        await ground.daemon.get_block(made.height)
        await tried(ground.daemon.get_block("0" * 64))
        await ground.daemon.pop_blocks(1)


REAL_SECTIONS: Final[tuple[Callable[[RealGround], Awaitable[None]], ...]] = (damaged_cache, proofs, other_methods)


# --- the command -----------------------------------------------------------------------------------------------------


async def record() -> Recording:
    """Play all sections on a private chain of the installed release."""
    release = release_of(find_program(MoneroProgram.WALLET_RPC))
    async with RegtestLab.start() as lab:
        directory = lab.directory / "recording"
        processes = {role: await lab.start_wallet_process(directory / role) for role in WalletRole}
        ground = RealGround(lab, processes, directory)
        ground.payees = await _payees(lab)
        await files(ground)
        for section in (*SECTIONS, *REAL_SECTIONS):
            await section(ground)
        return Recording(str(release), tuple(ground.recorder.replies))


def main() -> None:
    """Read the command line, record, and write the file of the release."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("into", type=Path, help="the directory of recordings")
    into: Path = parser.parse_args().into
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    recording = asyncio.run(record())
    path = into / f"{recording.release}.json"
    into.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(recording), indent=1) + b"\n")
    sys.stdout.write(f"{path}: {len(recording.replies)} replies\n")


async def _reconnected(call: Callable[[], Awaitable[object]]) -> None:
    """Make a call of a wallet whose daemon was away: the first one goes over the connection that broke."""
    for _ in range(RECONNECTIONS):
        if await tried(call()) is not None:
            return
    raise RuntimeError("the wallet does not find the daemon again")


async def _payees(lab: RegtestLab) -> tuple[str, ...]:
    """Return the addresses of three strangers."""
    client = (await lab.start_wallet_process()).client
    addresses = []
    for number in range(PAYEES):
        await client.create_wallet(f"stranger-{number}", PASSWORD)
        addresses.append(await client.get_address())
    return tuple(addresses)


if __name__ == "__main__":
    main()
