"""The reference of all commands, in Markdown, from the commands themselves."""

from typing import Final

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command


def commands_page(app: typer.Typer) -> str:
    """Return the whole reference page of a command and those below it."""
    commands = get_command(app)
    context = typer.Context(commands, info_name=NAME)
    text = get_docs_for_click(obj=commands, ctx=context, name=NAME)
    _, _, rest = text.partition("\n")
    return f"{_HEAD}\n{rest.rstrip()}\n"


#: How the command is called.
NAME: Final = "escrowd"

# ---------------------------------------------------------------------------------------------------------------------

_HEAD: Final = """# Commands

<!-- Made by scripts/make-docs; do not edit. -->

Exit codes: 0 done, 1 failed, 2 wrong usage. What went wrong is one line on standard error: what, who has to act, and
whether trying again is safe. With `--json` there is one JSON document on standard output and nothing else.

`escrowd --install-completion` makes your shell complete commands, options, statuses, scopes and roles; start a new
shell afterwards. `escrowd --show-completion` prints it, to be installed by hand.

Where keys, escrows and the audit are concerned, commands work on the database itself, beside a running service or
without one; a decision is carried out by the service, within a second or when it is started. `sessions` asks the
running service, as its operator: the vault key of the settings proves that.
"""
