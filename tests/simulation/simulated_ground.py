"""The simulated servers as a ground for the scenario of the recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from typing_extensions import override

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.errors import Refused
from escrowd.monero.methods import Method
from escrowd.monero.transport import Endpoint, Transport
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.recorded_replies import Recorder
from escrowd.testing.recorded_scenario import Clients
from escrowd.testing.simulation.addresses import address
from escrowd.testing.simulation.chain import SimulatedChain
from escrowd.testing.simulation.daemon import SimulatedDaemon
from escrowd.testing.simulation.faults import Faults, Life
from escrowd.testing.simulation.keying import FreshWalletProcess, Groups
from escrowd.testing.simulation.sessions import DAEMON, WalletHouse, WalletProcess
from escrowd.testing.simulation.signing import SigningLog
from escrowd.testing.simulation.spending import Costs
from escrowd.testing.simulation.transactions import SimulatedOutput, SimulatedTransaction
from escrowd.testing.simulation.transport import SimulatedTransport
from escrowd.testing.simulation.wallet_rpc import RECORDER_HOST, Surroundings
from escrowd.wallets.submissions import SubmissionRecorder

ResultT = TypeVar("ResultT")

ESCROW = EscrowId("esc_01jd3v9k8z6x5w4t2r1q0p9n8m")
SHARED = address("escrow 0")
NOW = 1_700_000_000


@dataclass
class Answered:
    """One simulated reply: which type it has, and its fields or the refusal."""

    step: str
    server: str
    method: str
    kind: type[Any]
    outcome: object


class SimulatedRecorder(Recorder):
    """Keeps typed replies instead of raw ones."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: list[Answered] = []

    def keep(self, server: str, method: str, kind: type[Any], outcome: object) -> None:
        if self.current and method != "set_daemon":
            self.answered.append(Answered(self.current, server, method, kind, outcome))


class TypedTransport(Transport):
    """Passes calls on to a simulated server, and keeps what it answers."""

    def __init__(self, inner: Transport, recorder: SimulatedRecorder, server: str) -> None:
        self._inner = inner
        self._recorder = recorder
        self._server = server

    @override
    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        try:
            # A call with another type is one of a parameter that escrowd never sends.
            reply = await self._inner.call(method, params, result)
        except Refused as refused:
            self._recorder.keep(self._server, method.name, result, refused)
            raise
        self._recorder.keep(self._server, method.name, result, reply)
        return reply


class SimulatedGround:
    """Three simulated wallets, one simulated daemon."""

    def __init__(self, rpc_version: int) -> None:
        self.recorder = SimulatedRecorder()
        self.chain = SimulatedChain(lambda: NOW)
        self.faults = Faults()
        self._around = Surroundings(self.chain, SigningLog(), self.faults, Costs(), lambda: NOW, rpc_version)
        self._house = WalletHouse(self._around)
        self._house.make(ESCROW, SHARED)
        self._life = Life(1)
        groups = Groups()
        self._fresh = {role: FreshWalletProcess(self._house, groups, self._life) for role in WalletRole}
        self._transports: dict[str, Transport] = {}
        daemon = SimulatedTransport(
            SimulatedDaemon(self.chain, self.faults, is_new=self._around.is_new), self.faults, self._life
        )
        self.daemon = MoneroDaemon(self._recorded("daemon", daemon))
        # So that no output of a wallet has the index 0.
        self._send(SimulatedOutput(self.chain.unique("key"), "outside", address("miner"), 1))
        self.chain.mine()
        self.payees = tuple(address(f"payee {number}") for number in range(3))

    def transport(self, server: str) -> Transport:
        return self._transports[server]

    async def fresh_wallets(self) -> Clients:
        return {
            role: MoneroClient(self._recorded(role, SimulatedTransport(each, self.faults, self._life)))
            for role, each in self._fresh.items()
        }

    async def ready_wallets(self) -> Clients:
        is_first = not self._house.processes
        clients = {role: await self._opened(role) for role in WalletRole}
        if is_first:
            # They were just made, and begin to read where the chain ends.
            for client in clients.values():
                await client.refresh()
        return clients

    async def without_cache(self, role: WalletRole) -> MoneroClient:
        self._house.kill((1, ESCROW, role))
        self._house.files.pop((1, ESCROW, role), None)
        return await self._opened(role)

    async def submit(self, client: MoneroClient, txset: Secret) -> Sequence[str]:
        return await submit_recorded(self._around, client, txset)

    async def pay(self, amount: int) -> None:
        keys = self.chain.unique("key"), self.chain.unique("key")
        change = SimulatedOutput(keys[1], "outside", address("miner"), 1)
        self._send(SimulatedOutput(keys[0], ESCROW, SHARED, amount), change)

    async def mine(self, blocks: int) -> None:
        self.chain.mine(blocks)

    async def stop_daemon(self) -> None:
        self.faults.daemon_is_down = True

    async def start_daemon(self) -> None:
        self.faults.daemon_is_down = False
        for client in (await self.ready_wallets()).values():
            await client.refresh()

    def _send(self, *outputs: SimulatedOutput) -> None:
        images = (self.chain.unique("image"),)
        self.chain.send(SimulatedTransaction(self.chain.unique("transaction"), images, outputs, 1))

    async def _opened(self, role: WalletRole) -> MoneroClient:
        key = (1, ESCROW, role)
        if key not in self._house.processes:
            process = self._house.processes[key] = WalletProcess(self._house, key, self._life)
            await process.client.open_wallet("file", Secret("password"))
            self._recorded(role, SimulatedTransport(process, self.faults, self._life))
        return MoneroClient(self._transports[role])

    def _recorded(self, server: str, inner: Transport) -> Transport:
        self._transports[server] = TypedTransport(inner, self.recorder, server)
        return self._transports[server]


async def submit_recorded(around: Surroundings, client: MoneroClient, txset: Secret) -> Sequence[str]:
    """Let a wallet submit to a recorder, as the service does, and send what it submitted."""
    endpoint = Endpoint(RECORDER_HOST, 1)
    around.recorders[f"{endpoint.host}:{endpoint.port}"] = SubmissionRecorder(endpoint, ())
    await client.set_daemon(endpoint)
    try:
        txids = await client.submit_multisig(txset)
    finally:
        await client.set_daemon(DAEMON)
    for txid in txids:
        around.chain.send(around.chain.submitted[txid])
    return txids


def fields_of(reply: object) -> object:
    """Return a typed reply as JSON values, secrets as their texts."""
    return msgspec.to_builtins(reply, enc_hook=_revealed)


def _revealed(value: object) -> str:
    assert isinstance(value, Secret)
    return value.reveal()
