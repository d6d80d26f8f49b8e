"""The real tritonserver under bad treatment: every test starts its own (0.4 s) and ends it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from support.processes import eventually, running, shared_memory, stubs
from support.repository import write_tower
from support.triton import RunningTriton, triton_settings
from tritonclient.utils import InferenceServerException

import faults
from runtime.backoff import Backoff
from runtime.supervisor import Supervisor
from runtime.triton import TritonServer, TritonSettings
from runtime.triton_control import TritonControl
from runtime.triton_faults import fault_from_status

pytestmark = [pytest.mark.services, pytest.mark.timeout(90)]


@pytest.fixture
def triton(tmp_path):
    with RunningTriton(tmp_path) as started:
        write_tower(started.repository, "query_tower")
        started.control.load_versions("query_tower", [1])
        yield started


def test_it_starts_without_models_and_tells_its_version(tmp_path):
    with RunningTriton(tmp_path) as triton:
        assert triton.control.server_version() == "2.51.0"
        assert triton.control.ready_versions("query_tower") == ()
        with pytest.raises(faults.NotFound, match="query_tower"):
            triton.control.load_versions("query_tower", [1])


def test_stop_leaves_no_process_and_no_shared_memory(triton):
    triton.query([1, 2])
    prefix = triton.server.shared_memory_prefix
    everything = [triton.server.pid, *stubs(prefix).values()]
    assert len(everything) == 2
    assert shared_memory(prefix)
    triton.server.stop(6)
    triton.server.stop(6)
    assert not [pid for pid in everything if running(pid)]
    assert not shared_memory(prefix)


def killed_stub(triton, version=1):
    pid = stubs(triton.server.shared_memory_prefix)[f"query_tower/{version}"]
    os.kill(pid, signal.SIGKILL)

    def dead():
        try:
            triton.query([1, 2], version)
        except InferenceServerException as error:
            return fault_from_status(error.status(), error.message(), model="query_tower", url="")
        return None

    fault = eventually(dead)
    assert isinstance(fault, faults.Unavailable)
    assert "has died" in str(fault)
    return pid


def test_a_killed_stub_is_revived_by_recover(triton):
    before = triton.query([1, 2])
    dead = killed_stub(triton)
    assert triton.control.ready_versions("query_tower") == (1,), "Triton calls the dead version ready"
    triton.control.recover("query_tower", 1)
    assert triton.query([1, 2]).tolist() == before.tolist()
    assert stubs(triton.server.shared_memory_prefix)["query_tower/1"] != dead
    triton.server.stop(6)
    assert not shared_memory(triton.server.shared_memory_prefix)


def test_recovering_one_version_leaves_the_other_alone(triton):
    write_tower(triton.repository, "query_tower", 2)
    triton.control.load_versions("query_tower", [1, 2])
    other = stubs(triton.server.shared_memory_prefix)["query_tower/2"]
    killed_stub(triton, 1)
    triton.control.recover("query_tower", 1)
    assert triton.query([1, 2], 1).shape == (8,)
    assert stubs(triton.server.shared_memory_prefix)["query_tower/2"] == other


def test_a_version_that_is_absent_or_broken_leaves_the_serving_one(triton):
    with pytest.raises(faults.NotFound, match="version 9 is not in Triton's model repository"):
        triton.control.load_versions("query_tower", [9])
    (write_tower(triton.repository, "query_tower", 3) / "model.onnx").write_bytes(b"not a network")
    with pytest.raises(faults.InvalidInput, match="version 3"):
        triton.control.load_versions("query_tower", [3])
    assert triton.control.ready_versions("query_tower") == (1,)
    assert triton.query([4]).shape == (8,)


def test_a_killed_server_is_restarted_with_its_models(tmp_path):
    repository = tmp_path / "repository"
    write_tower(repository, "query_tower")
    server = TritonServer(
        triton_settings(tmp_path, repository), lambda control: control.load_versions("query_tower", [1])
    )
    events = []
    supervisor = Supervisor([server], events.append, Backoff(first_s=0.01), check_every_s=0.05)
    supervisor.start()
    try:
        prefix, pid = server.shared_memory_prefix, server.pid
        orphans = list(stubs(prefix).values())
        assert orphans
        os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: [event.kind for event in events][-1] == "restarted", 40), events
        assert server.pid != pid
        assert not [stub for stub in orphans if running(stub)]
        assert not shared_memory(prefix)
        with TritonControl(server.url, 10) as control:
            assert control.ready_versions("query_tower") == (1,)
    finally:
        supervisor.stop()
    assert not shared_memory(server.shared_memory_prefix)
    assert [event.kind for event in events] == ["started", "died", "restarted", "stopped"]


def test_a_killed_parent_leaves_nothing(tmp_path):
    repository = tmp_path / "repository"
    write_tower(repository, "query_tower")
    settings = triton_settings(tmp_path, repository)
    program = f"""
        import time
        from pathlib import Path, PosixPath
        from runtime.triton import TritonServer, TritonSettings
        server = TritonServer({settings!r}, lambda control: control.load_versions("query_tower", [1]))
        server.start()
        print(server.shared_memory_prefix, server.pid, flush=True)
        time.sleep(60)
    """
    root = str(Path(__file__).resolve().parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        prefix, pid = parent.stdout.readline().split()
        everything = [int(pid), *stubs(prefix).values()]
        assert len(everything) == 2
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not any(map(running, everything)))
    assert eventually(lambda: not shared_memory(prefix))


def test_a_port_in_use_is_named_with_its_holder(triton, tmp_path):
    settings = triton_settings(tmp_path, triton.repository)
    taken = int(triton.server.url.rpartition(":")[2])
    clash = TritonServer(TritonSettings(**{**_fields(settings), "grpc_port": taken}))
    with pytest.raises(faults.Occupied, match=rf"VITRINE_TRITON_GRPC_PORT: .* process {triton.server.pid}"):
        clash.start()


def test_calls_to_a_stopped_server_say_so_quickly(triton):
    triton.server.stop(6)
    assert not triton.control.live()
    begun = time.monotonic()
    with pytest.raises(faults.Unavailable, match="cannot be reached"):
        triton.control.ready_versions("query_tower")
    assert time.monotonic() - begun < 30, "waited out the time limit instead of failing at once"


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path):
    settings = _fields(triton_settings(tmp_path, tmp_path / "repository"))
    server = TritonServer(TritonSettings(**{**settings, "metrics_port": settings["grpc_port"]}))
    with pytest.raises(faults.Unavailable, match=r"(?s)ended with code .*The end of its log:.*metrics"):
        server.start()
    assert not server.alive()
    assert not shared_memory(server.shared_memory_prefix)


def test_a_repository_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "repository").write_text("a file")
    server = TritonServer(triton_settings(tmp_path, tmp_path / "repository"))
    with pytest.raises(faults.StorageFailed, match="repository"):
        server.start()


def test_it_refuses_to_listen_to_the_world(tmp_path):
    settings = TritonSettings(**{**_fields(triton_settings(tmp_path, tmp_path)), "host": "0.0.0.0"})
    with pytest.raises(faults.InvalidInput, match=r"127\.0\.0\.1"):
        TritonServer(settings)


def _fields(settings):
    return {name: getattr(settings, name) for name in settings.__slots__}
