"""Under which address the other machines of a job reach this one.

torchrun and gloo take what this machine's own name means to itself. That is often 127.0.1.1, or
nothing, and then the others wait for minutes.
"""

from __future__ import annotations

import socket
import struct

#: Linux: the IPv4 address of a network interface (``linux/sockios.h``).
_SIOCGIFADDR = 0x8915


def address_towards(machine: str) -> str | None:
    """The address that this machine sends from to another, or to itself; None if there is no way.

    Args:
        machine: A name or an address.
    """
    try:
        family, kind, _, _, place = socket.getaddrinfo(machine, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)  # of a datagram socket: nothing is sent
            return probe.getsockname()[0]
    except OSError:
        return None


def public_address(first: str) -> str:
    """The name or address that other machines may use for this one.

    Args:
        first: The first machine's name or address, as the others know it. Where that means a
            loopback address here, this is the first machine, and nobody else could use it.
    """
    address = address_towards(first)
    return first if address is None or _is_loopback(address) else address


def interface_towards(first: str) -> str | None:
    """The network interface that leads to the first machine, as gloo and NCCL ask for it.

    None where it is not known: no way, a loopback address, IPv6, or another system than Linux.
    """
    address = address_towards(first)
    if address is None or _is_loopback(address):
        return None
    try:
        import fcntl

        for _, name in socket.if_nameindex():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    asked = struct.pack('256s', name.encode())
                    answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, asked)
                except OSError:  # it has no address
                    continue
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    except (ImportError, OSError):
        pass
    return None


def _is_loopback(address: str) -> bool:
    return address.startswith('127.') or address == '::1'
