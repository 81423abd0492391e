"""What holds for every test: no sockets, unless it is marked `sockets`."""

import pytest
from hypothesis import settings
from pytest_socket import disable_socket, enable_socket, socket_allow_hosts

# Wall time says nothing on a shared machine: no example fails for having been slow.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest):
    """Unix sockets stay: event loops are made of them. Marked tests reach this machine and nothing else."""
    if request.node.get_closest_marker("sockets"):
        socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
    else:
        disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
