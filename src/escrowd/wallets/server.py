"""One monero-wallet-rpc, however it came to be, and the fence in front of it.

A server answers one call at a time and holds at most one wallet. Every use of it goes through a lease, and each lease
gets a fencing token; a call with an older token is refused here, before it reaches the process.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self, TypeVar

import structlog
from typing_extensions import override

from escrowd.monero.errors import (
    WALLET_REFUSALS,
    AttributeNotFound,
    LoginRefused,
    NoWalletOpen,
    OutcomeUnknown,
    Refused,
    ReplyLost,
    RubbishReply,
    Unreachable,
)
from escrowd.monero.methods import Method
from escrowd.monero.transport import Connections, Endpoint, HttpTransport, Transport
from escrowd.monero.wallet import MoneroClient
from escrowd.wallets.errors import ProcessLost, StaleLease, WrongWallet
from escrowd.wallets.registry import Holding

log = structlog.get_logger()

ResultT = TypeVar("ResultT")

#: The wallet attribute that names the wallet file. The three wallets of an escrow share one address, so the address
#: alone would not tell the buyer's wallet from the vendor's.
WALLET_ATTRIBUTE: Final = "escrowd.wallet"

#: A wallet that has read more than 100 blocks of a branch which is gone refuses every refresh from then on
#: (``handle_reorg``, ``m_max_reorg_depth``). Only its cache knows that branch.
_CANNOT_FOLLOW: Final = "reorg exceeds maximum allowed depth"

#: After one of these the state of the process is unknown, and it is never used again.
_TRUST_ENDS_WITH: Final = (OutcomeUnknown, ReplyLost, RubbishReply, LoginRefused, Unreachable)


class WalletServer(ABC):
    """A monero-wallet-rpc that this service may use.

    Mutable: ``holding``, ``fence`` and ``fault``, changed only by the owner of the server (the pool while it is idle,
    the session while it holds a wallet).
    """

    def __init__(self, name: str, endpoint: Endpoint, transport: Transport, daemon: Endpoint) -> None:
        self.name = name
        self.endpoint = endpoint
        #: The daemon that its wallets use.
        self.daemon = daemon
        self.transport = transport
        #: For the owner's own calls, which no lease covers: open, check, close.
        self.client = MoneroClient(transport)
        self.holding: Holding | None = None
        self.fence = 0
        #: Held by the call of a lease from the check of its fence to its reply.
        self.turn = asyncio.Lock()
        self.fault: str | None = None
        #: Why the cache of the wallet open here is no good any more: it is to be made anew. Empty while it is good.
        self.spoiled_cache = ""

    @property
    @abstractmethod
    def is_alive(self) -> bool:
        """Whether the process behind it still runs, as far as can be told without asking it."""

    @property
    def is_trusted(self) -> bool:
        """Whether it may be used: alive, and never seen in a state that we cannot know."""
        return self.fault is None and self.is_alive

    @property
    def kept_log(self) -> Path | None:
        """Where the log of the process lies after it was condemned and has ended; ``None`` where it is not ours."""
        return None

    @abstractmethod
    async def end(self, patience: float) -> None:
        """End the process kindly: it saves the wallet that it holds. Killed after ``patience`` seconds."""

    @abstractmethod
    def condemn(self, reason: str) -> None:
        """Never use this server again, and stop what it is doing at once.

        A call whose reply was lost may still run, and may sign late; only the end of its process ends it.
        """

    def hold(self, holding: Holding | None) -> None:
        """Note which wallet is open here; ``None`` for none."""
        self.holding = holding

    def raise_fence(self) -> int:
        """Make all leases given out so far stale, and return the token of the next one."""
        self.fence += 1
        return self.fence

    async def verify(self) -> None:
        """Check that the process is ours and that the wallet open in it is the one it should hold.

        Raises:
            ProcessLost: the process ended or cannot be trusted.
            WrongWallet: another wallet, or none, is open in it.
            MoneroError: it did not answer.

        """
        if not self.is_trusted:
            raise ProcessLost(f"wallet process {self.name}: {self.fault or 'it has ended'}")
        expected = self.holding
        if expected is None:
            raise WrongWallet(f"wallet process {self.name} should hold no wallet")
        try:
            filename = await self.client.get_attribute(WALLET_ATTRIBUTE)
            address = await self.client.get_address()
        except (NoWalletOpen, AttributeNotFound) as error:
            raise WrongWallet(f"wallet process {self.name} should hold {expected.filename}: {error.reason}") from error
        if (filename, address) != (expected.filename, expected.address):
            raise WrongWallet(f"wallet process {self.name} should hold {expected.filename} and holds {filename}")


class FencedTransport:
    """The transport of one lease on one server: calls through while the lease lasts, refuses afterwards."""

    def __init__(self, server: WalletServer, fence: int) -> None:
        self._server = server
        self._fence = fence

    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        """Call the method if this lease is the newest one.

        Raises:
            StaleLease: the lease has ended.
            ProcessLost: the server was condemned.
            MoneroError: see :meth:`escrowd.monero.transport.HttpTransport.call`.

        """
        async with self._server.turn:
            # Checked when the call's turn has come: the lease may have ended while it waited for the one before it.
            self._check(method)
            return await self._send(method, params, result)

    def _check(self, method: Method) -> None:
        server = self._server
        if self._fence != server.fence:
            raise StaleLease(f"{method.name} came with fence {self._fence}, and {server.name} is at {server.fence}")
        if not server.is_trusted:
            raise ProcessLost(f"wallet process {server.name}: {server.fault or 'it has ended'}")

    async def _send(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        try:
            return await self._server.transport.call(method, params, result)
        except _TRUST_ENDS_WITH as error:
            self._server.condemn(str(error))
            raise
        except Refused as error:
            if _CANNOT_FOLLOW in error.reason:
                self._server.spoiled_cache = error.reason
                self._server.condemn(str(error))
            raise
        except asyncio.CancelledError:
            if method.changes_state:
                self._server.condemn(f"{method.name} was cancelled before its reply")
            raise


class AttachedServer(WalletServer):
    """A monero-wallet-rpc that the operator runs. It is used, and never started or stopped.

    Its ``--wallet-dir`` must be the service's own, and its auto refresh off or slow.
    """

    @classmethod
    def at(cls, connections: Connections, endpoint: Endpoint, daemon: Endpoint) -> Self:
        """Use the server that listens there, and that was started for this daemon."""
        transport = HttpTransport(connections, endpoint, WALLET_REFUSALS, one_at_a_time=True)
        return cls(f"attached-{endpoint.host}:{endpoint.port}", endpoint, transport, daemon)

    @property
    @override
    def is_alive(self) -> bool:
        return True

    @override
    async def end(self, patience: float) -> None:
        return None

    @override
    def condemn(self, reason: str) -> None:
        log.error("server.condemned", server=self.name, url=self.endpoint.url, reason=reason)
        self.fault = reason
        self.raise_fence()
