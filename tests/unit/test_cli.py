import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from escrowd import __version__
from escrowd.cli import main
from escrowd.cli.interruption import run_until_interrupted
from escrowd.domain.errors import EscrowdError, Fault, Retry


class OneDiskIsFull(EscrowdError):
    fault = Fault.OPERATOR
    retry = Retry.SAFE


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run the command line as the installed program does, and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["escrowd", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.run()
    return ended.value.code


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("--nonsense",), ("demo", "--nonsense"), ("demo", "too", "much"), ("bench", "nonsense")],
)
def test_wrong_usage_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """A command that does not exist, or an option too many, exits 2 and says so on standard error alone."""
    assert run(monkeypatch, *arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "Usage: escrowd" in output.err


def test_version_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """``--version`` prints the version of the package and exits 0."""
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"escrowd {__version__}\n"


def test_help_names_the_commands() -> None:
    """The help names each command, also when nothing at all was asked for."""
    for arguments in ([], ["--help"]):
        output = CliRunner().invoke(main.app, arguments).output
        assert "demo" in output
        assert "bench" in output


def test_expected_error_is_one_line_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An EscrowdError exits 1 with one line: what went wrong, who has to act, and whether to try again."""

    async def fail(reporter: object, scenarios: object) -> None:
        raise OneDiskIsFull("no space left\n  on the disk of the wallets")

    monkeypatch.setattr("escrowd.cli.demo.tell", fail)
    assert run(monkeypatch, "demo", "--json") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "escrowd: no space left on the disk of the wallets "
        "[the set-up of this machine needs mending; trying again is safe]\n"
    )


def test_missing_program_is_named_with_its_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Where a program of Monero is missing, the demo names its path and the command that installs it."""
    monkeypatch.setenv("ESCROWD_MONERO_DIR", str(tmp_path))
    assert run(monkeypatch, "demo", "--json") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"escrowd: {tmp_path / 'monerod'} is missing. 'make setup' installs the pinned Monero")
    assert error.count("\n") == 1


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("retry", Retry)
def test_every_kind_of_error_is_explained(fault: Fault, retry: Retry) -> None:
    """There are words for every fault and for what trying again would mean."""
    kind = type("Kind", (EscrowdError,), {"fault": fault, "retry": retry})
    assert main.explain(kind("it broke")).startswith("escrowd: it broke [")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted_command_cleans_up_and_exits_as_shells_expect(number: signal.Signals, code: int) -> None:
    """A signal cancels the work once; its clean-up runs to the end, however often the signal comes again."""
    heard: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(60)
        finally:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.05)
            heard.append("cleaned up")

    # Whoever runs the tests may have told them to ignore it, as nohup does; then the command would, too.
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(typer.Exit) as ended:
            run_until_interrupted(work(), lambda: heard.append("interrupted"))
    finally:
        signal.signal(number, before)
    assert ended.value.exit_code == code
    assert heard == ["interrupted", "cleaned up"]


def test_error_of_an_uninterrupted_command_is_not_swallowed() -> None:
    """Without a signal, an error passes through as it is."""

    async def work() -> None:
        raise OneDiskIsFull

    with pytest.raises(OneDiskIsFull):
        run_until_interrupted(work(), lambda: None)
