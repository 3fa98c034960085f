"""What each client of monero-wallet-rpc does: call it, and prove payments with it."""

from collections.abc import Mapping
from typing import Final, Self, TypeVar

from escrowd.domain.secret import Secret
from escrowd.monero.errors import BadArgument
from escrowd.monero.methods import WALLET_METHODS, Work
from escrowd.monero.results_signing import CheckedPayment, CheckedProof, TransactionKey, TransactionProof
from escrowd.monero.scalars import are_scalars
from escrowd.monero.transport import Transport

ResultT = TypeVar("ResultT")


class WalletCalls:
    """Calls one monero-wallet-rpc."""

    def __init__(self, transport: Transport, work: Work | None = None) -> None:
        self._transport = transport
        self._work = work

    def doing(self, work: Work) -> Self:
        """Return the same client for calls that have so much to do: they get the time that this takes."""
        return type(self)(self._transport, work)

    async def _call(self, name: str, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        return await self._transport.call(WALLET_METHODS[name].doing(self._work), params, result)


class ProofCalls(WalletCalls):
    """Proofs of what transactions have paid, by their secret keys."""

    async def get_tx_key(self, txid: str) -> Secret:
        """Return the secret key of a transaction that this wallet sent.

        Raises:
            BadArgument: the wallet has none. Of a multisig payout only the wallet that signed last has it.

        """
        return (await self._call("get_tx_key", {"txid": txid}, TransactionKey)).tx_key

    async def check_tx_key(self, txid: str, tx_key: Secret, address: str) -> CheckedPayment:
        """Say what the transaction paid to the address, as its secret key proves. A wrong key proves a payment of 0.

        Raises:
            BadArgument: the key is none.

        """
        # monero-wallet-rpc ends with a failed assertion on a number that is no scalar (``generate_key_derivation`` in
        # ``crypto.cpp``), so that whoever is asked for a key could end the process with one.
        if not are_scalars(tx_key):
            raise BadArgument("check_tx_key", _WRONG_KEY, "the transaction key is none")
        params = {"txid": txid, "tx_key": tx_key, "address": address}
        return await self._call("check_tx_key", params, CheckedPayment)

    async def get_tx_proof(self, txid: str, address: str, message: str = "") -> str:
        """Prove that the transaction paid to the address, as its sender or as the holder of the address."""
        params = {"txid": txid, "address": address, "message": message}
        return (await self._call("get_tx_proof", params, TransactionProof)).signature

    async def check_tx_proof(self, txid: str, address: str, signature: str, message: str = "") -> CheckedProof:
        """Check such a proof, made for this message. It is evidence of a payment and never a deposit."""
        params = {"txid": txid, "address": address, "message": message, "signature": signature}
        return await self._call("check_tx_proof", params, CheckedProof)


# ---------------------------------------------------------------------------------------------------------------------

#: ``WALLET_RPC_ERROR_CODE_WRONG_KEY``.
_WRONG_KEY: Final = -25
