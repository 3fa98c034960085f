"""The open wallets of one escrow, and the lease through which they are used."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from escrowd.domain.errors import EscrowdError
from escrowd.domain.identifiers import EscrowId
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.results_wallet import Balance
from escrowd.monero.wallet import MoneroClient
from escrowd.wallets.errors import ProcessLost, RoleNotHosted
from escrowd.wallets.records import WalletRecord
from escrowd.wallets.server import FencedTransport, WalletServer
from escrowd.wallets.submissions import SubmissionRecorder

#: What is wrong with which wallet of a session.
Faults = dict[WalletRole, EscrowdError]


@dataclass(frozen=True, slots=True)
class Tip:
    """The end of the chain as the daemon knows it."""

    height: int
    block_hash: str


class TipSource(Protocol):
    """Who knows the end of the chain."""

    async def tip(self) -> Tip:
        """Return the tip that the daemon has now.

        Raises:
            MoneroError: the daemon did not say.

        """
        ...


class Refresh(StrEnum):
    """When a balance is asked for: whether the wallet first looks at the chain."""

    #: If the tip has moved since this wallet last looked. What is only in the pool may be missing.
    IF_TIP_MOVED = "if_tip_moved"
    #: In any case, pool included.
    ALWAYS = "always"


@dataclass(slots=True)
class OpenWallet:
    """One wallet, open in one process."""

    record: WalletRecord
    server: WalletServer
    #: The tip that the wallet has seen at its last refresh through us; ``None`` when unknown, as after adoption.
    seen_tip: Tip | None = None


@dataclass(slots=True)
class WalletSession:
    """The hosted wallets of one escrow, open.

    ``wallets`` lacks a role whose wallet broke or did not open. It is opened again for whoever wants it next.
    """

    escrow: EscrowId
    records: Mapping[WalletRole, WalletRecord]
    wallets: dict[WalletRole, OpenWallet] = field(default_factory=dict)

    def wallet(self, role: WalletRole) -> OpenWallet:
        """Return the open wallet of a role.

        Raises:
            RoleNotHosted: this service keeps no wallet of that role.
            ProcessLost: it should be open and is not.

        """
        if role not in self.records:
            hosted = ", ".join(self.records)
            raise RoleNotHosted(f"{self.escrow} has no hosted wallet of the {role}; hosted here: {hosted}")
        if role not in self.wallets:
            raise ProcessLost(f"the {role}'s wallet of {self.escrow} is not open")
        return self.wallets[role]

    async def faults(self, roles: Sequence[WalletRole], timeout: float) -> Faults:
        """Verify the wallets of these roles, all at once, and return what is wrong with those that fail.

        ``timeout`` is how many seconds a healthy wallet may take to say who it is.
        """
        answers = await asyncio.gather(*(self._fault(role, timeout) for role in roles))
        return {role: fault for role, fault in zip(roles, answers, strict=True) if fault is not None}

    def raise_fences(self) -> None:
        """Make every lease given out so far stale."""
        for wallet in self.wallets.values():
            wallet.server.raise_fence()

    async def _fault(self, role: WalletRole, timeout: float) -> EscrowdError | None:
        try:
            async with asyncio.timeout(timeout):
                await self.wallet(role).server.verify()
        except TimeoutError:
            return ProcessLost(f"the {role}'s wallet of {self.escrow} did not say in {timeout:g} s who it is")
        except EscrowdError as fault:
            return fault
        return None


class Opener(Protocol):
    """What the manager needs of who opens wallets (:class:`escrowd.wallets.opening.SessionOpener`)."""

    async def open(self, escrow: EscrowId) -> WalletSession:
        """Open the hosted wallets of an escrow; one of several that does not open is left out."""
        ...

    async def repair(self, session: WalletSession, faults: Faults) -> WalletSession:
        """Open the wallets of these roles again."""
        ...

    async def close(self, session: WalletSession) -> None:
        """Save and close all wallets of a session."""
        ...

    async def leave(self, session: WalletSession) -> None:
        """Save the wallets and leave them open for the next start."""
        ...


class SessionLease:
    """The right to use an escrow's wallets, for one holder at a time, until the ``async with`` block ends.

    The wallets of ``roles`` were verified when the lease began; only they can be had. After its end every call through
    it is refused.
    """

    def __init__(self, session: WalletSession, tips: TipSource, roles: Sequence[WalletRole]) -> None:
        self.escrow = session.escrow
        self._session = session
        self._tips = tips
        self._fences = {role: session.wallet(role).server.raise_fence() for role in roles}

    @property
    def roles(self) -> tuple[WalletRole, ...]:
        """The roles whose wallets this lease is for."""
        return tuple(self._fences)

    @property
    def lost(self) -> frozenset[WalletRole]:
        """The roles of this lease whose wallet processes cannot be used any more."""
        return frozenset(role for role in self._fences if not self._session.wallet(role).server.is_trusted)

    def wallet(self, role: WalletRole) -> MoneroClient:
        """Return the client of a role's wallet, good for as long as the lease.

        Raises:
            RoleNotHosted: the lease is not for this role.

        """
        if role not in self._fences:
            raise RoleNotHosted(f"this lease of {self.escrow} is for {', '.join(self._fences)}, not for the {role}")
        server = self._session.wallet(role).server
        return MoneroClient(FencedTransport(server, self._fences[role]))

    async def balance(self, role: WalletRole, refresh: Refresh = Refresh.IF_TIP_MOVED) -> Balance:
        """Return what a role's wallet knows of its money, after a look at the chain where one is due.

        A balance is what one wallet believes. It moves nothing and proves nothing; see the chain for facts.

        Raises:
            StaleLease: the lease has ended.
            MoneroError: the daemon or the wallet did not answer.

        """
        wallet = self._session.wallet(role)
        client = self.wallet(role)
        # Asked before the refresh: a block that comes in between makes the next call refresh again, never skip.
        tip = await self._tips.tip()
        if refresh is Refresh.ALWAYS or wallet.seen_tip != tip:
            await client.refresh()
            wallet.seen_tip = tip
        return await client.get_balance()

    async def submitted(self, role: WalletRole, signed: Secret, txids: Collection[str]) -> Mapping[str, str]:
        """Return the bytes, hex, by id of the transactions that a role's wallet would send. Nothing is sent.

        ``txids`` are those of the signed set. A transaction that the wallet does not hand over is missing.

        Afterwards the wallet takes them for sent, and their outputs for spent.

        Raises:
            MultisigRefused: the wallet does not take the set, though it may be good: see
                :mod:`escrowd.wallets.submissions`.
            MoneroError, StaleLease: the wallet did not answer.

        """
        wallet, server = self.wallet(role), self._session.wallet(role).server
        async with self._recorder(txids) as recorder:
            try:
                await wallet.set_daemon(recorder.endpoint)
                await wallet.submit_multisig(signed)
            finally:
                await _return_to_daemon(wallet, server)
            return recorder.recorded

    def _recorder(self, txids: Collection[str]) -> AbstractAsyncContextManager[SubmissionRecorder]:
        return SubmissionRecorder.listen(txids)

    async def store(self) -> None:
        """Save the wallets of this lease to disk.

        Raises:
            WalletNotSaved: the disk is full or not writable; nothing is lost yet.

        """
        # Not a TaskGroup: that would raise a group of errors, which nobody who expects one of ours catches.
        answers = await asyncio.gather(*(self.wallet(role).store() for role in self._fences), return_exceptions=True)
        for answer in answers:
            if answer is not None:
                raise answer


# ---------------------------------------------------------------------------------------------------------------------


async def _return_to_daemon(wallet: MoneroClient, server: WalletServer) -> None:
    """Give a wallet its daemon back. One that keeps the recorder's address would never see the chain again."""
    if not server.is_trusted:
        return  # a call before this one was lost, and has ended the process
    try:
        await asyncio.shield(wallet.set_daemon(server.daemon))
    except BaseException as error:
        server.condemn(f"its daemon could not be set again: {type(error).__name__}")
        raise
