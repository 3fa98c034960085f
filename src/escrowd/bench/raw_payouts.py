"""The raw side of a payout and of a set-up: what a careful caller does with the wallet RPC alone."""

import asyncio
from typing import Final

from escrowd.bench.raw_calls import RawSession
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.lab import RegtestLab
from escrowd.testing.two_of_three import make_two_of_three
from escrowd.wallets.process import WalletProcess

#: Who builds, and who completes.
PROPOSER: Final = WalletRole.BUYER
COSIGNER: Final = WalletRole.VENDOR


async def sync_and_sweep(session: RawSession, address: str) -> None:
    """Pay all of a wallet to an address: export, import, sweep, describe, sign, submit, and each wallet stored."""
    proposer, cosigner = session.clients[PROPOSER], session.clients[COSIGNER]
    await asyncio.gather(proposer.refresh(), cosigner.refresh())
    ours, theirs = await asyncio.gather(proposer.export_multisig_info(), cosigner.export_multisig_info())
    await _store(proposer, cosigner)
    await asyncio.gather(proposer.import_multisig_info([theirs]), cosigner.import_multisig_info([ours]))
    built = await proposer.sweep_all(address)
    await proposer.store()
    await cosigner.describe_transfer(multisig_txset=built.multisig_txset)
    signed = await cosigner.sign_multisig(built.multisig_txset)
    await cosigner.store()
    await cosigner.submit_multisig(signed.tx_data_hex)


class RawSetUp:
    """Three wallet processes in which one 2-of-3 wallet after the other is made."""

    def __init__(self, processes: dict[WalletRole, WalletProcess]) -> None:
        self._processes = processes
        self._number = 0

    @classmethod
    async def start(cls, lab: RegtestLab) -> "RawSetUp":
        """Start the processes. They end with the lab."""
        return cls({role: await lab.start_wallet_process() for role in WalletRole})

    async def make(self) -> str:
        """Make three wallets at the same time, and one address of them; return it."""
        self._number += 1
        passwords = dict.fromkeys(WalletRole, Secret("worthless"))
        clients = {role: process.client for role, process in self._processes.items()}
        await asyncio.gather(
            *(client.create_wallet(f"{role}-{self._number}", passwords[role]) for role, client in clients.items())
        )
        return await make_two_of_three(clients, passwords)


# ---------------------------------------------------------------------------------------------------------------------


async def _store(*clients: MoneroClient) -> None:
    await asyncio.gather(*(client.store() for client in clients))
