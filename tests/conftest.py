import asyncio
import logging

import structlog

pytest_plugins = ["escrowd.testing.fixtures", "tests.wallet_fixtures"]

# On Python 3.11 pytest-asyncio asks for the current event loop before it sets its own; asyncio then makes one that
# nobody closes, and its ResourceWarning fails whichever test runs when it is collected. With this, none is made.
asyncio.set_event_loop(None)

# The log of a failed test is for people: what happened, without each of a thousand calls.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
