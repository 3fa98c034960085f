"""The raw side of a comparison: what a careful caller does with the wallet RPC alone, and no manager."""

import asyncio
import os
from collections.abc import Mapping
from typing import Self

from escrowd.bench.sampling import seconds_of
from escrowd.domain.parties import WalletRole
from escrowd.monero.results_wallet import Balance
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from escrowd.testing.wallet_sets import WalletSet, install


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


class RawSession:
    """Three wallet processes that run and the wallets of one address for them. No lease, no check, no fence."""

    def __init__(self, wallets: WalletSet, clients: Mapping[WalletRole, MoneroClient]) -> None:
        self.wallets = wallets
        self.clients = clients

    @classmethod
    async def start(cls, lab: RegtestLab, kept: WalletSet, name: str = "raw") -> Self:
        """Start the processes over fresh copies of a kept set, in a directory of this name. They end with the lab."""
        directory = lab.directory / name / "wallets"
        directory.mkdir(mode=0o700, parents=True)
        processes = {role: await lab.start_wallet_process(directory) for role in kept.wallets}
        return cls(install(kept, directory), {role: process.client for role, process in processes.items()})

    async def open(self) -> tuple[float, ...]:
        """Open the three wallets, one per core at a time; return how many seconds each call took."""
        core = asyncio.Semaphore(cores())

        async def open_one(role: WalletRole) -> float:
            kept = self.wallets.wallets[role]
            async with core:
                return await seconds_of(lambda: self.clients[role].open_wallet(kept.filename, kept.password))

        return tuple(await asyncio.gather(*(open_one(role) for role in self.clients)))

    async def close(self) -> None:
        """Save and close the three wallets."""
        await asyncio.gather(*(client.close_wallet() for client in self.clients.values()))

    async def address(self, role: WalletRole) -> str:
        """Ask one wallet for its address: the cheapest way to see that it is there."""
        return await self.clients[role].get_address()

    async def addresses(self) -> list[str]:
        """Ask all three wallets for their address, at once."""
        return await asyncio.gather(*(client.get_address() for client in self.clients.values()))

    async def balance(self, role: WalletRole) -> Balance:
        """Ask one wallet for what it holds, as it knows it."""
        return await self.clients[role].get_balance()

    async def refreshed_balance(self, role: WalletRole) -> Balance:
        """Let one wallet look at the chain, then ask it for what it holds."""
        await self.clients[role].refresh()
        return await self.balance(role)
