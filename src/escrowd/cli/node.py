"""``escrowd node``: a further worker on a shared database. Not offered yet, and says so."""

from typing import Annotated

import typer

from escrowd.cli.serve import ConfigOption
from escrowd.service.errors import NodesNotOffered


def node(
    *,
    config: ConfigOption = None,  # noqa: ARG001 - as the contract has it
    name: Annotated[str | None, typer.Option("--node", help="The name of this process.")] = None,  # noqa: ARG001
) -> None:
    """Run a further node that hosts wallets, on a shared PostgreSQL. Not offered yet: it says so, and exits 1."""
    raise NodesNotOffered
