"""The simulated servers answer as the real ones did: the same fields, the same lengths, the same refusals.

The scenario of :mod:`escrowd.testing.recorded_scenario` is played to real servers for ``tests/recorded``, and here to
the simulated ones. A difference names step, server, method and field.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import pytest

from escrowd.domain.secret import Secret
from escrowd.monero.errors import Refused
from escrowd.testing.recorded_replies import RecordedReply, Recording, masked, masked_text
from escrowd.testing.recorded_scenario import SECTIONS
from escrowd.testing.simulation.loop import SimulatedLoop
from escrowd.testing.simulation.wallet_rpc import NEW_RPC, OLD_RPC
from tests.simulation.simulated_ground import Answered, SimulatedGround, fields_of

CallT = TypeVar("CallT", RecordedReply, Answered)

RECORDED: Final = Path(__file__).parents[1] / "recorded"
RELEASES: Final = {"0.18.0.0": OLD_RPC, "0.18.5.3": NEW_RPC}

#: Calls whose outcome is another one here. The service lets wallets submit to a recorder of its own
#: (``escrowd.wallets.submissions``), which takes everything, and a simulated wallet knows no other way. That daemons
#: refuse the raw transactions is compared.
OTHERWISE: Final = {
    ("rival in the pool", "submit_multisig"),
    ("rival in the chain", "submit_multisig"),
    ("submitted with the daemon away", "submit_multisig"),
}


def recording(release: str) -> Recording:
    return msgspec.json.decode((RECORDED / f"{release}.json").read_bytes(), type=Recording)


def simulated(release: str) -> list[Answered]:
    ground = SimulatedGround(RELEASES[release])

    async def play() -> None:
        for section in SECTIONS:
            await section(ground)

    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(play())
    return ground.recorder.answered


@pytest.mark.parametrize("release", RELEASES)
def test_simulation_answers_as_recorded(release: str) -> None:
    """Each reply of the simulated servers has the shape of the real one, and each refusal its code and message."""
    differences = list(_differences(recording(release), simulated(release)))
    assert not differences, "\n".join([f"{release}:", *differences])


# ---------------------------------------------------------------------------------------------------------------------

#: Digits of hexadecimal values whose length is a matter of the protocol.
_FIXED: Final = 128
_NUMBER: Final = re.compile(r"\d+(\.\d+)?")
_MASKED: Final = re.compile(r"<([a-z ]+)(?: (\d+))?>")


def _differences(real: Recording, ours: list[Answered]) -> Iterator[str]:
    wanted, given = _by_place(real.replies), _by_place(ours)
    for place, answered in given.items():
        name = f"{place[0]!r}: {place[1]}.{place[2]}"
        recorded = wanted.get(place)
        if (place[0], place[2]) in OTHERWISE:
            continue
        if recorded is None:
            yield f"{name}: not recorded"
        elif isinstance(answered.outcome, Refused) or recorded.refusal is not None:
            yield from (f"{name}: {each}" for each in _refusals_differ(recorded, answered.outcome))
        else:
            theirs = msgspec.convert(recorded.reply, type=answered.kind, dec_hook=lambda _kind, text: Secret(text))
            here = masked("", fields_of(answered.outcome))
            for field, difference in _fields_differ("", fields_of(theirs), here):
                yield f"{name}: {field} {difference}"


def _by_place(replies: Iterable[CallT]) -> dict[tuple[str, str, str, int], CallT]:
    """Name each call by step, server, method and its number among the calls that have those in common."""
    counts: Counter[object] = Counter()
    numbered: dict[tuple[str, str, str, int], CallT] = {}
    for each in replies:
        counts[each.step, each.server, each.method] += 1
        numbered[each.step, each.server, each.method, counts[each.step, each.server, each.method]] = each
    return numbered


def _refusals_differ(recorded: RecordedReply, outcome: object) -> Iterator[str]:
    real = recorded.refusal and (recorded.refusal.code, _NUMBER.sub("n", recorded.refusal.message))
    ours = (outcome.code, _NUMBER.sub("n", masked_text(outcome.reason))) if isinstance(outcome, Refused) else None
    if real != ours:
        yield f"is refused with {ours}, and really with {real}"


def _fields_differ(name: str, real: object, ours: object) -> Iterator[tuple[str, str]]:
    if isinstance(real, Mapping) and isinstance(ours, Mapping):
        for each in sorted(real.keys() | ours.keys()):
            yield from _fields_differ(f"{name}.{each}".lstrip("."), real.get(each), ours.get(each))
    elif isinstance(real, list | tuple) and isinstance(ours, list | tuple):
        if len(real) != len(ours):
            yield name, f"has {len(ours)} entries, and really {len(real)}"
        for one, other in zip(real, ours, strict=False):
            yield from _fields_differ(name, one, other)
    elif _kind(real) != _kind(ours):
        yield name, f"is {ours!r}, and really {real!r}"


def _kind(value: object) -> object:
    """Return what two values must have in common."""
    if isinstance(value, str) and (found := _MASKED.fullmatch(value)):
        length = int(found[2] or 0)
        return found[1], length if length <= _FIXED else "long"
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return "0" if value == 0 else "a number"
