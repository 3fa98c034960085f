"""Simulated wallets that become one 2-of-3 wallet, for the real keyer: what is gone before the end begins anew."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final, cast

from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import HostedKey, KeyingRecord, KeySet, MessageConflict, MessageKey, StaleAttempt
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.domain.wallet_set import WalletSet
from escrowd.monero.errors import MultisigRefused
from escrowd.monero.results_signing import MultisigRound, MultisigStatus, PreparedMultisig
from escrowd.monero.results_wallet import Addresses, QueriedKey
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.simulation.addresses import address, view_key
from escrowd.testing.simulation.faults import Life, Place
from escrowd.testing.simulation.memory import MemoryStore
from escrowd.testing.simulation.sessions import WalletHouse, WalletProcess
from escrowd.testing.simulation.transactions import digest
from escrowd.testing.simulation.transport import Answer, SimulatedTransport
from escrowd.testing.simulation.wallet import SimulatedWallet
from escrowd.wallets.errors import NotUnsealable, ProcessLost

Params = Mapping[str, object]

#: What ``make_multisig`` answers as an address, whatever the keys are (recorded).
PLACEHOLDER: Final = "41fJjQDhryD11111111111111111111111111111111112J6WubrJoNFFxDwVj6EQs5geH1r1k6Y69pMdS9vdiJL4kWpKMB"
#: How many addresses there are for escrows. One world needs far less.
ADDRESSES: Final = 32


class PlainSealer:
    """Seals nothing, and refuses what was sealed for another purpose."""

    def seal(self, secret: Secret, purpose: str) -> str:
        """Write the purpose before the text."""
        return f"{purpose}#{secret.reveal()}"

    def unseal(self, sealed: str, purpose: str) -> Secret:
        """Return the text. Raises NotUnsealable."""
        if not sealed.startswith(f"{purpose}#"):
            raise NotUnsealable(f"this was not sealed for {purpose}")
        return Secret(sealed.removeprefix(f"{purpose}#"))


class Groups:
    """The addresses that wallets came to share, each by the first messages of the three."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def name(self, first_messages: Sequence[str]) -> str:
        """Return the name of the group whose first messages these are, in any order."""
        number = self._numbers.setdefault(digest(*sorted(first_messages)), len(self._numbers))
        return f"escrow {number % ADDRESSES}"


class FreshWalletProcess:
    """One wallet on its way to becoming one of three. All that it knows is in memory."""

    def __init__(self, house: WalletHouse, groups: Groups, life: Life) -> None:
        self._house = house
        self._groups = groups
        self._seed = house.around.chain.unique("fresh wallet")
        self._round = 0
        self._group = ""
        self._is_up = True
        #: As :class:`escrowd.service.keying.ports.FreshWallet`.
        self.client: Final = MoneroClient(SimulatedTransport(self, house.around.faults, life))
        self.password: Final = Secret("password")

    @property
    def place(self) -> Place:
        """It is a wallet process."""
        return Place.WALLET

    @property
    def is_up(self) -> bool:
        """Whether it accepts calls."""
        return self._is_up

    def die(self) -> None:
        """End, and lose everything."""
        self._is_up = False

    def answer(self, method: str) -> Answer:
        """Return who answers the method."""
        return cast("Answer", getattr(self, method))

    def prepare_multisig(self, _params: Params) -> PreparedMultisig:
        """Give the first message."""
        return PreparedMultisig(Secret(_padded(f"MultisigxV2R1{_base58(self._seed)}", 189)))

    def make_multisig(self, params: Params) -> MultisigRound:
        """Take the others' first messages, and give the second."""
        infos = [each.reveal() for each in cast("Sequence[Secret]", params["multisig_info"])]
        if self._round or len(set(infos)) != 2 or not all(each.startswith("MultisigxV2R1") for each in infos):
            raise MultisigRefused("make_multisig", -1, _DUPLICATE if len(set(infos)) < len(infos) else _NOT_MADE)
        own = self.prepare_multisig(params).multisig_info.reveal()
        self._group = self._groups.name([*infos, own])
        return self._next_round(PLACEHOLDER)

    def exchange_multisig_keys(self, params: Params) -> MultisigRound:
        """Take the others' messages of the round before. After the second time it is ready."""
        infos = [each.reveal() for each in cast("Sequence[Secret]", params["multisig_info"])]
        expected = f"MultisigxV2Rn{_base58(digest(self._group, self._round))}"
        if not all(each.startswith(expected) for each in infos) or len(set(infos)) != 2:
            raise MultisigRefused("exchange_multisig_keys", -1, "Failed to exchange")
        return self._next_round("")

    def is_multisig(self, _params: Params) -> MultisigStatus:
        """Tell whether it is ready."""
        if not self._round:
            return MultisigStatus(multisig=False, ready=False, threshold=0, total=0)
        return MultisigStatus(multisig=True, ready=self._round == 3, threshold=2, total=3)

    def get_address(self, _params: Params) -> Addresses:
        """Tell the address, which means something only when it is ready."""
        return Addresses(address(self._group) if self._round == 3 else PLACEHOLDER)

    def query_key(self, _params: Params) -> QueriedKey:
        """Tell the view key."""
        return QueriedKey(view_key(self._group))

    def _next_round(self, shown: str) -> MultisigRound:
        self._round += 1
        message = f"MultisigxV2Rn{_base58(digest(self._group, self._round))}{_base58(self._seed)}"
        # A message comes after the last round, too.
        return MultisigRound(address(self._group) if self._round == 3 else shown, Secret(_padded(message, 236)))


