"""Which certificate authorities are trusted: read once a process, for every connection but those to clusters."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return the authorities that httpx trusts by default.

    To read them takes a tenth of a second, in which a triggerer's loop stands still; httpx does it for each client.
    """
    import httpx

    return httpx.create_ssl_context()
