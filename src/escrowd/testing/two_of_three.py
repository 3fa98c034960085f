"""The set-up of a 2-of-3 wallet by raw RPC, as three strangers would do it: no service, nothing hidden."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.wallet import MoneroClient

ResultT = TypeVar("ResultT")

THRESHOLD: Final = 2
TOTAL: Final = 3
#: Rounds of key exchange that a 2-of-3 wallet needs after ``make_multisig``.
EXCHANGES: Final = 2

Clients = Mapping[WalletRole, MoneroClient]
Passwords = Mapping[WalletRole, Secret]


class NotTwoOfThree(EscrowdError):
    """The three wallets did not become one 2-of-3 wallet."""

    fault = Fault.MONERO


async def make_two_of_three(clients: Clients, passwords: Passwords) -> str:
    """Turn three fresh wallets into one 2-of-3 wallet and return its address.

    Each client holds its role's wallet open, just made; each password is the one of that wallet's file. The three do
    each round at the same time. The wallets stay open, and are saved.

    Raises:
        NotTwoOfThree: a wallet is not ready as 2 of 3, or has another address than the others.
        MoneroError: a call failed.

    """
    infos = await _each_role(lambda role: clients[role].prepare_multisig())

    async def make(role: WalletRole) -> Secret:
        return (await clients[role].make_multisig(_others(infos, role), THRESHOLD, passwords[role])).multisig_info

    async def exchange(role: WalletRole) -> Secret:
        return (await clients[role].exchange_multisig_keys(_others(infos, role), passwords[role])).multisig_info

    infos = await _each_role(make)
    for _ in range(EXCHANGES):
        infos = await _each_role(exchange)
    addresses = await _each_role(lambda role: checked_address(clients[role]))
    if len(set(addresses.values())) != 1:
        raise NotTwoOfThree(f"the three wallets have different addresses: {sorted(addresses.values())}")
    return addresses[WalletRole.BUYER]


async def checked_address(client: MoneroClient) -> str:
    """Return the address of the open wallet once it is sure that it is one.

    An address alone proves nothing: ``make_multisig`` answers with one before the keys exist.

    Raises:
        NotTwoOfThree: the wallet is not ready as 2 of 3.

    """
    status = await client.is_multisig()
    if not (status.multisig and status.ready and (status.threshold, status.total) == (THRESHOLD, TOTAL)):
        raise NotTwoOfThree(f"a wallet is no ready 2-of-3 wallet: {status}")
    return await client.get_address()


# ---------------------------------------------------------------------------------------------------------------------


async def _each_role(do: Callable[[WalletRole], Awaitable[ResultT]]) -> dict[WalletRole, ResultT]:
    results = await asyncio.gather(*(do(role) for role in WalletRole))
    return dict(zip(WalletRole, results, strict=True))


def _others(infos: Mapping[WalletRole, Secret], role: WalletRole) -> list[Secret]:
    return [info for other, info in infos.items() if other is not role]
