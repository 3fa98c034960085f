"""``escrowd sessions``: the wallets that the running service holds open."""

import typer

from escrowd.cli.options import ConfigOption, EscrowArgument, JsonOption
from escrowd.cli.running import running_service
from escrowd.cli.showing.paper import say, write, write_json
from escrowd.cli.showing.sessions import session_facts, sessions_table, stats_facts
from escrowd.domain.errors import EscrowdError, Fault
from escrowd.domain.identifiers import parse_escrow_id

sessions_app = typer.Typer(no_args_is_help=True, help="Wallet sessions of the service that runs on this machine.")


class NoSuchSession(EscrowdError):
    """The wallets of this escrow are not open."""

    fault = Fault.CALLER


@sessions_app.command("list")
def list_sessions(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the wallet sessions that are open."""
    with running_service(config) as service:
        found = service.sessions.list()
    if as_json:
        write_json(found)
    else:
        write(sessions_table(found.items))


@sessions_app.command("show")
def show_session(escrow: EscrowArgument, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show the wallet session of one escrow; exit 1 where none is open."""
    wanted = parse_escrow_id(escrow)
    with running_service(config) as service:
        found = [each for each in service.sessions.list().items if each.escrow == wanted]
    if not found:
        raise NoSuchSession(f"the wallets of {wanted} are not open: the next use opens them")
    if as_json:
        write_json(found[0])
    else:
        write(session_facts(found[0]))


@sessions_app.command("close")
def close_session(escrow: EscrowArgument, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Save and close the wallets of an escrow as soon as nobody uses them. The next use opens them again."""
    wanted = parse_escrow_id(escrow)
    with running_service(config) as service:
        service.sessions.close(wanted)
    if as_json:
        write_json({"escrow": wanted, "is_open": False})
    else:
        say(f"The wallets of {wanted} are saved and closed.")


@sessions_app.command("stats")
def session_stats(*, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Count the wallet sessions, and how leases went since the service began."""
    with running_service(config) as service:
        stats = service.sessions.stats()
    if as_json:
        write_json(stats)
    else:
        write(stats_facts(stats))
