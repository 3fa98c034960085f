import asyncio
import logging
from collections.abc import Iterator

import pytest
import structlog

from escrowd.monero.programs import programs_directory

pytest_plugins = ["escrowd.testing.fixtures", "tests.wallet_fixtures", "tests.matrix_sample"]

# On Python 3.11 pytest-asyncio asks for the current event loop before it sets its own; asyncio then makes one that
# nobody closes, and its ResourceWarning fails whichever test runs when it is collected. With this, none is made.
asyncio.set_event_loop(None)

# The log of a failed test is for people: what happened, without each of a thousand calls.
# The usual tracebacks for people show all variables, which takes a minute for one through a whole application.
structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S.%f"),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ],
)


def pytest_report_header() -> str:
    """Name the Monero that the tests of this run use: CI runs those of money on two."""
    return f"Monero: {programs_directory()}"


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Undo what a test did to the log, such as one that runs a command."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)
