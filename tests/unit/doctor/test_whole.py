"""The doctor as a whole: what it says of a healthy place, and that no check hides another."""

import ast
import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import CliRunner

from escrowd.cli.main import app
from escrowd.doctor.check import Check, Need, Surroundings
from escrowd.doctor.examine import examine_all
from escrowd.doctor.findings import Finding
from escrowd.doctor.page import doctor_page
from escrowd.doctor.table import CHECKS, kinds
from escrowd.store.database import Database
from tests.doctor_place import Place, StubDaemon, contents, told

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "doctor.md"


def codes_in_tests() -> Iterator[str]:
    """Yield the code of each finding that a test has told, from the calls of ``told`` in all tests of the doctor."""
    for path in sorted((ROOT / "tests").glob("*/doctor/test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "told":
                code = node.args[1]
                if isinstance(code, ast.Constant):
                    yield str(code.value)


async def break_down(around: Surroundings) -> NoReturn:
    raise ZeroDivisionError("by nothing")


async def hang(around: Surroundings) -> Iterable[Finding]:
    await asyncio.Event().wait()
    return ()


def test_kind_of_fault_is_not_tested() -> None:
    """Every kind of finding in the table of checks is brought about by a test, which tells it by its code."""
    codes = [each.code for each in kinds()]
    assert set(codes) - set(codes_in_tests()) == set()
    assert len(codes) == len(set(codes)) >= 40


def test_need_is_given_by_nobody() -> None:
    """Each need is given by exactly one check, and checks have names of their own."""
    assert sorted(each.gives for each in CHECKS if each.gives) == sorted(Need)
    assert len({each.name for each in CHECKS}) == len(CHECKS)


async def test_healthy_place_has_faults(place: Place) -> None:
    """Where nothing is wrong, nothing is told, and no check is left out."""
    report = await place.report()
    assert report.findings == ()
    assert report.left_out == ()
    assert not report.has_faults


async def test_doctor_changes_something(place: Place) -> None:
    """Whatever the doctor looks at stays as it is, byte by byte, and nothing is made; also beside a running service."""
    before = contents(place.directory)
    await place.report()
    assert contents(place.directory) == before
    async with Database(place.loaded().database_url) as database:
        async with database.transaction() as session:
            await session.connection.exec_driver_sql("INSERT INTO nodes VALUES ('n', 1)")
        before = contents(place.directory)
        assert (await place.report()).findings == ()
        assert contents(place.directory) == before


async def test_doctor_makes_what_is_missing(place: Place) -> None:
    """A data directory and a database that are missing are told of, and still missing afterwards."""
    place.write(data_directory=str(place.directory / "elsewhere"))
    before = contents(place.directory)
    codes = {each.code for each in (await place.report()).findings}
    assert {"data.missing", "database.new"} <= codes
    assert contents(place.directory) == before


async def test_broken_check_hides_others(place: Place) -> None:
    """A check that breaks is itself a finding, and all others are made."""
    place.data.chmod(0o755)
    checks = (Check("breaks", break_down, ()), *CHECKS)
    async with place.surroundings() as around:
        broke, other = (await examine_all(around, checks)).findings
    told([broke], "doctor.broke", mend="report it")
    assert "ZeroDivisionError: by nothing" in broke.what
    assert other.code == "data.readable"


async def test_check_that_hangs_is_waited_for(place: Place) -> None:
    """A check that takes too long is given up, and told of."""
    async with place.surroundings() as around:
        report = await examine_all(around, [Check("hangs", hang, (), timeout=0.05)])
    told(report.findings, "doctor.too_slow", mend="look again")


async def test_slow_question_to_sqlite_is_waited_for(place: Place) -> None:
    """A question that SQLite would answer never is given up with its check."""

    async def ask(around: Surroundings) -> Iterable[Finding]:
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
        async with around.opened.reading() as session:
            await session.connection.exec_driver_sql(endless)
        return ()

    async with asyncio.timeout(20), place.surroundings() as around:
        report = await examine_all(around, [Check("asks", ask, (), timeout=0.2)])
    told(report.findings, "doctor.too_slow", mend="look again")


async def test_check_without_what_it_needs_is_made(place: Place, daemon: StubDaemon) -> None:
    """Where the daemon is no daemon, what is to be asked of it is left out, and named with what is missing."""
    daemon.rubbish = 200, b"hello"
    report = await place.report()
    assert [each.code for each in report.findings] == ["daemon.not_monero"]
    assert all(each.needs for each in report.left_out)
    assert {need for each in report.left_out for need in each.needs} == {Need.DAEMON, Need.NETWORK}


async def test_need_is_given_in_spite_of_a_finding(place: Place) -> None:
    """A check that found something gives nothing to those that need it, a mere warning no more than a fault."""
    broken = replace(CHECKS[0], look=break_down, needs=frozenset(), gives=Need.DAEMON)
    async with place.surroundings() as around:
        report = await examine_all(around, [broken, Check("after", hang, (), frozenset({Need.DAEMON}))])
    assert [each.check for each in report.left_out] == ["after"]


def test_page_and_table_have_drifted_apart() -> None:
    """The page of findings is what the table of checks says; ``make docs`` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == doctor_page()


def test_exit_code_says_nothing(place: Place) -> None:
    """The command exits 0 where nothing is wrong or only a warning is told, 1 with a line for each fault."""
    arguments = ["doctor", "--config", str(place.config)]
    environment: dict[str, str | None] = {"ESCROWD_VAULT_KEY": None}
    place.data.chmod(0o700)
    (place.data / "escrowd.sqlite").unlink()
    place.write(daemon__port=1)
    place.key.chmod(0o644)
    result = CliRunner().invoke(app, arguments, env=environment)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [
        ["fault", "vault.key_readable:"],
        ["warning", "database.new:"],
        ["fault", "daemon.out_of_reach:"],
    ]
    assert all(line.count("To mend it: ") == 1 for line in lines[:-1])
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"], env=environment).stdout)
    assert [each["severity"] for each in found["findings"]] == ["fault", "warning", "fault"]


@pytest.mark.parametrize("as_json", [True, False])
def test_settings_are_shown_with_their_secrets(place: Place, *, as_json: bool) -> None:
    """``--show-settings`` shows each setting with its origin, secrets masked, and checks nothing."""
    place.write(database__url="postgresql://escrowd:hunter2hunter2@db/escrowd", daemon__port=1)
    arguments = ["doctor", "--config", str(place.config), "--show-settings", *(["--json"] if as_json else [])]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "database.url" in result.stdout
    assert str(place.config) in result.stdout
    assert "hunter2" not in result.stdout
