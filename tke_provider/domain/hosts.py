"""Hosts: the URLs that lead to them, and which of them are this machine."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from tke_provider.exceptions import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


def split_url(what: str, url: str, schemes: Sequence[str] = ("http", "https")) -> SplitResult:
    """Split a URL that names a host and carries no login.

    :param what: how errors call it, such as the argument's name.
    :param schemes: what it may start with.
    :raises InputError: when it is anything else. What may be a password is not quoted.
    """
    if "@" in re.split(r"[/?#]", url.partition("://")[2] or url)[0]:
        raise InputError(
            f"{what} carries a login, which would be stored and shown with it", way_out="leave out all before the @"
        )
    # A login that is written wrongly is not recognised as one, and the parsers quote what they do not understand.
    named, told = (what, "") if "@" in url else (f"{what} {url!r}", url)
    *others, last = schemes
    choice = f"{', '.join(others)} or {last}" if others else last
    way_out = f"write it as scheme://host:port, the scheme being {choice}, and the port only as a number"
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise InputError(f"{named} is no URL", cause=str(error) if told else "", way_out=way_out) from (
            error if told else None
        )
    if not valid:
        raise InputError(f"{named} is no {choice} URL", way_out=way_out)
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host, with or without its port, is this machine: only there is plain HTTP good enough for a secret."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
