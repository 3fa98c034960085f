"""The wallet that pays on the private chain: all its money was mined there and is worth nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from escrowd.domain.secret import Secret
from escrowd.monero.errors import DaemonNotReady
from escrowd.monero.results_wallet import Recipient
from escrowd.monero.wallet import MoneroClient
from escrowd.wallets.process import WalletProcess

#: Public, so worthless: anybody can spend what this wallet has on any chain.
WORTHLESS_SEED: Final = Secret(
    "huge goblet muffin madness cadets blip visited goat across fight inline insult poverty gourmet extra biggest "
    "wrist orders heels apricot vein onion mullet napkin across"
)
FUNDER_ADDRESS: Final = (
    "4Azrimk94DTEBDuCd4a24TLNmiFpaUBwUR6Qq2c2gqf6iMtGkizkxz5UgdGKfyytmGMPbPKvDP8wUc5sFhCgqnQkU6MW1aW"
)
FUNDER_FILE: Final = "funder"
FUNDER_PASSWORD: Final = Secret("worthless")
#: A transaction has at most 16 outputs, and one is the change.
MOST_RECEIVERS: Final = 15


class Funder:
    """Pays from the wallet in ``wallet_dir``.

    Opening a wallet takes seconds, so its process starts with the first payment. ``start_process`` starts one, and
    whoever gave it ends what it has started.
    """

    def __init__(self, start_process: Callable[[], Awaitable[WalletProcess]]) -> None:
        self._start_process = start_process
        self._client: MoneroClient | None = None
        self._turn = asyncio.Lock()

    async def pay(self, payments: Sequence[Recipient]) -> tuple[str, ...]:
        """Pay each address its amount, in piconero; return for each payment the id of its transaction.

        Payments go together in as few transactions as they fit in. Nothing is mined.

        Raises:
            NotEnoughMoney: too much of the money is change that still waits for its ten blocks: mine some.

        """
        async with self._turn:
            client = await self._opened()
            try:
                await client.refresh()
            except DaemonNotReady:
                # 0.18.0.0 answers so to the first call after its daemon was started anew (measured).
                await client.refresh()
            txids: list[str] = []
            for first in range(0, len(payments), MOST_RECEIVERS):
                part = payments[first : first + MOST_RECEIVERS]
                built = await client.transfer(part)
                txids += [built.tx_hash] * len(part)
            return tuple(txids)

    async def _opened(self) -> MoneroClient:
        if self._client is None:
            client = (await self._start_process()).client
            await client.open_wallet(FUNDER_FILE, FUNDER_PASSWORD)
            self._client = client
        return self._client
