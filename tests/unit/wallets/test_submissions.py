"""The recorder that takes a wallet's submission in place of the daemon."""

import aiohttp
import pytest

from escrowd.chain.transaction import parse_signed_transaction
from escrowd.testing.simulation.transactions import digest, signed_blob
from escrowd.wallets.submissions import SubmissionRecorder


def transaction(unique: str) -> tuple[str, str]:
    """Return the id and the bytes of a transaction."""
    raw = signed_blob(digest(unique), [digest("an input")], 2, 10**9, 0)
    return parse_signed_transaction(bytes.fromhex(raw)).txid, raw


FIRST, SECOND, FOREIGN = (transaction(unique) for unique in ("first", "second", "foreign"))


def submission(raw: str) -> bytes:
    """Return the body that a wallet posts (``commit_tx``)."""
    return f'{{"tx_as_hex": "{raw}", "do_not_relay": false, "do_sanity_checks": true}}'.encode()


async def post(recorder: SubmissionRecorder, body: bytes, path: str = "/sendrawtransaction") -> tuple[int, str]:
    """Post a body as a wallet does; return the HTTP status and the ``status`` in the answer."""
    async with aiohttp.ClientSession() as http, http.post(recorder.endpoint.url + path, data=body) as response:
        is_json = response.content_type == "application/json"
        return response.status, (await response.json())["status"] if is_json else ""


async def test_submitted_transactions_are_recorded_by_their_ids_and_accepted() -> None:
    """A wallet that is answered OK goes on with the next transaction of its set."""
    async with SubmissionRecorder.listen([FIRST[0], SECOND[0]]) as recorder:
        for _, raw in (FIRST, SECOND):
            assert await post(recorder, submission(raw)) == (200, "OK")
        assert recorder.recorded == dict([FIRST, SECOND])


async def test_flood_of_foreign_transactions_neither_fills_memory_nor_keeps_the_wallet_out() -> None:
    """Any process of the machine can connect: what has another id is left out, and the wallet's own is still taken."""
    async with SubmissionRecorder.listen([FIRST[0]]) as recorder:
        for _ in range(100):
            assert await post(recorder, submission(FOREIGN[1])) == (200, "OK")
        assert recorder.recorded == {}
        await post(recorder, submission(FIRST[1]))
        assert recorder.recorded == dict([FIRST])


async def test_bytes_are_kept_in_one_form() -> None:
    """Hexadecimal digits with spaces or capitals are stored as the daemon takes them."""
    async with SubmissionRecorder.listen([FIRST[0]]) as recorder:
        await post(recorder, submission(" ".join([FIRST[1][:10].upper(), FIRST[1][10:]])))
        assert recorder.recorded == dict([FIRST])


@pytest.mark.parametrize("body", [b"", b"{}", b'{"tx_as_hex": 7}', b"\xff"])
async def test_request_without_a_transaction_is_refused_and_not_recorded(body: bytes) -> None:
    """What is not a submission is answered as a failure."""
    async with SubmissionRecorder.listen([FIRST[0]]) as recorder:
        assert await post(recorder, body) == (400, "Failed")
        assert recorder.recorded == {}


async def test_other_calls_of_a_daemon_are_not_answered() -> None:
    """The recorder is a daemon for one method; a wallet that calls another one gets an error, no invented answer."""
    async with SubmissionRecorder.listen([FIRST[0]]) as recorder:
        assert (await post(recorder, b"{}", "/json_rpc"))[0] == 404


async def test_socket_is_closed_after_the_call() -> None:
    """Nothing listens for a wallet that comes late."""
    async with SubmissionRecorder.listen([FIRST[0]]) as recorder:
        pass
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(recorder, submission(FIRST[1]))
