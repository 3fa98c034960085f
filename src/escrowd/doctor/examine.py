"""Makes all checks that can be made, and reports what they found."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from escrowd.doctor.check import Check, Need, Surroundings, surroundings_of
from escrowd.doctor.findings import Finding, Severity
from escrowd.doctor.settings import wrong_settings
from escrowd.doctor.table import BROKE, CHECKS, TOO_SLOW
from escrowd.settings.errors import InvalidSettings
from escrowd.settings.loading import load_settings


class LeftOut(msgspec.Struct, frozen=True):
    """A check that was not made, and what it needs that was not well."""

    check: str
    needs: tuple[Need, ...]


class Report(msgspec.Struct, frozen=True):
    """What was found, in the order of the checks, and what could not be looked at."""

    findings: tuple[Finding, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def has_faults(self) -> bool:
        """Whether anything has to be mended. A warning is none."""
        return any(each.severity is Severity.FAULT for each in self.findings)


async def examine(config: Path | None = None, environment: Mapping[str, str] | None = None) -> Report:
    """Look at everything that the settings name. Nothing is raised: what is wrong is in the report."""
    try:
        settings = await asyncio.to_thread(load_settings, config, None, environment)
    except InvalidSettings as error:
        return Report((wrong_settings(error),))
    async with surroundings_of(settings) as around:
        return await examine_all(around)


async def examine_all(around: Surroundings, checks: Sequence[Check] = CHECKS) -> Report:
    """Make these checks, together as far as they do not need each other."""
    found: dict[str, tuple[Finding, ...]] = {}
    given: set[Need] = set()
    while ready := [each for each in checks if each.name not in found and each.needs <= given]:
        results = await asyncio.gather(*(_result(each, around) for each in ready))
        found |= {each.name: result for each, result in zip(ready, results, strict=True)}
        given |= {each.gives for each in ready if each.gives is not None and not found[each.name]}
    return Report(
        tuple(finding for each in checks for finding in found.get(each.name, ())),
        tuple(LeftOut(each.name, tuple(sorted(each.needs - given))) for each in checks if each.name not in found),
    )


# ---------------------------------------------------------------------------------------------------------------------


async def _result(check: Check, around: Surroundings) -> tuple[Finding, ...]:
    try:
        async with asyncio.timeout(check.timeout):
            return tuple(await check.look(around))
    except TimeoutError:
        return (TOO_SLOW.found(check=check.name, seconds=f"{check.timeout:g}"),)
    except Exception as error:  # noqa: BLE001 - whatever breaks in a check is a finding, and hides no other one
        return (BROKE.found(check=check.name, error=f"{type(error).__name__}: {error}"),)
