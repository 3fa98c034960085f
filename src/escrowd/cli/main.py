"""``escrowd``: all commands, and how the command line ends."""

import sys
from typing import Annotated, Final

import typer

from escrowd import __version__
from escrowd.cli.audit import audit_app
from escrowd.cli.backup import backup, restore
from escrowd.cli.bench import bench_app
from escrowd.cli.chain import chain_app
from escrowd.cli.decisions import escrows_app
from escrowd.cli.demo import demo
from escrowd.cli.doctor import doctor
from escrowd.cli.keys import keys_app
from escrowd.cli.node import node
from escrowd.cli.sandbox import sandbox
from escrowd.cli.serve import serve
from escrowd.cli.sessions import sessions_app
from escrowd.cli.verify_log import verify_log
from escrowd.cli.webhooks import webhooks_app
from escrowd.domain.errors import EscrowdError, Fault, Retry

app = typer.Typer(
    name="escrowd",
    no_args_is_help=True,
    help="Self-hosted 2-of-3 multisig escrow for Monero.",
    # The traceback of a bug must not show what a variable holds: it may be a secret.
    pretty_exceptions_show_locals=False,
)
app.command()(serve)
app.command()(node)
app.command()(sandbox)
app.command()(backup)
app.command()(restore)
app.command("verify-log")(verify_log)
app.command()(demo)
app.command()(doctor)
app.add_typer(keys_app, name="keys")
app.add_typer(escrows_app, name="escrows")
app.add_typer(webhooks_app, name="webhooks")
app.add_typer(sessions_app, name="sessions")
app.add_typer(audit_app, name="audit")
app.add_typer(chain_app, name="chain")
app.add_typer(bench_app, name="bench")


def run() -> None:
    """Run the command line: exit 0 when done, 1 when something failed, 2 when the command was wrong."""
    try:
        app(prog_name="escrowd")
    except EscrowdError as error:
        sys.stderr.write(explain(error) + "\n")
        sys.exit(1)


def explain(error: EscrowdError) -> str:
    """Say in one line what went wrong, who has to act, and what trying again would mean."""
    what = " ".join(str(error).split())
    return f"escrowd: {what} [{_WHO_ACTS[error.fault]}; {_TRYING_AGAIN[error.retry]}]"


# ---------------------------------------------------------------------------------------------------------------------

_WHO_ACTS: Final = {
    Fault.CALLER: "what was asked for is wrong",
    Fault.OPERATOR: "the set-up of this machine needs mending",
    Fault.MONERO: "Monero did not do its work",
    Fault.LOAD: "this machine is too busy",
    Fault.ESCROWD: "a bug of escrowd, please report it",
}
_TRYING_AGAIN: Final = {
    Retry.SAFE: "trying again is safe",
    Retry.POINTLESS: "trying again will fail the same way until that has changed",
    Retry.UNKNOWN: "it may have happened, so look before trying again",
}


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"escrowd {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Self-hosted 2-of-3 multisig escrow for Monero."""


if __name__ == "__main__":
    run()
