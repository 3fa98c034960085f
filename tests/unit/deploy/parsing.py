"""Reads the files of ``deploy/`` as far as their tests need it."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a container file, its lines joined; ``stage`` counts the ``FROM`` before it, from 1."""

    name: str
    text: str
    stage: int


def unit_settings(path: Path) -> Mapping[str, list[str]]:
    """Return the values of each setting of a systemd unit, in their order, named ``Section.Setting``."""
    settings: dict[str, list[str]] = {}
    section = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"\[(\w+)\]", line):
            section = found[1]
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            settings.setdefault(f"{section}.{name}", []).append(value)
    return settings


def seconds(span: str) -> float:
    """Return how long a time span of systemd is that names one unit, or none for seconds."""
    found = re.fullmatch(r"(\d+)(s|min)?", span)
    assert found is not None, span
    return float(found[1]) * (60 if found[2] == "min" else 1)


def instructions(path: Path) -> Iterator[Instruction]:
    """Yield the instructions of a container file."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    stage = 0
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, text = line.strip().partition(" ")
        if name:
            stage += name == "FROM"
            yield Instruction(name, text, stage)


def environment(text: str) -> Mapping[str, str]:
    """Return the variables of an ``ENV`` instruction."""
    return dict(pair.split("=", 1) for pair in shlex.split(text))
