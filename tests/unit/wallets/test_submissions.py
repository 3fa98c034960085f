"""The recorder that takes a wallet's submission in place of the daemon."""

import aiohttp
import pytest

from escrowd.wallets.submissions import MAX_TRANSACTIONS, SubmissionRecorder


async def post(recorder: SubmissionRecorder, body: bytes, path: str = "/sendrawtransaction") -> tuple[int, str]:
    """Post a body as a wallet does; return the HTTP status and the ``status`` in the answer."""
    async with aiohttp.ClientSession() as http, http.post(recorder.endpoint.url + path, data=body) as response:
        is_json = response.content_type == "application/json"
        return response.status, (await response.json())["status"] if is_json else ""


async def test_submitted_transactions_are_recorded_in_order_and_accepted() -> None:
    """A wallet that is answered OK goes on with the next transaction of its set."""
    async with SubmissionRecorder.listen() as recorder:
        for raw in ("aa", "bb"):
            body = f'{{"tx_as_hex": "{raw}", "do_not_relay": false, "do_sanity_checks": true}}'.encode()
            assert await post(recorder, body) == (200, "OK")
        assert recorder.recorded == ["aa", "bb"]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"tx_as_hex": 7}', b"\xff"])
async def test_request_without_a_transaction_is_refused_and_not_recorded(body: bytes) -> None:
    """What is not a submission is answered as a failure."""
    async with SubmissionRecorder.listen() as recorder:
        assert await post(recorder, body) == (400, "Failed")
        assert recorder.recorded == []


async def test_other_calls_of_a_daemon_are_not_answered() -> None:
    """The recorder is a daemon for one method; a wallet that calls another one gets an error, no invented answer."""
    async with SubmissionRecorder.listen() as recorder:
        assert (await post(recorder, b"{}", "/json_rpc"))[0] == 404


async def test_recorder_takes_a_bounded_number_of_transactions() -> None:
    """A process that floods the socket fills no memory."""
    async with SubmissionRecorder.listen() as recorder:
        for _ in range(MAX_TRANSACTIONS):
            await post(recorder, b'{"tx_as_hex": "aa"}')
        assert await post(recorder, b'{"tx_as_hex": "aa"}') == (429, "Failed")
        assert len(recorder.recorded) == MAX_TRANSACTIONS


async def test_socket_is_closed_after_the_call() -> None:
    """Nothing listens for a wallet that comes late."""
    async with SubmissionRecorder.listen() as recorder:
        pass
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(recorder, b'{"tx_as_hex": "aa"}')
