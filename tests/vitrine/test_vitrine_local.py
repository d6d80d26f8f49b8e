import json
import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest

from faults import Occupied, Unavailable
from runtime.ports import free_port
from vitrine import local
from vitrine.local import GatewayService, LocalSettings, local_stack, wait_until_ready

PORTS = ("port", "metrics_port", "triton_grpc_port", "triton_metrics_port", "valkey_port")


def test_without_settings_everything_is_on_loopback_and_under_var() -> None:
    settings = LocalSettings()
    assert settings.host == "127.0.0.1"
    assert settings.address == "127.0.0.1:50051"
    assert settings.triton_url == "127.0.0.1:8001"
    assert settings.var in settings.release_store.parents
    assert len({getattr(settings, name) for name in PORTS}) == len(PORTS)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_HOST", "0.0.0.0")
    monkeypatch.setenv("VITRINE_PORT", "1234")
    monkeypatch.setenv("VITRINE_RELEASE_STORE", "/srv/releases")
    settings = LocalSettings()
    assert (settings.address, settings.release_store) == ("0.0.0.0:1234", Path("/srv/releases"))


def test_free_ports_are_distinct_and_leave_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_VAR", "/srv/var")
    before = LocalSettings()
    after = before.on_free_ports()
    chosen = [getattr(after, name) for name in PORTS]
    assert len(set(chosen)) == len(PORTS)
    assert not set(chosen) & {getattr(before, name) for name in PORTS}
    assert after.model_dump(exclude=set(PORTS)) == before.model_dump(exclude=set(PORTS))


def test_a_service_starts_after_those_it_needs() -> None:
    assert [service.name for service in local_stack(LocalSettings()).services] == [
        "valkey",
        "triton",
        "gateway",
    ]


def test_a_cache_of_ones_own_starts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_REDIS_URL", "redis://cache.test:6379/0")
    stack = local_stack(LocalSettings())
    assert stack.valkey is None
    assert [service.name for service in stack.services] == ["triton", "gateway"]


@pytest.mark.parametrize(
    ("setting", "variable"), [("port", "VITRINE_PORT"), ("metrics_port", "VITRINE_METRICS_PORT")]
)
def test_a_port_in_use_is_named_before_anything_starts(setting: str, variable: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        taken = {setting: holder.getsockname()[1]}
        gateway = GatewayService(LocalSettings().on_free_ports().model_copy(update=taken), "")
        with pytest.raises(Occupied) as caught:
            gateway.start()
    assert caught.value.field == variable
    assert gateway.pid is None
    assert not gateway.alive()


def stand_in(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Runs a shell script where the gateway would be run."""
    process = local.ManagedProcess

    def make(
        name: str, command: list[str], environment: dict[str, str], log_path: Path
    ) -> local.ManagedProcess:
        assert command == [sys.executable, "-m", "retrieval_gateway"]
        return process(name, ["/bin/sh", "-c", script], environment, log_path)

    monkeypatch.setattr(local, "ManagedProcess", make)


def test_the_gateway_gets_the_settings_of_the_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in writes down its environment and listens, as far as anyone can tell."""
    settings = LocalSettings(var=tmp_path, release_store=tmp_path / "store").on_free_ports()
    seen = tmp_path / "environment"
    stand_in(monkeypatch, f"env > {seen}.tmp && mv {seen}.tmp {seen} && exec sleep 60")
    monkeypatch.setattr(local.RetrievalClient, "listening", lambda _: seen.exists())
    gateway = GatewayService(settings, "redis://cache.test:1/0")
    try:
        gateway.start()
        assert gateway.alive()
        environment = dict(line.split("=", 1) for line in seen.read_text().splitlines() if "=" in line)
    finally:
        gateway.stop(0.0)
    assert not gateway.alive()
    expected = {
        "VITRINE_HOST": "127.0.0.1",
        "VITRINE_PORT": str(settings.port),
        "VITRINE_METRICS_PORT": str(settings.metrics_port),
        "VITRINE_TRITON_URL": settings.triton_url,
        "VITRINE_REDIS_URL": "redis://cache.test:1/0",
        "VITRINE_RELEASE_STORE": str(tmp_path / "store"),
    }
    assert json.dumps({name: environment.get(name) for name in expected}) == json.dumps(expected)


def test_a_gateway_that_ends_at_once_leaves_its_last_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, "echo the disk is made of cheese; exit 3")
    monkeypatch.setattr(local.RetrievalClient, "listening", lambda _: False)
    gateway = GatewayService(LocalSettings(var=tmp_path).on_free_ports(), "")
    with pytest.raises(Unavailable, match="made of cheese"):
        gateway.start()
    assert not gateway.alive()


def test_waiting_for_a_gateway_that_is_not_there_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.RetrievalClient, "ready", lambda _: False)
    with pytest.raises(Unavailable) as caught:
        wait_until_ready(f"127.0.0.1:{free_port()}", timeout_s=0.0)
    assert "vitrine releases list" in caught.value.fix
    monkeypatch.setattr(local.RetrievalClient, "ready", lambda _: True)
    wait_until_ready("127.0.0.1:1", timeout_s=0.0)
