"""The gate before the service: which Monero it may start on."""

import structlog

from escrowd.domain.errors import EscrowdError, Fault
from escrowd.monero.daemon import daemon_client
from escrowd.monero.errors import MoneroError
from escrowd.monero.programs import release_of
from escrowd.monero.transport import Connections, Endpoint
from escrowd.monero.versions import Engine, Verdict, judge_engine
from escrowd.service.engine import EngineSettings, engine_state
from escrowd.wallets.process import WalletProgram

log = structlog.get_logger()


class EngineRefused(EscrowdError):
    """The service does not hold money on this Monero."""

    fault = Fault.OPERATOR


async def check_engine(program: WalletProgram, settings: EngineSettings) -> None:
    """Go on only on a Monero that may hold money here, and log what an operator has to be warned of.

    A daemon that does not answer does not keep the service from starting: it is judged when it does.

    Raises:
        EngineRefused: the version table refuses it on this network; the message has each reason and what allows it.
        UnknownVersion: the wallet program prints no version of Monero.

    """
    verdict = await _verdict(program, settings)
    if verdict.refusals:
        raise EngineRefused("this Monero is refused on mainnet: " + "; ".join(verdict.refusals))
    for warning in verdict.warnings:
        log.warning("monero.risk", risk=warning)


# ---------------------------------------------------------------------------------------------------------------------


async def _verdict(program: WalletProgram, settings: EngineSettings) -> Verdict:
    async with Connections() as connections:
        daemon = daemon_client(connections, Endpoint(program.daemon_host, program.daemon_port))
        try:
            return (await engine_state(daemon, program.path, settings)).verdict
        except MoneroError as error:
            log.warning("monero.not_asked", error=str(error))
            return judge_engine(Engine(wallet=release_of(program.path)), settings.network, settings.allowed)
