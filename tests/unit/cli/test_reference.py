from pathlib import Path

import pytest
from typer.testing import CliRunner

from escrowd.cli.main import app
from escrowd.cli.reference import commands_page

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"
#: Commands of administration that the contract names, each of which takes --json and --config.
ADMINISTRATION = (
    *(f"keys {name}" for name in ("create", "list", "revoke")),
    *(
        f"escrows {name}"
        for name in ("list", "show", "log", "links", "resume", "release", "refund", "rule", "split", "settle", "cancel")
    ),
    *(f"sessions {name}" for name in ("list", "show", "close", "stats")),
    "audit list",
)


def test_page_and_commands_have_drifted_apart() -> None:
    """The page of commands is what the commands say; ``make docs`` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == commands_page(app)


@pytest.mark.parametrize("command", ADMINISTRATION)
def test_command_is_not_told_of(command: str) -> None:
    """Every command of administration is on the page, with its options for programs and settings."""
    _, _, after = commands_page(app).partition(f"## `escrowd {command}`")
    told = after.partition("\n## ")[0]
    assert "`--json`" in told
    assert "`-c, --config" in told


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("escrowd escrows list --status dis", "disputed"),
        ("escrowd keys create --scope escrows", "escrows:write"),
        ("escrowd escrows links esc_1 --rotate v", "vendor"),
        ("escrowd esc", "escrows"),
    ],
)
def test_shell_does_not_complete(words: str, expected: str) -> None:
    """Commands, statuses, scopes and roles are completed, from the very enums that the program works with."""
    environment = {"_ESCROWD_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words}
    offered = CliRunner().invoke(app, [], prog_name="escrowd", env=environment).output
    assert expected in offered.replace("\\", "")
