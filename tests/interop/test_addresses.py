"""Addresses of this machine. tests/faults/machines.py has machines that know no names."""

import shutil
import socket
import subprocess

import pytest

from wamim_mm.interop.addresses import address_towards, interface_towards, public_address


def test_towards_itself():
    assert address_towards('127.0.0.1') == '127.0.0.1'
    assert address_towards('no-such-machine.invalid') is None
    # Nobody else could use a loopback address: the first machine goes by the name that was given.
    assert public_address('localhost') == 'localhost'
    assert public_address('no-such-machine.invalid') == 'no-such-machine.invalid'
    assert interface_towards('localhost') is None
    assert interface_towards('no-such-machine.invalid') is None


def test_towards_others():
    """What iproute2 says of the way there; nothing is sent."""
    if shutil.which('ip') is None:
        pytest.skip('no iproute2')
    said = subprocess.run(['ip', '-4', 'route', 'get', '192.0.2.1'], capture_output=True, text=True)
    words = said.stdout.split()
    if 'src' not in words or 'dev' not in words:
        pytest.skip('no network')
    address, interface = words[words.index('src') + 1], words[words.index('dev') + 1]
    assert address_towards('192.0.2.1') == public_address('192.0.2.1') == address
    assert interface in [name for _, name in socket.if_nameindex()]
    assert interface_towards('192.0.2.1') == interface
    assert address_towards(address) == address  # the first machine's own
    assert interface_towards(address) == interface
