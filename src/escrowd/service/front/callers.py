"""Who calls: API keys, and the links of parties.

A key is ``key_`` and its id, a point, and 256 random bits. Of these only an HMAC is stored, under a key derived from
the vault key: who reads the database can neither use a key nor try out any.

The token of a party is an HMAC of escrow, role and generation, and is stored nowhere: it can be shown again to whoever
may hand it out, and a new generation makes it worthless.
"""

import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from escrowd.domain.access import ApiKeyRecord, Caller, Party, Scope
from escrowd.domain.errors import InvalidInput
from escrowd.domain.identifiers import RANDOM_BYTES, EscrowId, Prefix, make_identifier
from escrowd.domain.parties import WalletRole
from escrowd.domain.secret import Secret
from escrowd.service.front.errors import NoSuchKey, NotAuthenticated
from escrowd.service.front.ports import FrontStore, FrontTransaction, KeySource

#: Seconds for which a key that was found good is not looked up again. A key that another process revokes opens doors
#: for so long.
REMEMBERED: Final = 5.0
#: How many keys are remembered at most.
MOST_REMEMBERED: Final = 1000


#: The caller of the commands of this machine.
OPERATOR: Final = Caller("operator of this machine", frozenset(Scope))


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key with its text, which is shown this once."""

    record: ApiKeyRecord
    text: Secret


class Callers:
    """Makes keys and links, and finds out who calls."""

    def __init__(
        self,
        store: FrontStore,
        keys: KeySource,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._randomness = randomness
        self._clock = clock
        self._key_of_keys = keys.derived_key("API keys")
        self._key_of_links = keys.derived_key("links of parties")
        self._operator = operator_token(keys)
        #: Keys that were found good, by the HMAC of their text, and until when that is believed.
        self._remembered: dict[str, tuple[float, Caller]] = {}

    # --- API keys ----------------------------------------------------------------------------------------------------

    async def create_key(
        self, tx: FrontTransaction, name: str, scopes: Collection[Scope], by: Caller = OPERATOR
    ) -> NewKey:
        """Make a key. Its text is not stored, so it is shown now or never.

        Raises:
            InvalidInput: it would open nothing, or its name is too long or cannot be shown on one line.

        """
        _check_key(name, scopes)
        moment = await tx.clock.now()
        id_ = make_identifier(Prefix.API_KEY, moment.utc, self._randomness(RANDOM_BYTES))
        text = f"{id_}.{_text_of(self._randomness(_SECRET_BYTES))}"
        record = ApiKeyRecord(id_, name, _mac(self._key_of_keys, text), frozenset(scopes), moment.utc)
        await tx.access.add_key(record)
        await tx.audit.note(by.name, f"create key for {', '.join(sorted(record.scopes))}", id_)
        return NewKey(record, Secret(text))

    async def revoke_key(self, tx: FrontTransaction, key: str, by: Caller = OPERATOR) -> ApiKeyRecord:
        """Let a key open nothing any more, and return what is stored of it. Doing it again changes nothing.

        Raises:
            NoSuchKey: there is none of this id. Nothing of what was given is repeated: it may be a whole key.

        """
        known = await tx.access.key(key)
        if known is None:
            raise NoSuchKey(
                "there is no key of this id, which is what stands before the point; see 'escrowd keys list'"
            )
        if known.revoked_at is not None:
            return known
        revoked_at = (await tx.clock.now()).utc
        await tx.access.revoke_key(key, revoked_at)
        await tx.audit.note(by.name, "revoke key", key)
        self._remembered.clear()
        return replace(known, revoked_at=revoked_at)

    # --- links -------------------------------------------------------------------------------------------------------

    async def link(self, tx: FrontTransaction, party: Party) -> Secret:
        """Return the token of a party that is good now."""
        return self._token(party, await tx.access.link_generation(party.escrow, party.role))

    def first_link(self, party: Party) -> Secret:
        """Return the token of a party of an escrow that is being made."""
        return self._token(party, 0)

    async def replace_link(self, tx: FrontTransaction, party: Party) -> Secret:
        """Make the token of a party worthless, and return a new one."""
        return self._token(party, await tx.access.replace_link(party.escrow, party.role))

    @property
    def operator_token(self) -> Secret:
        """The token of whoever has the vault key: for the commands of this machine."""
        return self._operator

    # --- who calls ---------------------------------------------------------------------------------------------------

    async def caller(self, token: Secret) -> Caller:
        """Find out who calls.

        Raises:
            NotAuthenticated: the token opens nothing, or nothing any more.

        """
        text = token.reveal()
        if text.startswith(_PREFIX_OF_PARTY):
            return await self._party(text)
        if text.startswith(_PREFIX_OF_OPERATOR):
            if token == self._operator:
                return OPERATOR
            raise NotAuthenticated(_NOT_GOOD)
        return await self._key_holder(text)

    async def is_still_good(self, tx: FrontTransaction, caller: Caller) -> bool:
        """Tell whether the key or link of a caller who was found out before opens anything still.

        Nothing is remembered here: who was let in a minute ago may have been put out by another process.
        """
        if caller == OPERATOR:
            return True
        if caller.party is not None:
            present = await tx.access.link_generation(caller.party.escrow, caller.party.role)
            return present == caller.link_generation
        record = await tx.access.key(caller.name)
        return record is not None and record.revoked_at is None

    async def check_still_good(self, caller: Caller) -> None:
        """Go on only if the key or link of a caller who was found out before opens anything still.

        Raises:
            NotAuthenticated: it was revoked or replaced since.

        """
        async with self._store.reading() as tx:
            if not await self.is_still_good(tx, caller):
                raise NotAuthenticated(_NO_MORE)

    async def _key_holder(self, text: str) -> Caller:
        digest = _mac(self._key_of_keys, text)
        until, known = self._remembered.get(digest, (0.0, None))
        if known is not None and self._clock() < until:
            return known
        async with self._store.reading() as tx:
            record = await tx.access.key(text.partition(".")[0])
        if record is None or record.revoked_at is not None or not hmac.compare_digest(record.digest, digest):
            raise NotAuthenticated(_NOT_GOOD)
        caller = Caller(record.id, record.scopes)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = (self._clock() + REMEMBERED, caller)
        return caller

    async def _party(self, text: str) -> Caller:
        party = _named_party(text)
        if party is None:
            raise NotAuthenticated(_NOT_GOOD)
        async with self._store.reading() as tx:
            generation = await tx.access.link_generation(party.escrow, party.role)
        if not hmac.compare_digest(self._token(party, generation).reveal().encode(), text.encode()):
            raise NotAuthenticated(_NOT_GOOD)
        return Caller(f"{party.role} of {party.escrow}", party=party, link_generation=generation)

    def _token(self, party: Party, generation: int) -> Secret:
        said = _mac(self._key_of_links, f"{party.escrow} {party.role} {generation}")
        return Secret(f"{_PREFIX_OF_PARTY}{party.role}_{party.escrow.removeprefix(_PREFIX_OF_ESCROW)}_{said}")


def operator_token(keys: KeySource) -> Secret:
    """Return the token of whoever has the vault key: for the commands of this machine."""
    return Secret(_PREFIX_OF_OPERATOR + _mac(keys.derived_key("operator"), "this machine"))


# ---------------------------------------------------------------------------------------------------------------------

_SECRET_BYTES: Final = 32
_LONGEST_NAME: Final = 200
_PREFIX_OF_PARTY: Final = "pty_"
_PREFIX_OF_OPERATOR: Final = "opr_"
_PREFIX_OF_ESCROW: Final = f"{Prefix.ESCROW}_"
_NOT_GOOD: Final = "this key or token opens nothing: it is not one of this service, or was revoked or replaced"
_NO_MORE: Final = "this key or token was revoked or replaced while the request waited, and opens nothing any more"


def _check_key(name: str, scopes: Collection[Scope]) -> None:
    if not scopes:
        raise InvalidInput(f"a key needs a scope, or it opens nothing: {', '.join(Scope)}")
    if len(name) > _LONGEST_NAME or not all(each.isprintable() for each in name):
        raise InvalidInput(f"the name of a key is one line of up to {_LONGEST_NAME} characters")


def _named_party(text: str) -> Party | None:
    """Read whose token this says it is."""
    parts = text.split("_", 3)
    if len(parts) != _PARTS_OF_TOKEN or parts[1] not in frozenset(WalletRole):
        return None
    return Party(EscrowId(_PREFIX_OF_ESCROW + parts[2]), WalletRole(parts[1]))


_PARTS_OF_TOKEN: Final = 4


def _mac(key: bytes, text: str) -> str:
    return _text_of(hmac.digest(key, text.encode(), "sha256"))


def _text_of(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
