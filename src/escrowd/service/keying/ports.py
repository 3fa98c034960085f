"""What the set-up of keys needs of others: a journal of its messages, and participants who answer them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from escrowd.domain.escrow.terms import Custody
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.keying import HostedKey, KeyingAttempt, KeyingRecord, KeyingRound, KeySet, MessageKey
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.wallet import MoneroClient

#: Asks the daemon how many blocks the chain has. Raises MoneroError where it does not answer.
DaemonHeight = Callable[[], Awaitable[int]]


class KeyingJournal(Protocol):
    """Where set-ups are stored. Each call is one transaction."""

    async def load(self, escrow: EscrowId) -> KeyingRecord | None:
        """Return the current attempt, the one with the highest number, or ``None`` before the first."""
        ...

    async def begin(self, escrow: EscrowId, number: int, restore_height: int, why: str) -> None:
        """Begin the attempt with this number. The ones before it take no more messages, and are never finished.

        Raises:
            StaleAttempt: the current attempt is not the one before this, or is finished.

        """
        ...

    async def store(self, escrow: EscrowId, number: int, messages: Mapping[MessageKey, str]) -> None:
        """Add sealed messages to the current attempt: all of them or none.

        Raises:
            StaleAttempt: this attempt is not the current one, or is finished.
            MessageConflict: there is a message of one of these rounds and roles. It stays.

        """
        ...

    async def finish(self, escrow: EscrowId, number: int, keys: KeySet) -> None:
        """Store the keys and the records of the hosted wallets. Finishing with the same keys again changes nothing.

        Raises:
            StaleAttempt: this attempt is not the current one, or was finished with other keys.

        """
        ...


class Sealer(Protocol):
    """Seals what is stored (:class:`escrowd.wallets.vault.Vault`)."""

    def seal(self, secret: Secret, purpose: str) -> str:
        """Seal a secret for one purpose."""
        ...

    def unseal(self, sealed: str, purpose: str) -> Secret:
        """Return the secret that was sealed for this purpose."""
        ...


class Participant(Protocol):
    """The holder of one of the three keys."""

    @property
    def role(self) -> WalletRole:
        """Which key it holds."""
        ...

    @property
    def custody(self) -> Custody:
        """Whether this service drives it."""
        ...

    async def answer(self, due: KeyingRound, attempt: KeyingAttempt) -> Secret | None:
        """Return its message of the round that is due, or ``None``: it comes from outside, some time."""
        ...


class FreshWallet(Protocol):
    """A wallet that was made a moment ago, and is open in a process of its own."""

    @property
    def client(self) -> MoneroClient:
        """The client of its process. After a call whose outcome is unknown it is good for nothing more."""
        ...

    @property
    def password(self) -> Secret:
        """The password of its file."""
        ...


class FreshWallets(Protocol):
    """The hosted wallets of one attempt."""

    def wallet(self, role: WalletRole) -> FreshWallet:
        """Return the wallet of a role."""
        ...

    async def keep(self, address: str) -> tuple[HostedKey, ...]:
        """Make ready wallets last: stored, forced to the medium, backed up; and lend them to sessions from now on.

        Raises:
            EscrowdError: they may not last, so the address must not be used.

        """
        ...

    async def drop(self) -> None:
        """End their processes without saving anything. Their files stay."""
        ...


class WalletWorkshop(Protocol):
    """Who makes hosted wallets (:class:`escrowd.wallets.making.WalletMaker`)."""

    async def make(self, escrow: EscrowId, roles: tuple[WalletRole, ...]) -> FreshWallets:
        """Make wallets under names that no file ever had, and open them.

        Raises:
            EscrowdError: not all could be made; none is open.

        """
        ...

    async def withdraw(self, escrow: EscrowId) -> None:
        """Close the session of an escrow whose keys do not count, and put its wallet files aside."""
        ...
