"""Which URLs may be given for an endpoint.

They are read with the very library that the client reads them with, so the two cannot take a URL differently. A host
that is meant as an address must be written in the one usual way: ``127.1``, ``0x7f000001`` and ``2130706433`` are
addresses to some programs and names to others.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, ip_address
from typing import Final

from yarl import URL

from escrowd.service.webhooks.addresses import Address, Network, may_be_sent_to
from escrowd.service.webhooks.errors import UnusableUrl

LONGEST_URL: Final = 2048


def checked_url(text: str, allowed: Collection[Network]) -> URL:
    """Take a text as the URL of an endpoint. ``allowed`` are the networks that the settings name.

    What a name resolves to is not looked at here: that is done at each delivery.

    Raises:
        UnusableUrl: it is none, with the reason.

    """
    if len(text) > LONGEST_URL:
        raise UnusableUrl(f"the URL has {len(text)} characters, and may have {LONGEST_URL} at most")
    if not _PRINTABLE.fullmatch(text):
        raise UnusableUrl(
            "a URL has printable ASCII characters only, and no backslash: write others in percent encoding, "
            "and a host name in its form with 'xn--'"
        )
    url = _parsed(text)
    _check_parts(url, text)
    _check_host(url, allowed)
    return url


def literal_address(host: str) -> Address | None:
    """Return the address that a host is written as; ``None`` where it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


# ---------------------------------------------------------------------------------------------------------------------

_PRINTABLE: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
_END_OF_AUTHORITY: Final = re.compile("[/?#]")
_LABEL: Final = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
#: The last label of what a browser takes as an IPv4 address, whatever stands before it.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


def _parsed(text: str) -> URL:
    try:
        url = URL(text)
        if url.scheme not in {"https", "http"} or not url.raw_host:
            raise UnusableUrl("a URL begins with 'https://' and a host")
    except ValueError:
        # Without the cause, which repeats the text: a URL may hold a secret of the caller's.
        raise UnusableUrl("this is no URL: look at its host, its port (1 to 65535) and its brackets") from None
    return url


def _check_parts(url: URL, text: str) -> None:
    if "@" in _END_OF_AUTHORITY.split(text.partition("//")[2], 1)[0]:
        raise UnusableUrl("a URL with user name or password is not taken: verify the signature of what you receive")
    if "#" in text:
        raise UnusableUrl("a URL with a fragment ('#') is not taken: it would not be sent")
    if not url.port:
        raise UnusableUrl("a port is a number from 1 to 65535")


def _check_host(url: URL, allowed: Collection[Network]) -> None:
    host = url.raw_host or ""
    encrypted = url.scheme == "https"
    if not encrypted and not allowed:
        raise UnusableUrl("events are sent over https only")
    address = literal_address(host)
    if address is None:
        _check_name(host)
    elif "%" in host:
        raise UnusableUrl("an address with a zone ('%') is one of this machine's links, and not taken")
    elif not may_be_sent_to(address, allowed, encrypted=encrypted):
        raise UnusableUrl(_REFUSED[encrypted])


def _check_name(host: str) -> None:
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        raise UnusableUrl(f"write an IPv4 address as four decimal numbers, such as {IPv4Address(0x08080808)}")
    if not _NAME.fullmatch(host) or len(host) > _LONGEST_NAME:
        raise UnusableUrl("the host is neither a name nor an address; a name has no dot at its end")


_LONGEST_NAME: Final = 253
_REFUSED: Final = {
    True: "the address is not public, and in no network that this service may send to",
    False: "without TLS, events are sent only to networks that the operator has named; use https",
}
