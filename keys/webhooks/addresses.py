"""Accept an address that somebody typed, as far as can be said without asking the network."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from AntiSSRF import IPAddressRanges
from django.conf import settings

from keys import text
from keys.errors import Invalid

LONGEST: Final = 500
# Names in ASCII only: what looks like one host and is another is not argued about here; IDNs come in their xn-- form.
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.IGNORECASE)
# What a resolver would read as an address in disguise (2130706433, 0x7f.1, 0177.0.0.1).
_NUMBER: Final = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
# What sending refuses (keys/webhooks/guard.py). Which addresses `ipaddress` calls global is another matter in each Python.
_CLOSED: Final = tuple(map(ipaddress.ip_network, IPAddressRanges.recommended_latest))
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")


def checked_address(value: str) -> str:
    """Return the address, or refuse it. Whether a name leads into our own network is asked at every attempt to send."""
    url = text.line(value, "url", most=LONGEST)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Invalid.field("url", "not_a_web_address") from error
    if parts.scheme not in ("http", "https") or not host or port == 0 or re.search(r"[\s\\]", url):
        raise Invalid.field("url", "not_a_web_address")
    if parts.username is not None or parts.password is not None or "#" in url:
        raise Invalid.field("url", "address_without_sign_in")
    if is_loopback(host):
        return url
    if parts.scheme != "https":
        raise Invalid.field("url", "https_only")
    if not _is_public(host):
        raise Invalid.field("url", "address_not_public")
    return url


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and the settings let a developer tell it: never in production."""
    return bool(settings.KEYSTEAD_WEBHOOK_LOOPBACK) and host.lower() in LOOPBACK_NAMES


def _is_public(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        return bool(_HOST.fullmatch(host)) and not _NUMBER.fullmatch(last) and "." in host
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return not any(address in each for each in _CLOSED)


def place_of(url: str) -> str:
    """The part of an address that may be shown to everybody: the path of a receiver is often a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/" + ("…" if parts.path.strip("/") or parts.query else "")
