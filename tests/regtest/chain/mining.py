"""Blocks made by hand: their miners write what they like into the transaction that pays them."""

import msgspec

from escrowd.chain.reading import Reader
from escrowd.chain.transaction import _prefix
from escrowd.monero.methods import Effect, Method
from escrowd.monero.results_daemon import DaemonReply
from escrowd.testing.funder import FUNDER_ADDRESS
from escrowd.testing.lab import RegtestLab
from tests.unit.chain.sender import Draft, Pay

TEMPLATE = Method("get_block_template", Effect.READS, 30)
SUBMIT = Method("submit_block", Effect.CHANGES, 30)
HEADER_HASH_AND_NONCE = 36
COINBASE_LOCK = 60


class Template(DaemonReply, frozen=True, kw_only=True):
    """Answer of ``get_block_template``."""

    blocktemplate_blob: str
    expected_reward: int
    height: int


class Submitted(msgspec.Struct):
    """Answer of ``submit_block``."""

    status: str


async def mine_by_hand(lab: RegtestLab, pays: list[Pay], extra: bytes) -> None:
    """Mine a block whose reward goes to these outputs. The last one gets what the others leave of it."""
    transport = lab.daemon._transport
    template = await transport.call(TEMPLATE, {"wallet_address": FUNDER_ADDRESS, "reserve_size": 1}, Template)
    rest = template.expected_reward - sum(each.amount for each in pays[:-1])
    last = pays[-1]
    outputs = [*pays[:-1], Pay(last.derivation, last.spend_key, rest, last.view_tag)]
    blob = bytes.fromhex(template.blocktemplate_blob)
    reader = Reader(blob)
    for _ in range(3):
        reader.varint()
    reader.take(HEADER_HASH_AND_NONCE)
    header = blob[: reader.place]
    _prefix(reader)
    reader.byte()
    draft = Draft(outputs, extra, [], template.height + COINBASE_LOCK, height=template.height)
    block = header + draft.blob() + blob[reader.place :]
    # The parameters of this one call are a list and no object.
    await transport.call(SUBMIT, [block.hex()], Submitted)  # type: ignore[arg-type]
