"""What holds for every test: no sockets, unless it is marked `sockets`."""

import pytest
from pytest_socket import disable_socket, enable_socket, socket_allow_hosts


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest):
    """Unix sockets stay: event loops are made of them. Marked tests reach this machine and nothing else."""
    if request.node.get_closest_marker("sockets"):
        socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
    else:
        disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
