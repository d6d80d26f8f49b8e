"""One local system for all service tests: each test leaves it as it found it, `first` active and healthy."""

import pytest
from support.stack import Stack

_OBSERVATIONS = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """Triton and the cache, supervised, and a store with two releases; gateways are started by the tests."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def gateway(stack):
    """A gateway with the usual settings, for tests that need no other."""
    with stack.gateway() as gateway:
        yield gateway


@pytest.fixture
def client(gateway):
    return gateway.client


@pytest.fixture
def observed(request):
    """Takes a line about what was seen; all of them are printed at the end of the run."""
    lines = request.config.stash.setdefault(_OBSERVATIONS, [])
    return lambda line: lines.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash.get(_OBSERVATIONS, [])
    if lines:
        terminalreporter.section("what the clients saw")
        terminalreporter.write_line("\n".join(lines))
