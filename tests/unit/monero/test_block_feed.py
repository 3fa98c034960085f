from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escrowd.monero.block_feed import BlockFeed, FetchedBlock, FetchedBlocks, read_blocks
from escrowd.monero.epee import Writable, decode, encode
from escrowd.monero.errors import BlockRefused, DaemonNotReady, MoneroError, RubbishReply
from escrowd.monero.methods import Method
from escrowd.monero.transport import HttpTransport
from tests.unit.monero.http_server import Server, send

BLOCK: Mapping[str, Writable] = {"pruned": True, "block": b"header", "txs": [{"blob": b"tx", "prunable_hash": b"\0"}]}
REPLY: Mapping[str, Writable] = {
    "status": b"OK",
    "start_height": 7,
    "current_height": 9,
    "blocks": [BLOCK],
    "output_indices": [{"indices": [{}, {}]}],
}


class Replying:
    """Answers with one reply, and keeps what it was asked."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.requests: list[bytes] = []

    async def call_binary(self, method: Method, request: bytes) -> bytes:
        assert method.path == "/get_blocks.bin"
        self.requests.append(request)
        return self.reply


async def test_blocks_are_not_asked_for_by_their_ids() -> None:
    """The ids go as one run of bytes, the newest first, and pruned blocks are asked for."""
    transport = Replying(encode(REPLY))
    fetched = await BlockFeed(transport).after(["02" * 32, "01" * 32])
    assert fetched == FetchedBlocks(7, 9, (FetchedBlock(b"header", (b"tx",), ((), ())),))
    assert decode(transport.requests[0]) == {
        "block_ids": bytes.fromhex("02" * 32 + "01" * 32),
        "start_height": 0,
        "prune": True,
    }


async def test_a_height_of_zero_would_mean_none() -> None:
    """Blocks are asked for from height 1 at the least, for 0 would mean that no height is given."""
    transport = Replying(encode(REPLY))
    await BlockFeed(transport).from_height(0)
    assert decode(transport.requests[0])["start_height"] == 1


async def test_binary_call_does_not_reach_the_server(transport: HttpTransport, server: Server) -> None:
    """Request and reply go over HTTP byte by byte."""
    server.answer = send(encode(REPLY))
    assert (await BlockFeed(transport).from_height(7)).start_height == 7
    assert decode(server.bodies[0])["start_height"] == 7


@pytest.mark.parametrize(("status", "kind"), [(b"BUSY", DaemonNotReady), (b"Failed", BlockRefused)])
def test_refusal_is_taken_for_no_news(status: bytes, kind: type[MoneroError]) -> None:
    """A reply that is not OK is an error, not an empty list of blocks."""
    with pytest.raises(kind):
        read_blocks(encode({"status": status, "start_height": 0, "current_height": 0}))


@pytest.mark.parametrize(
    "change",
    [
        {"status": 1},
        {"start_height": b"7"},
        {"current_height": True},
        {"blocks": b""},
        {"blocks": [BLOCK, BLOCK]},
        {"blocks": [{"pruned": True}]},
        {"output_indices": [{"indices": [{}]}]},
        {"output_indices": [{"indices": [{"indices": b"1"}, {}]}]},
    ],
)
def test_reply_of_another_shape_is_read(change: Mapping[str, Writable]) -> None:
    """What is missing, of another type, or does not fit together makes the reply rubbish."""
    with pytest.raises(RubbishReply):
        read_blocks(encode({**REPLY, **change}))


@given(st.binary(max_size=100))
def test_rubbish_breaks_the_reader(data: bytes) -> None:
    """Bytes that are no reply give the one error that the watcher expects."""
    with pytest.raises(RubbishReply):
        read_blocks(data)
