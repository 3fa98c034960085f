"""Whom the watcher watches: addresses with their keys, their lanes, and how far each was looked through."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from escrowd.chain.ports import Lane, WatchedAddress
from escrowd.chain.watched_keys import WatchedKeys
from escrowd.domain.identifiers import EscrowId


@dataclass(frozen=True, slots=True)
class Behind:
    """Addresses that have blocks to catch up with, all of them the same ones."""

    #: The first block that they have not seen, and the first that they need not see now.
    start: int
    end: int
    keys: tuple[WatchedKeys, ...]


class Roster:
    """The watched addresses, in memory."""

    def __init__(self) -> None:
        self._addresses: dict[EscrowId, WatchedAddress] = {}
        self._keys: dict[EscrowId, WatchedKeys] = {}

    def put(self, address: WatchedAddress, keys: WatchedKeys) -> None:
        """Watch an address, in place of another one of the same escrow."""
        self._addresses[address.escrow] = address
        self._keys[address.escrow] = keys

    def remove(self, escrow: EscrowId) -> None:
        """Watch the address of an escrow no more."""
        self._addresses.pop(escrow, None)
        self._keys.pop(escrow, None)

    def get(self, escrow: EscrowId) -> WatchedAddress | None:
        """Return the watched address of an escrow."""
        return self._addresses.get(escrow)

    def keys_of(self, escrow: EscrowId) -> WatchedKeys:
        """Return the keys of a watched address."""
        return self._keys[escrow]

    def count(self, lane: Lane) -> int:
        """Count the addresses of a lane."""
        return sum(each.lane is lane for each in self._addresses.values())

    def active(self) -> tuple[WatchedKeys, ...]:
        """Return the keys of all active addresses."""
        return self._keys_where(each for each in self._addresses.values() if each.lane is Lane.ACTIVE)

    def in_step(self, height: int) -> tuple[WatchedKeys, ...]:
        """Return the keys of the active addresses that have seen all blocks below a height, the common cursor."""
        return self._keys_where(each for each in self._addresses.values() if _is_in_step(each, height))

    def joining(self, height: int) -> dict[EscrowId, None]:
        """Return the active addresses that need no cursor of their own any more."""
        return {
            each.escrow: None
            for each in self._addresses.values()
            if each.scanned is not None and _is_in_step(each, height)
        }

    def behind(self, height: int, resting_every: int) -> Behind | None:
        """Return who catches up next: active addresses first, then resting ones that have rested long enough."""
        active = [each for each in self._with_own_cursor(Lane.ACTIVE) if _cursor(each) < height]
        if active:
            return self._furthest_behind(active, height)
        resting = [each for each in self._with_own_cursor(Lane.RESTING) if _cursor(each) < height]
        if resting and min(map(_cursor, resting)) + resting_every <= height:
            return self._furthest_behind(resting, height)
        return None

    def apply(self, scanned: Mapping[EscrowId, int | None], rollback: int | None) -> None:
        """Take over what was recorded: a rollback, then cursors."""
        for escrow, address in self._addresses.items():
            own = address.scanned
            if rollback is not None and own is not None and own > rollback:
                own = rollback
            own = scanned.get(escrow, own)
            if own != address.scanned:
                self._addresses[escrow] = replace(address, scanned=own)

    # ------------------------------------------------------------------------------------------------------------------

    def _keys_where(self, addresses: Iterable[WatchedAddress]) -> tuple[WatchedKeys, ...]:
        return tuple(self._keys[each.escrow] for each in addresses)

    def _with_own_cursor(self, lane: Lane) -> list[WatchedAddress]:
        return [each for each in self._addresses.values() if each.lane is lane and each.scanned is not None]

    def _furthest_behind(self, addresses: list[WatchedAddress], height: int) -> Behind:
        cursors = sorted({_cursor(each) for each in addresses})
        # Whoever is further on joins when the others have come so far.
        end = cursors[1] if len(cursors) > 1 else height
        # The first block pays nobody, and cannot be asked for.
        start = max(_FIRST, cursors[0])
        return Behind(start, max(start, end), self._keys_where(e for e in addresses if _cursor(e) == cursors[0]))


# ---------------------------------------------------------------------------------------------------------------------

_FIRST: Final = 1


def _is_in_step(address: WatchedAddress, height: int) -> bool:
    return address.lane is Lane.ACTIVE and (address.scanned is None or address.scanned >= height)


def _cursor(address: WatchedAddress) -> int:
    return address.scanned or 0
