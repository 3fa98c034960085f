from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import pytest
from typing_extensions import override

from escrowd.domain.address import MoneroAddress
from escrowd.domain.errors import EscrowdError
from escrowd.domain.escrow.terms import Custody, all_hosted
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import HostedKey, KeyingRound, MessageKey, Report, transcript, write_report
from escrowd.domain.networks import AddressKind, Network
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.methods import Method
from escrowd.monero.wallet import MoneroClient
from escrowd.service.keying.keyer import Keyer
from escrowd.service.keying.messages import MessageDesk
from escrowd.testing.keying import KeySets, MemoryKeyingJournal
from escrowd.wallets.vault import Vault
from tests.unit.domain.test_keying import VIEW_KEY, VIEW_POINT, key_pair

ResultT = TypeVar("ResultT")

ESCROW = EscrowId("esc_01jd3v9k8z6x5w4t2r1q0p9n8m")


class FakeTransport:
    """Answers as a wallet does that takes part in a set-up; ``fails`` names the call that does not."""

    def __init__(self, workshop: "FakeWorkshop", role: WalletRole, made: int) -> None:
        self._workshop = workshop
        self._me = f"{role}{made}"
        self._address = MoneroAddress.of_keys(
            Network.REGTEST, AddressKind.STANDARD, key_pair(100 + made)[1], VIEW_POINT
        ).text
        self._exchanges = 0

    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        assert len(params) <= 3
        await self._workshop.called(method.name)
        match method.name:
            case "prepare_multisig":
                fields: dict[str, object] = {"multisig_info": Secret(f"MultisigxV2R1{self._me}")}
            case "make_multisig" | "exchange_multisig_keys":
                self._exchanges += 1
                fields = {"address": "", "multisig_info": Secret(f"MultisigxV2Rn{self._me}{self._exchanges}")}
            case "is_multisig":
                fields = {"multisig": True, "ready": True, "threshold": 2, "total": 3}
            case "get_address":
                fields = {"address": self._address}
            case _:
                fields = {"key": Secret(VIEW_KEY)}
        return result(**fields)


@dataclass
class FakeWallet:
    client: MoneroClient
    password: Secret


class FakeWallets:
    def __init__(self, workshop: "FakeWorkshop", roles: tuple[WalletRole, ...], made: int) -> None:
        self._workshop = workshop
        self._made = made
        self._wallets = {
            role: FakeWallet(MoneroClient(FakeTransport(workshop, role, made)), Secret("password")) for role in roles
        }

    def wallet(self, role: WalletRole) -> FakeWallet:
        return self._wallets[role]

    async def keep(self, address: str) -> tuple[HostedKey, ...]:
        assert MoneroAddress.parse(address, Network.REGTEST).view_public_key == VIEW_POINT
        await self._workshop.called("keep")
        self._workshop.done.append(f"keep {self._made}")
        return tuple(HostedKey(role, f"{role}-{self._made}", "sealed", "sealed") for role in self._wallets)

    async def drop(self) -> None:
        self._workshop.done.append(f"drop {self._made}")


class FakeWorkshop:
    """Makes wallets out of nothing, and notes what was done with them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.calls: list[str] = []
        #: Called with the name of each call to a wallet; may fail or wait.
        self.at_call: Callable[[str], Awaitable[None]] | None = None
        self.making_fails: EscrowdError | None = None
        self._made = 0

    async def make(self, escrow: EscrowId, roles: tuple[WalletRole, ...]) -> FakeWallets:
        assert escrow == ESCROW
        if self.making_fails is not None:
            error, self.making_fails = self.making_fails, None
            raise error
        self._made += 1
        self.done.append(f"make {self._made} {' '.join(roles)}")
        return FakeWallets(self, roles, self._made)

    async def withdraw(self, escrow: EscrowId) -> None:
        assert escrow == ESCROW
        self.done.append("withdraw")

    async def called(self, name: str) -> None:
        self.calls.append(name)
        if self.at_call is not None:
            await self.at_call(name)


class NotedJournal(MemoryKeyingJournal):
    """A journal that notes, among what the workshop does, when attempts begin."""

    def __init__(self, workshop: FakeWorkshop) -> None:
        super().__init__(KeySets())
        self.workshop = workshop

    @override
    async def begin(self, escrow: EscrowId, number: int, restore_height: int, why: str) -> None:
        await super().begin(escrow, number, restore_height, why)
        self.workshop.done.append(f"begin {number}")


@pytest.fixture
def workshop() -> FakeWorkshop:
    return FakeWorkshop()


@pytest.fixture
def journal(workshop: FakeWorkshop) -> NotedJournal:
    return NotedJournal(workshop)


@pytest.fixture
def vault() -> Vault:
    return Vault(bytes(32))


@pytest.fixture
def start(workshop: FakeWorkshop, vault: Vault) -> Callable[[], Keyer]:
    """Make a keyer, as each start of the service does."""

    async def height() -> int:
        return 1000

    return lambda: Keyer(workshop, vault, height, Network.REGTEST)


OWN_BUYER = MappingProxyType({**all_hosted(), WalletRole.BUYER: Custody.OWN})


class Outsider:
    """Sends messages by hand."""

    def __init__(self, journal: NotedJournal, vault: Vault) -> None:
        self.journal = journal
        self.desk = MessageDesk(vault)

    async def say(self, each: KeyingRound, message: Secret) -> bool:
        number = self.journal.records[ESCROW].number
        key: MessageKey = (each, WalletRole.BUYER)
        return await self.desk.take(self.journal, ESCROW, OWN_BUYER, number, key, message)

    async def report(self, **changes: str) -> None:
        attempt = await self.desk.look(self.journal, ESCROW)
        theirs = attempt.messages[KeyingRound.EXCHANGE_2, WalletRole.VENDOR].reveal()
        address = changes.get("address", theirs.split('"')[3])
        made = Report(address, Secret(VIEW_KEY), transcript(attempt))
        await self.say(KeyingRound.EXCHANGE_2, write_report(made))


@pytest.fixture
def outsider(journal: NotedJournal, vault: Vault) -> Outsider:
    return Outsider(journal, vault)
