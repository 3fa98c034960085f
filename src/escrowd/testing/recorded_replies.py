"""Replies of Monero's servers, kept as they came but for what is secret or differs from run to run.

``tests/recorded`` has one file for each release, made by ``python -m escrowd.testing.record_replies``. They are the
measure for the result types of :mod:`escrowd.monero` and for the simulated servers: no answer is invented.

Keys, multisig data, transaction sets, addresses and hashes are replaced by their kind and length, such as ``<hex 64>``;
numbers that depend on the machine or on the time are 0.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import msgspec
from typing_extensions import override

from escrowd.domain.secret import Secret
from escrowd.monero.errors import Refused
from escrowd.monero.methods import Method
from escrowd.monero.transport import Transport

ResultT = TypeVar("ResultT")

#: A JSON value.
Json = object


class RecordedRefusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a server refused a call with."""

    code: int
    message: str


class RecordedReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call and its reply. ``step`` names what it is part of; ``server`` is a wallet role or ``daemon``."""

    step: str
    server: str
    method: str
    request: dict[str, Json] = {}
    reply: Json = None
    refusal: RecordedRefusal | None = None


class Recording(msgspec.Struct, frozen=True):
    """All replies of one release, in the order of the calls."""

    release: str
    replies: tuple[RecordedReply, ...]


class Recorder:
    """Collects the calls that are made inside of its steps."""

    def __init__(self) -> None:
        self.replies: list[RecordedReply] = []
        self.current = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Record the calls of the block under this name."""
        self.current = name
        try:
            yield
        finally:
            self.current = ""

    def add(self, server: str, method: Method, params: Mapping[str, Json], outcome: Json) -> None:
        """Record one call with its raw result, or with its refusal."""
        if not self.current:
            return
        asked = {name: masked(name, value) for name, value in params.items()}
        if isinstance(outcome, Refused):
            refusal = RecordedRefusal(outcome.code, masked_text(outcome.reason))
            self.replies.append(RecordedReply(self.current, server, method.name, asked, refusal=refusal))
        else:
            self.replies.append(RecordedReply(self.current, server, method.name, asked, masked("", outcome)))


class RecordingTransport(Transport):
    """Passes calls on to an HTTP transport, and records each raw reply."""

    def __init__(self, inner: Transport, recorder: Recorder, server: str) -> None:
        self._inner = inner
        self._recorder = recorder
        self._server = server

    @override
    async def call(self, method: Method, params: Mapping[str, object], result: type[ResultT]) -> ResultT:
        """Call the method, as :meth:`escrowd.monero.transport.HttpTransport.call`."""
        try:
            raw = await self._inner.call(method, params, msgspec.Raw)
        except Refused as refused:
            self._recorder.add(self._server, method, params, refused)
            raise
        self._recorder.add(self._server, method, params, msgspec.json.decode(raw))
        return msgspec.json.decode(raw, type=result, dec_hook=_concealed)


def masked(name: str, value: Json) -> Json:
    """Return a JSON value, the one of this field, without what is secret or differs from run to run."""
    match value:
        case Secret():
            text = "<secret>" if name in _PASSWORDS else masked_text(value.reveal())
        case str():
            text = masked_text(value)
        case bool() | None:
            return value
        case int():
            return 0 if name in _VOLATILE else value
        case msgspec.Struct():
            return masked(name, msgspec.structs.asdict(value))
        case Mapping():
            return {str(key): masked(str(key), each) for key, each in sorted(value.items())}
        case Sequence():
            return [masked(name, each) for each in value]
        case _:
            raise TypeError(f"{name} is a {type(value).__name__}, which is no JSON value")
    return text


def masked_text(text: str) -> str:
    """Return a text with every part that is a key, a hash, an address or data replaced by its kind and length."""
    if text.startswith("{"):
        return "<json>"
    if len(text.split()) >= _SEED_WORDS and text.islower():
        return "<words>"
    for kind, pattern in _KINDS:
        text = pattern.sub(lambda found, kind=kind: f"<{kind} {len(found[0])}>", text)  # type: ignore[misc]
    return text


# ---------------------------------------------------------------------------------------------------------------------

_SEED_WORDS: Final = 24
_PASSWORDS: Final = frozenset({"password"})
#: Fields that differ between two runs on one machine, or between two machines.
_VOLATILE: Final = frozenset(
    {
        "adjusted_time",
        "block_timestamp",
        "database_size",
        "free_space",
        "nonce",
        "receive_time",
        "received_timestamp",
        "rpc_connections_count",
        "start_time",
        "timestamp",
        "last_failed_time",
        "last_relayed_time",
    }
)
_BASE58: Final = "[1-9A-HJ-NP-Za-km-z]"
_KINDS: Final = (
    ("hex", re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{16,}(?![0-9A-Za-z])")),
    ("address", re.compile(rf"(?<!{_BASE58})[48]{_BASE58}{{94}}(?!{_BASE58})")),
    ("multisig data", re.compile(rf"MultisigxV2R[1n]{_BASE58}+")),
    ("proof", re.compile(rf"OutProofV2{_BASE58}+")),
    ("path", re.compile(r"/[\w./-]*/[\w.-]+")),
)


def _concealed(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise ValueError(f"no {kind.__name__}")
