"""Takes what a wallet submits, in place of the daemon, so that the bytes of a payout are known before they are sent.

A signed transaction set opens only in a wallet whose cache knows the outputs: since 0.18.5.0 a wallet with a new or an
older cache refuses it (``parse_multisig_tx_from_str``, "Transfer index out of range"), and no call of the wallet
returns the transactions in it. But ``submit_multisig`` sends them to the daemon that the wallet was given
(``commit_tx``). So the wallet gets this recorder as its daemon for that one call. The answer is "OK": the wallet then
submits the next transaction of the set, and notes its outputs as spent, as it does after a real submission.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from aiohttp import web

from escrowd.chain.reading import Unreadable
from escrowd.chain.transaction import parse_signed_transaction
from escrowd.monero.transport import Endpoint

#: Largest request that is read. A transaction has at most 149,400 bytes (``get_max_tx_size``), two digits each.
MAX_REQUEST_BYTES: Final = 1 << 20


class SubmissionRecorder:
    """A daemon for one wallet and one call. It keeps the transactions with the ids that it was given, and no others.

    Any process of this machine can connect. The id of a transaction is computed from its bytes, so no process can put
    other bytes in its place; what has another id is answered OK as well, and left out.
    """

    def __init__(self, endpoint: Endpoint, txids: Collection[str]) -> None:
        #: Where it listens; it takes ``/sendrawtransaction`` only.
        self.endpoint = endpoint
        #: The bytes, hex, of each recorded transaction by its id.
        self.recorded: dict[str, str] = {}
        self._txids = frozenset(txids)

    @classmethod
    @asynccontextmanager
    async def listen(cls, txids: Collection[str]) -> AsyncIterator["SubmissionRecorder"]:
        """Listen on a free port of the loopback interface until the end of the block."""
        application = web.Application(client_max_size=MAX_REQUEST_BYTES)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        recorder = cls(Endpoint("127.0.0.1", 0), txids)
        application.router.add_post("/sendrawtransaction", recorder._answer)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            recorder.endpoint = Endpoint("127.0.0.1", runner.addresses[0][1])
            yield recorder
        finally:
            await runner.cleanup()

    def record(self, raw: str) -> None:
        """Keep a transaction, hex, if it has one of the ids."""
        try:
            data = bytes.fromhex(raw)
            txid = parse_signed_transaction(data).txid
        except (Unreadable, ValueError):
            return
        if txid in self._txids:
            self.recorded[txid] = data.hex()

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            submitted = msgspec.json.decode(await request.read(), type=_Submitted)
        except msgspec.DecodeError:
            return web.json_response({"status": "Failed"}, status=400)
        self.record(submitted.tx_as_hex)
        return web.json_response({"status": "OK"})


# ---------------------------------------------------------------------------------------------------------------------


class _Submitted(msgspec.Struct):
    tx_as_hex: str
