import os
import socket
from contextlib import closing

import pytest

import faults
from runtime.ports import free_port, holder_of, require_free


@pytest.fixture
def listener():
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_free_port_can_be_bound():
    port = free_port()
    require_free("127.0.0.1", port, "VITRINE_GATEWAY_PORT")
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", port))


def test_an_occupied_port_names_setting_port_holder_and_fix(listener):
    with pytest.raises(faults.Occupied) as caught:
        require_free("127.0.0.1", listener, "VITRINE_GATEWAY_PORT")
    assert caught.value.field == "VITRINE_GATEWAY_PORT"
    assert caught.value.value == listener
    assert f"process {os.getpid()}" in str(caught.value)
    assert "set VITRINE_GATEWAY_PORT to a free port" in caught.value.fix


def test_the_holder_of_a_free_port_is_nobody(listener):
    assert holder_of(listener) == os.getpid()
    assert holder_of(free_port()) is None


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_numbers_that_are_no_port_are_refused(port):
    with pytest.raises(faults.InvalidInput, match="X_PORT"):
        require_free("127.0.0.1", port, "X_PORT")


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(faults.InvalidInput, match=r"192\.0\.2\.1"):
        require_free("192.0.2.1", free_port(), "X_PORT")