class SimulatedWorkshop:
    """Makes fresh wallets, and turns ready ones into wallets of the house."""

    def __init__(self, house: WalletHouse, groups: Groups, node: int, life: Life) -> None:
        self._house = house
        self._groups = groups
        self._node = node
        self._life = life

    async def make(self, escrow: EscrowId, roles: tuple[WalletRole, ...]) -> "SimulatedFreshWallets":
        """Make wallets that nobody ever had."""
        self._life.check()
        made = {role: FreshWalletProcess(self._house, self._groups, self._life) for role in roles}
        return SimulatedFreshWallets(self._house, escrow, (self._node, self._life), made)

    async def withdraw(self, escrow: EscrowId) -> None:
        """Put the wallet files of an escrow aside."""
        self._life.check()
        for key in [each for each in self._house.processes if each[1] == escrow]:
            self._house.kill(key)
        for key in [each for each in self._house.files if each[1] == escrow]:
            del self._house.files[key]
        self._house.addresses.pop(escrow, None)


class SimulatedFreshWallets:
    """The wallets of one attempt."""

    def __init__(
        self,
        house: WalletHouse,
        escrow: EscrowId,
        where: tuple[int, Life],
        wallets: Mapping[WalletRole, FreshWalletProcess],
    ) -> None:
        self._house = house
        self._escrow = escrow
        self._node, self._life = where
        self._wallets = wallets

    def wallet(self, role: WalletRole) -> FreshWalletProcess:
        """Return the wallet of a role."""
        return self._wallets[role]

    async def keep(self, address: str) -> tuple[HostedKey, ...]:
        """Make the wallets last, and leave them open. Raises ProcessLost where one is gone."""
        self._life.check()
        if not all(each.is_up for each in self._wallets.values()):
            raise ProcessLost("a fresh wallet is gone")
        self._house.make(self._escrow, address)
        for role in self._wallets:
            key = (self._node, self._escrow, role)
            process = self._house.processes[key] = WalletProcess(self._house, key, self._life)
            process.rpc.wallet = SimulatedWallet(self._escrow, role, address)
            self._house.write(key, process.rpc.wallet)
        return tuple(HostedKey(role, f"{self._escrow}-{role}", "sealed", "sealed") for role in self._wallets)

    async def drop(self) -> None:
        """End the processes."""
        for each in self._wallets.values():
            each.die()


class MemoryKeyingJournal:
    """The journal of set-ups over the in-memory store."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def load(self, escrow: EscrowId) -> KeyingRecord | None:
        """Return the current attempt."""
        async with self._store.transaction() as tx:
            return tx.tables.keyings.get(escrow)

    async def begin(self, escrow: EscrowId, number: int, restore_height: int, why: str) -> None:
        """Begin an attempt. Raises StaleAttempt."""
        async with self._store.transaction() as tx:
            current = tx.tables.keyings.get(escrow)
            expected = current.number + 1 if current is not None else 1
            if number != expected or (current is not None and current.keys is not None):
                raise StaleAttempt(f"attempt {number} at the keys of {escrow} cannot begin now")
            tx.tables.keyings[escrow] = KeyingRecord(number, restore_height, why)

    async def store(self, escrow: EscrowId, number: int, messages: Mapping[MessageKey, str]) -> None:
        """Add messages, all or none. Raises StaleAttempt, MessageConflict."""
        async with self._store.transaction() as tx:
            record = _current(tx.tables.keyings, escrow, number)
            if set(messages) & set(record.messages):
                raise MessageConflict
            together = MappingProxyType({**record.messages, **messages})
            tx.tables.keyings[escrow] = replace(record, messages=together)

    async def finish(self, escrow: EscrowId, number: int, keys: KeySet) -> None:
        """Store the keys and what the watcher needs of them. Raises StaleAttempt."""
        async with self._store.transaction() as tx:
            current = tx.tables.keyings.get(escrow)
            if current is not None and (current.number, current.keys) == (number, keys):
                return
            tx.tables.keyings[escrow] = replace(_current(tx.tables.keyings, escrow, number), keys=keys)
            tx.tables.wallet_sets[escrow] = WalletSet(escrow, keys.address, keys.sealed_view_key, keys.restore_height)


# ---------------------------------------------------------------------------------------------------------------------


_NOT_MADE: Final = "Failed to make multisig"
_DUPLICATE: Final = "Duplicate signers not allowed when converting a wallet to multisig."


def _base58(digits: str) -> str:
    """Return hexadecimal digits in the alphabet of the real messages, which has no zero."""
    return digits.replace("0", "z")


def _padded(message: str, length: int) -> str:
    return message.ljust(length, "1")


def _current(keyings: Mapping[EscrowId, KeyingRecord], escrow: EscrowId, number: int) -> KeyingRecord:
    record = keyings.get(escrow)
    if record is None or record.number != number or record.keys is not None:
        raise StaleAttempt(f"attempt {number} at the keys of {escrow} is not the current one")
    return record
