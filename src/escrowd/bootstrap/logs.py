"""Where logs go, and in which form."""

import sys
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from escrowd.domain.cause import present_cause


def configure_logging(*, level: int, as_json: bool) -> None:
    """Send structured logs to standard error: lines for people, or JSON for programs."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_cause,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(_FOR_PROGRAMS if as_json else [_for_people()]),
        ],
    )


# ---------------------------------------------------------------------------------------------------------------------


#: Without the first one, JSON has no traceback.
_FOR_PROGRAMS: Final = (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())


def _for_people() -> structlog.dev.ConsoleRenderer:
    # The usual tracebacks for people show the values of variables, and keys and tokens are among those.
    plain = structlog.dev.plain_traceback
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)


def _add_cause(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if cause := present_cause():
        event["cause"] = cause
    return event
