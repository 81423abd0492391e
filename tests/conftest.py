"""What holds for every test: no sockets, unless it is marked `sockets`, and no torch, unless it is marked `torch`."""

import importlib.util

import pytest
from hypothesis import settings
from pytest_socket import disable_socket, enable_socket, socket_allow_hosts

# Wall time says nothing on a shared machine: no example fails for having been slow.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


HAS_TORCH = importlib.util.find_spec("sentence_transformers") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `torch` are skipped without the torch extra, have time to import it, and may hear its warnings."""
    for item in items:
        if item.get_closest_marker("torch"):
            item.add_marker(pytest.mark.skipif(not HAS_TORCH, reason="needs the torch extra: make test-torch"))
            item.add_marker(pytest.mark.timeout(600))  # importing it takes a minute on a busy machine
            item.add_marker(pytest.mark.filterwarnings("ignore"))  # its exporter warns about itself


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest):
    """Unix sockets stay: event loops are made of them. Marked tests reach this machine and nothing else."""
    if request.node.get_closest_marker("sockets"):
        socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
    else:
        disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
