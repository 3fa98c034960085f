"""Options that many commands take."""

from typing import Annotated

import typer

from escrowd.cli.serve import ConfigOption as ConfigOption

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. Needed with --json.")]
EscrowArgument = Annotated[str, typer.Argument(metavar="ESCROW", help="The id of the escrow: esc_…")]
