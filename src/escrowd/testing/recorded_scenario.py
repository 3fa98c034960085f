"""The calls whose replies are recorded: from three fresh wallets to payouts, with the refusals on the way.

The same calls go to real servers, for a recording, and to the simulated ones, which must answer alike. Sections follow
each other on one chain; those that only real wallets can play stand in a table of their own.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.monero.daemon import MoneroDaemon
from escrowd.monero.errors import Refused
from escrowd.monero.methods import WALLET_METHODS
from escrowd.monero.results_signing import BuiltTransaction
from escrowd.monero.results_wallet import IncomingKind, Recipient
from escrowd.monero.transport import Transport
from escrowd.monero.wallet import MoneroClient
from escrowd.testing.recorded_replies import Recorder

ResultT = TypeVar("ResultT")
Clients = Mapping[WalletRole, MoneroClient]

BUYER, VENDOR, ARBITER = WalletRole.BUYER, WalletRole.VENDOR, WalletRole.ARBITER
XMR: Final = 10**12
PASSWORD: Final = Secret("password of a recording")


class Ground(Protocol):
    """Where the calls are made: real servers of one release, or simulated ones."""

    @property
    def recorder(self) -> Recorder:
        """What the calls are recorded with."""
        ...

    @property
    def daemon(self) -> MoneroDaemon:
        """The client of the daemon, recorded."""
        ...

    @property
    def payees(self) -> Sequence[str]:
        """Addresses of three strangers."""
        ...

    def transport(self, server: str) -> Transport:
        """Return the recorded transport of a wallet role, or of ``daemon``."""
        ...

    async def fresh_wallets(self) -> Clients:
        """Return the three wallets before the key ceremony, each freshly made."""
        ...

    async def ready_wallets(self) -> Clients:
        """Return them after it."""
        ...

    async def without_cache(self, role: WalletRole) -> MoneroClient:
        """Return the wallet of a role opened anew from its keys alone."""
        ...

    async def submit(self, client: MoneroClient, txset: Secret) -> Sequence[str]:
        """Let a wallet submit a signed set to the daemon; return the ids of its transactions."""
        ...

    async def pay(self, amount: int) -> None:
        """Let a stranger pay the shared address. Nothing is mined."""
        ...

    async def mine(self, blocks: int) -> None:
        """Mine blocks with all of the pool."""
        ...

    async def stop_daemon(self) -> None:
        """Let the daemon be away."""
        ...

    async def start_daemon(self) -> None:
        """Bring it back."""
        ...


async def tried(call: Awaitable[ResultT]) -> ResultT | None:
    """Return what a call gives, or ``None`` where it is refused: either is recorded."""
    try:
        return await call
    except Refused:
        return None


async def synchronise(*clients: MoneroClient) -> None:
    """Exchange key images and nonces among these wallets."""
    for client in clients:
        await client.refresh()
    infos = [await client.export_multisig_info() for client in clients]
    for own, client in enumerate(clients):
        await client.import_multisig_info([info for other, info in enumerate(infos) if other != own])


# --- sections --------------------------------------------------------------------------------------------------------


async def key_ceremony(ground: Ground) -> None:
    """Make one 2-of-3 wallet out of three fresh wallets."""
    step = ground.recorder.step
    clients = await ground.fresh_wallets()

    def of_others(messages: Mapping[WalletRole, Secret], own: WalletRole) -> list[Secret]:
        return [message for role, message in messages.items() if role is not own]

    with step("before the key ceremony"):
        await clients[BUYER].is_multisig()
    with step("first messages"):
        infos = {role: await client.prepare_multisig() for role, client in clients.items()}
    with step("first messages doubled"):
        await tried(clients[BUYER].make_multisig([infos[VENDOR], infos[VENDOR]], 2, PASSWORD))
    for number, name in enumerate(("make", "first exchange", "second exchange")):
        made: dict[WalletRole, Secret] = {}
        with step(name):
            for role, client in clients.items():
                others = of_others(infos, role)
                call = (
                    client.exchange_multisig_keys(others, PASSWORD)
                    if number
                    else client.make_multisig(others, 2, PASSWORD)
                )
                made[role] = (await call).multisig_info
        infos = made
        with step(f"after {name}"):
            await clients[BUYER].is_multisig()


async def before_the_deposit(ground: Ground) -> None:
    """Use the wallet while there is nothing in it."""
    step = ground.recorder.step
    clients = await ground.ready_wallets()
    buyer = clients[BUYER]
    payee = Recipient(ground.payees[0], XMR // 2)
    with step("address"):
        await buyer.get_version()
        await buyer.is_multisig()
        await buyer.get_address()
        await tried(buyer.get_attribute("not set"))
        await buyer.set_attribute("set", "value")
        await buyer.get_attribute("set")
        await buyer.store()
    with step("empty wallet"):
        await buyer.refresh()
        await buyer.get_height()
        await buyer.get_balance()
        await buyer.incoming_transfers()
        await buyer.get_transfers()
        await tried(buyer.transfer([payee]))
        await tried(buyer.sweep_all(ground.payees[0]))


async def deposit(ground: Ground) -> None:
    """Pay, and look at the payment in the pool, mined and unlocked."""
    step = ground.recorder.step
    clients = await ground.ready_wallets()
    buyer = clients[BUYER]
    payee = Recipient(ground.payees[0], XMR // 2)
    await ground.pay(XMR)
    with step("deposit in the pool"):
        await buyer.refresh()
        await buyer.get_balance()
        await buyer.get_balance(strict=True)
        await buyer.get_transfers()
        await tried(buyer.sweep_all(ground.payees[0]))
    await ground.mine(1)
    with step("deposit mined"):
        await buyer.refresh()
        await buyer.get_balance()
        await buyer.incoming_transfers()
        await buyer.incoming_transfers(IncomingKind.UNAVAILABLE)
        await buyer.get_transfers()
        await tried(buyer.transfer([payee]))
        await tried(buyer.sweep_all(ground.payees[0]))
    with step("export before the lock ends"):
        await synchronise(buyer, clients[VENDOR])
        await buyer.get_balance()
        await tried(buyer.transfer([payee]))
        await tried(buyer.sweep_all(ground.payees[0]))
    await ground.mine(10)
    with step("deposit unlocked"):
        await buyer.refresh()
        await buyer.get_balance_of_all_accounts()
        await buyer.incoming_transfers()
        await buyer.rescan_spent()


async def first_import(ground: Ground) -> None:
    """Import for the first time, with the daemon away."""
    step = ground.recorder.step
    clients = await ground.ready_wallets()
    buyer, vendor, arbiter = clients[BUYER], clients[VENDOR], clients[ARBITER]
    await vendor.refresh()
    await arbiter.refresh()
    infos = [await buyer.export_multisig_info(), await vendor.export_multisig_info()]
    await ground.stop_daemon()
    with step("first import with the daemon away"):
        await tried(arbiter.import_multisig_info(infos))
        await arbiter.get_balance()
    await ground.start_daemon()
    with step("after the first import with the daemon away"):
        await arbiter.refresh()
        await arbiter.get_balance()
        await tried(arbiter.sweep_all(ground.payees[0]))
    with step("no import yet"):
        await arbiter.get_balance()
        await tried(arbiter.sweep_all(ground.payees[0]))
        await tried(arbiter.transfer([Recipient(ground.payees[0], XMR // 2)]))


async def later_imports(ground: Ground) -> None:
    """Import what is wrong, and with the daemon away."""
    step = ground.recorder.step
    clients = await ground.ready_wallets()
    buyer, vendor = clients[BUYER], clients[VENDOR]
    with step("rubbish imported"):
        await tried(buyer.import_multisig_info([Secret("00")]))
        await tried(buyer.import_multisig_info([]))
    with step("own export imported"):
        await tried(buyer.import_multisig_info([await buyer.export_multisig_info()]))
    await synchronise(buyer, vendor)
    exported = await vendor.export_multisig_info()
    await ground.stop_daemon()
    with step("import with the daemon away"):
        await tried(buyer.import_multisig_info([exported]))
        await buyer.get_balance()
    with step("daemon away"):
        await tried(buyer.refresh())
        await tried(buyer.sweep_all(ground.payees[0]))
        await tried(buyer.transfer([Recipient(ground.payees[0], XMR // 2)]))
    await ground.start_daemon()
    with step("after an import with the daemon away"):
        await buyer.refresh()
        await buyer.get_balance()
        built = await tried(buyer.sweep_all(ground.payees[0]))
        if built is not None:
            await tried(vendor.sign_multisig(built.multisig_txset))


async def payout_to_one(ground: Ground) -> None:
    """Build, describe, sign, send and mine a sweep, with every way to do it wrong in between."""
    step = ground.recorder.step
    clients = await ground.ready_wallets()
    buyer, vendor = clients[BUYER], clients[VENDOR]
    await synchronise(buyer, vendor)
    with step("sweep to one receiver"):
        built = await buyer.sweep_all(ground.payees[0])
        await vendor.describe_transfer(multisig_txset=built.multisig_txset)
    rival = await buyer.sweep_all(ground.payees[1])
    with step("one signature of two"):
        await tried(buyer.submit_multisig(built.multisig_txset))
    with step("signed by the proposer"):
        await tried(buyer.sign_multisig(built.multisig_txset))
    with step("signed"):
        signed = await vendor.sign_multisig(built.multisig_txset)
    with step("signed again"):
        await tried(vendor.sign_multisig(built.multisig_txset))
    with step("rival signed with the same nonces"):
        await tried(vendor.sign_multisig(rival.multisig_txset))
    with step("no set"):
        await tried(vendor.sign_multisig(Secret("00")))
        await tried(vendor.submit_multisig(Secret("00")))
        await tried(vendor.describe_transfer(multisig_txset=Secret("00")))
    with step("submitted by a wallet without a cache"):
        await tried(ground.submit(await ground.without_cache(ARBITER), signed.tx_data_hex))
    (txid,) = signed.tx_hash_list
    with step("submitted"):
        await ground.submit(vendor, signed.tx_data_hex)
        await tried(ground.submit(vendor, signed.tx_data_hex))
    await look_at_payout(ground, await ground.ready_wallets(), built.spent_key_images_list[0].key_images, txid)


async def look_at_payout(ground: Ground, clients: Clients, images: Sequence[str], txid: str) -> None:
    """Look at the payout in pool and chain, by daemon and wallets."""
    step = ground.recorder.step
    with step("payout in the pool"):
        await ground.daemon.get_transactions([txid, "0" * 64])
        await ground.daemon.get_transaction_pool_hashes()
        await ground.daemon.get_transaction_pool()
        await ground.daemon.is_key_image_spent([*images, "0" * 64])
        await ground.daemon.get_info()
    with step("sent again"):
        raw = (await ground.daemon.get_transactions([txid])).txs[0].as_hex
        await ground.daemon.send_raw_transaction(raw)
    with step("dropped from the pool and sent raw"):
        await ground.daemon.flush_txpool([txid])
        await ground.daemon.get_transaction_pool_hashes()
        await ground.daemon.get_transaction_pool()
        await ground.daemon.is_key_image_spent(images)
        await ground.daemon.send_raw_transaction(raw)
    await ground.mine(3)
    with step("payout in the chain"):
        await ground.daemon.get_transactions([txid])
        await ground.daemon.is_key_image_spent(images)
        await ground.daemon.send_raw_transaction(raw)
        await clients[VENDOR].refresh()
        await clients[VENDOR].get_balance()
        await clients[VENDOR].incoming_transfers()
    with step("wallet that did not sign"):
        await clients[ARBITER].refresh()
        await clients[ARBITER].get_balance()


async def payout_to_several(ground: Ground) -> None:
    """Pay three receivers: with change, exact amounts, and with the fee taken out of receivers."""
    step = ground.recorder.step
    clients = await ground.ready_wallets()
    buyer, vendor = clients[BUYER], clients[VENDOR]
    await ground.pay(XMR)
    await ground.mine(10)
    await synchronise(buyer, vendor)
    some = [Recipient(payee, XMR // 10) for payee in ground.payees]
    all_of_it = [Recipient(payee, XMR // 4) for payee in ground.payees[:2]] + [Recipient(ground.payees[2], XMR // 2)]
    with step("transfer that leaves change"):
        built = await buyer.transfer(some)
        await vendor.describe_transfer(multisig_txset=built.multisig_txset)
    with step("transfer of more than there is"):
        await tried(buyer.transfer([Recipient(ground.payees[0], 2 * XMR)]))
        await tried(buyer.transfer([Recipient(ground.payees[0], XMR)]))
    exact = await _with_exact_rest(ground, buyer, some, built.fee)
    for bearers in ([0], [1], [0, 1], [1, 2], [0, 1, 2]):
        with step(f"fee taken out of {bearers} of three"):
            paid = await tried(buyer.transfer(all_of_it, subtract_fee_from_outputs=bearers))
            if paid is not None:
                await vendor.describe_transfer(multisig_txset=paid.multisig_txset)
    for bearers in ([0], [1], [0, 1]):
        with step(f"fee taken out of {bearers} of two"):
            halves = [Recipient(payee, XMR // 2) for payee in ground.payees[:2]]
            await tried(buyer.transfer(halves, subtract_fee_from_outputs=bearers))
    with step("fee taken out of one that is too small"):
        await tried(buyer.transfer([Recipient(ground.payees[0], 1), all_of_it[2]], subtract_fee_from_outputs=[0]))
    with step("locked transfer"):
        await tried(_locked_transfer(ground, some))
    with step("signed transfer"):
        signed = await tried(vendor.sign_multisig((exact or built).multisig_txset))
        if signed is not None:
            await ground.submit(vendor, signed.tx_data_hex)
            await ground.mine(1)


async def rivals(ground: Ground) -> None:
    """Send two payouts of the same outputs."""
    step = ground.recorder.step
    clients = await ground.ready_wallets()
    buyer, vendor, arbiter = clients[BUYER], clients[VENDOR], clients[ARBITER]
    await ground.pay(XMR)
    await ground.mine(12)
    await synchronise(buyer, vendor)
    first = await vendor.sign_multisig((await buyer.sweep_all(ground.payees[0])).multisig_txset)
    await ground.submit(vendor, first.tx_data_hex)
    raw = (await ground.daemon.get_transactions(first.tx_hash_list)).txs[0].as_hex
    await ground.daemon.flush_txpool(first.tx_hash_list)
    await synchronise(buyer, arbiter)
    second = await arbiter.sign_multisig((await buyer.sweep_all(ground.payees[1])).multisig_txset)
    await ground.submit(arbiter, second.tx_data_hex)
    with step("rival in the pool"):
        await ground.daemon.send_raw_transaction(raw)
        await tried(ground.submit(vendor, first.tx_data_hex))
    await ground.mine(1)
    with step("rival in the chain"):
        await ground.daemon.send_raw_transaction(raw)
        await tried(ground.submit(vendor, first.tx_data_hex))
    await ground.stop_daemon()
    with step("submitted with the daemon away"):
        await tried(ground.submit(arbiter, second.tx_data_hex))
    await ground.start_daemon()


async def daemon_facts(ground: Ground) -> None:
    """Ask the daemon about itself and its blocks, and about what it does not know."""
    daemon = ground.daemon
    height = (await daemon.get_info()).height
    with ground.recorder.step("daemon"):
        await daemon.get_info()
        await daemon.get_version()
        await daemon.get_fee_estimate()
        await daemon.get_last_block_header()
        await daemon.get_block_header_by_height(height - 2)
        await tried(daemon.get_block_header_by_height(height))
    with ground.recorder.step("what no daemon knows"):
        await daemon.get_transactions(["0" * 64])
        await daemon.is_key_image_spent(["0" * 64])
        await daemon.send_raw_transaction("00")


#: The sections in the order of play. Each goes on with the chain and the wallets of those before it.
SECTIONS: Final[tuple[Callable[[Ground], Awaitable[None]], ...]] = (
    key_ceremony,
    before_the_deposit,
    deposit,
    first_import,
    later_imports,
    payout_to_one,
    payout_to_several,
    rivals,
    daemon_facts,
)


# ---------------------------------------------------------------------------------------------------------------------


async def _with_exact_rest(
    ground: Ground, buyer: MoneroClient, some: Sequence[Recipient], fee: int
) -> BuiltTransaction | None:
    """Pay all but the fee that a transfer was just charged, and then all but 1 % more."""
    balance = (await buyer.get_balance()).unlocked_balance
    built = None
    for name, left in (
        ("transfer that leaves the fee", fee),
        ("transfer that leaves the fee and 1 %", fee + fee // 100),
    ):
        rest = Recipient(some[-1].address, balance - left - sum(each.amount for each in some[:-1]))
        with ground.recorder.step(name):
            built = await tried(buyer.transfer([*some[:-1], rest])) or built
            if built is not None:
                await buyer.describe_transfer(multisig_txset=built.multisig_txset)
    return built


async def _locked_transfer(ground: Ground, recipients: Sequence[Recipient]) -> BuiltTransaction:
    params = {"destinations": recipients, "unlock_time": 1000}
    return await ground.transport(BUYER).call(WALLET_METHODS["transfer"], params, BuiltTransaction)
