"""Which addresses may be connected to. Pure: no look-ups.

Public is what the registries of IANA do not set aside (iana-ipv4-special-registry, iana-ipv6-special-registry). The
table is written out, since ``ipaddress.is_global`` means different things in different versions of Python.
"""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


def may_be_sent_to(address: Address, allowed: Collection[Network], *, encrypted: bool) -> bool:
    """Tell whether an address may be connected to: it is public, or in a network that a setting names.

    What is not encrypted goes to such a network only.
    """
    meant = _meant(address)
    return is_in(meant, allowed) or (encrypted and _is_public(meant))


def is_in(address: Address, networks: Collection[Network]) -> bool:
    """Tell whether an address is in one of these networks."""
    return any(address.version == each.version and address in each for each in networks)


# ---------------------------------------------------------------------------------------------------------------------


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(each) for each in text.split())


#: What is not public in IPv4: this host, private, shared, loopback, link-local (where clouds keep their metadata),
#: protocol assignments, documentation, relays of 6to4, benchmarks, multicast, reserved and broadcast.
_NOT_PUBLIC_4: Final = _networks(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
)
#: Global unicast in IPv6. All the rest is loopback, private, link-local, multicast, or not given to anybody.
_GLOBAL_6: Final = IPv6Network("2000::/3")
#: What is not public in it: protocol assignments with Teredo, documentation, and 6to4, which wraps an IPv4 address.
_NOT_PUBLIC_6: Final = _networks("2001::/23 2001:db8::/32 2002::/16 3fff::/20")
#: Wraps an IPv4 address for networks that have IPv6 only; what is wrapped is what is reached.
_NAT64: Final = IPv6Network("64:ff9b::/96")


def _meant(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address leads to, where it is nothing but its wrapping."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not is_in(address, _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and address.scope_id is None and not is_in(address, _NOT_PUBLIC_6)
