"""Does what is asked for once for each Idempotency-Key, whatever comes between request and answer.

The answer is stored in the very transaction that does it. So after a crash there is either both or neither, and of many
requests with one key that come at the same time one acts, and the others wait for it and get its answer. What failed
was not done and is not stored: the same request may be made again.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from escrowd.domain.access import Caller, StoredAnswer
from escrowd.domain.secret import Secret
from escrowd.service.front.errors import IdempotencyKeyInvalid, IdempotencyKeyReused
from escrowd.service.front.ports import FrontStore, FrontTransaction, KeySource


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that changes something."""

    caller: Caller
    #: A digest of everything that makes it this request and no other.
    digest: str
    #: What the caller calls it; ``None``: each request is a new one.
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered: an HTTP status and a JSON text. ``is_replayed``: it was done before, and this is the answer."""

    status: int
    body: str
    is_replayed: bool = False


class Answering:
    """Carries out requests, and remembers what they were answered."""

    def __init__(self, store: FrontStore, keys: KeySource) -> None:
        self._store = store
        self._keys = keys

    async def once(self, asked: Asked, act: Callable[[FrontTransaction], Awaitable[Answer]]) -> Answer:
        """Do what is asked for, unless it was done before, and return the answer.

        Raises:
            IdempotencyKeyInvalid: the key has not the form of one.
            IdempotencyKeyReused: the key was used for another request.
            EscrowdError: whatever ``act`` raises; nothing was done then.

        """
        key = asked.idempotency_key
        if key is None:
            async with self._store.transaction() as tx:
                return await act(tx)
        if not _FORM.fullmatch(key):
            raise IdempotencyKeyInvalid
        async with self._store.transaction() as tx:
            known = await tx.answers.reserve(asked.caller.name, key, asked.digest)
            if known is not None:
                return self._replayed(known, asked)
            answer = await act(tx)
            sealed = self._keys.seal(Secret(answer.body), _purpose(asked))
            await tx.answers.keep(asked.caller.name, key, StoredAnswer(asked.digest, answer.status, sealed))
            return answer

    def _replayed(self, known: StoredAnswer, asked: Asked) -> Answer:
        if known.request != asked.digest:
            raise IdempotencyKeyReused(
                "this Idempotency-Key was used for another request before: take a new key for each thing to be done"
            )
        return Answer(known.status, self._keys.unseal(known.sealed_body, _purpose(asked)).reveal(), is_replayed=True)


# ---------------------------------------------------------------------------------------------------------------------

_FORM: Final = re.compile(r"[\x21-\x7e]{1,255}")


def _purpose(asked: Asked) -> str:
    return f"answer to {asked.caller.name} under {asked.idempotency_key}"
