"""Free ports on the loopback address."""

import socket
from contextlib import ExitStack
from typing import Final

LOOPBACK: Final = "127.0.0.1"


def free_ports(count: int) -> tuple[int, ...]:
    """Return so many different TCP ports on which nothing listens at the moment.

    A port is not reserved: until its server listens, another program may take it. Whoever starts a server tries again
    with other ports when that happens.
    """
    with ExitStack() as stack:
        # All are held at once, so that the kernel gives none of them twice.
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return tuple(each.getsockname()[1] for each in sockets)
