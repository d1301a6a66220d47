"""Which addresses a webhook may go to, decided on the very addresses that are connected to.

A name is resolved, every address it has is checked, and the connection is made to one of those: whoever
controls the name cannot give a public address to the check and a private one to the connection.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, Final

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from shared.errors import ServiceError

FORBIDDEN: Final = "no public address: allow_private: true permits it"
"""How every refusal ends."""


class ForbiddenAddress(ServiceError):
    """The receiver's name or address leads to where webhooks must not go."""


def is_public(address: str) -> bool:
    """Return whether an address is one of the public internet.

    An IPv6 address that holds an IPv4 one is judged by that.

    Examples
    --------
    >>> [is_public(a) for a in ("93.184.216.34", "127.0.0.1", "10.0.0.8", "169.254.169.254", "::1")]
    [True, False, False, False, False]
    >>> is_public("::ffff:192.168.0.1"), is_public("64:ff9b::7f00:1"), is_public("2002:7f00:1::")
    (False, False, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
        elif ip.teredo is not None:
            return False
    return ip.is_global and not ip.is_multicast


def check_literal(host: str) -> None:
    """Refuse a host that is a forbidden address itself: no resolver is asked about those.

    Raises
    ------
    ForbiddenAddress
        It is private, loopback, link-local, multicast or reserved.
    """
    try:
        public = is_public(host)
    except ValueError:
        return  # a name
    if not public:
        raise ForbiddenAddress(f"{host} is {FORBIDDEN}")


class PublicOnly(AbstractResolver):
    """A resolver that answers with public addresses only, and refuses a name that has any other.

    Parameters
    ----------
    inner
        Resolves names; the system's resolver, in a thread, unless given.
    """

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[Any]:
        """Return the addresses of a name.

        Raises
        ------
        ForbiddenAddress
            One of them is not public.
        """
        found = await self._inner.resolve(host, port, family)
        for entry in found:
            if not is_public(entry["host"]):
                raise ForbiddenAddress(f"{host} leads to {entry['host']}, {FORBIDDEN}")
        return list(found)

    async def close(self) -> None:
        """Let go of the inner resolver."""
        await self._inner.close()
