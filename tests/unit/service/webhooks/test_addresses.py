from ipaddress import ip_address, ip_network

import pytest

from escrowd.service.webhooks.addresses import may_be_sent_to
from tests.unit.service.webhooks.conftest import words

PUBLIC = words(
    """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255
    169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255
    198.20.0.0 223.255.255.255 2606:4700::1111 2a00:1450::1 2001:4860:4860::8888 2400:cb00::1 2003::1 ::ffff:8.8.8.8
    64:ff9b::8.8.8.8
    """
)
NOT_PUBLIC = words(
    """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.255 169.254.169.254
    169.254.0.1 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255
    198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::127.0.0.1 ::8.8.8.8
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::127.0.0.1 64:ff9b::a00:1 64:ff9b::169.254.169.254
    64:ff9b:1::7f00:1 100::1 2001::1 2001:0:7f00:1:: 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1::1
    2002:a00:1::1 2002:808:808::1 3fff::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 2606:4700::1%eth0 fec0::1 ff02::1
    4000::1 8000::1
    """
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_refused(address: str) -> None:
    """An address of the public internet is sent to over TLS, and never without."""
    assert may_be_sent_to(ip_address(address), (), encrypted=True)
    assert not may_be_sent_to(ip_address(address), (), encrypted=False)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_inner_address_is_sent_to(address: str) -> None:
    """An address that is set aside is not sent to, however it is wrapped."""
    assert not may_be_sent_to(ip_address(address), (), encrypted=True)


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "fd00::7"])
def test_allowed_network_is_refused(address: str) -> None:
    """An address in a network that a setting names is sent to, with TLS or without, and no other one for its sake."""
    allowed = (ip_network("10.1.0.0/16"), ip_network("fd00::/64"))
    assert all(may_be_sent_to(ip_address(address), allowed, encrypted=each) for each in (True, False))
    assert not may_be_sent_to(ip_address("10.2.0.1"), allowed, encrypted=True)
    assert not may_be_sent_to(ip_address("8.8.8.8"), allowed, encrypted=False)
