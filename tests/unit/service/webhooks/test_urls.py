import pytest

from escrowd.service.webhooks.errors import UnusableUrl
from escrowd.service.webhooks.urls import LONGEST_URL, checked_url
from escrowd.testing.receiver import LOOPBACK

USABLE = [
    "https://shop.example/hook",
    "HTTPS://Shop.Example/hook?shop=7",
    "https://shop.example:8443/",
    "https://xn--bcher-kva.example/",
    "https://my_host.example/a%20b",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/hook",
    "https://shop.example/" + "a" * (LONGEST_URL - 21),
]
UNUSABLE = {
    "http://shop.example/": "https only",
    "ftp://shop.example/": "begins with",
    "file:///etc/passwd": "begins with",
    "gopher://127.0.0.1:70/_x": "begins with",
    "shop.example/hook": "begins with",
    "//shop.example/": "begins with",
    "https:///hook": "begins with",
    "": "printable",
    "https://shop.example/ü": "printable",
    "https://①②⑦.⓪.⓪.①/": "printable",
    "https://shop.example/a b": "printable",
    "https://shop.example\\@evil.example/": "printable",
    "https://shop.example/\r\nx: y": "printable",
    "https://user:pa55@shop.example/": "user name",
    "https://8.8.8.8@shop.example/": "user name",
    "https://@shop.example/": "user name",
    "https://shop.example/#part": "fragment",
    "https://shop.example:0/": "port",
    "https://shop.example:65536/": "no URL",
    "https://shop.example:x/": "no URL",
    "https://[::1/": "no URL",
    "https://[8.8.8.8]/": "no URL",
    "https://shop.example./": "dot at its end",
    "https://a..b/": "neither",
    "https://-a.example/": "neither",
    "https://%31%32%37.0.0.1.example/": "neither",
    "https://" + "a" * 64 + ".example/": "neither",
    "https://[2606:4700::1%25eth0]/": "zone",
    "https://shop.example/" + "a" * (LONGEST_URL - 20): "characters",
}


@pytest.mark.parametrize("text", USABLE)
def test_good_url_is_refused(text: str) -> None:
    """A plain https URL of a public host is taken, and keeps its meaning."""
    url = checked_url(text, ())
    assert (url.scheme, url.port) == ("https", 8443 if ":8443" in text else 443)
    assert str(checked_url(str(url), ())) == str(url)


@pytest.mark.parametrize("text", UNUSABLE)
def test_bad_url_is_taken(text: str) -> None:
    """Any other URL is refused, with the reason and without repeating it."""
    with pytest.raises(UnusableUrl, match=UNUSABLE[text]) as refused:
        checked_url(text, ())
    assert "pa55" not in str(refused.value)


def test_plain_http_leaves_the_allowed_networks() -> None:
    """Without TLS only an address in an allowed network is taken, or a name that will have to resolve to one."""
    assert checked_url("http://127.0.0.1:8080/hook", LOOPBACK).port == 8080
    assert checked_url("http://receiver.internal/", LOOPBACK).scheme == "http"
    with pytest.raises(UnusableUrl, match="without TLS"):
        checked_url("http://8.8.8.8/", LOOPBACK)
