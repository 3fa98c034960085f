"""Tells systemd when the service is ready and when it stops (``sd_notify``)."""

import os
import socket


def tell_systemd(state: str) -> None:
    """Send a state, such as ``READY=1``. Without systemd nothing happens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    # A name that begins with '@' is one of Linux's abstract names.
    path = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
        told.sendto(state.encode(), path)
