"""The Triton images' commands: their flags, and the whole chain of the `cpu` profile without containers."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from composition import load
from dockerfiles import ROOT, last_stage, of, parse
from support.processes import eventually, shared_memory, stubs
from support.stack import export_towers
from support.triton import triton_python
from test_docker_gateway_image import HEALTHCHECK, confined, gateway
from test_docker_monitoring import GPU_METRICS, used

from catalog.readers import read_catalogue
from catalog.sample_shop import make_sample_shop
from catalog.tokenizer import train_tokenizer
from runtime import triton
from runtime.ports import free_port

LIVE = ROOT / "docker" / "triton_live.py"
TENSOR_COUNTERS = "nv_inference_"


def script():
    spec = importlib.util.spec_from_file_location("triton_cpu", ROOT / "docker" / "triton_cpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def flags(words):
    assert all(word.startswith("--") for word in words)
    return dict(word.split("=", 1) if "=" in word else (word, "") for word in words)


def local_flags():
    settings = triton.TritonSettings(
        python=Path("python"), repository=Path("/models"), home=Path("home"), log_path=Path("log"),
        grpc_port=8001, metrics_port=8002,
    )  # fmt: skip
    return flags(triton._command(Path("tritonserver"), Path("/backends"), settings, "p-")[1:])


def cpu_flags():
    module = script()
    return flags(module.command(Path("tritonserver"), Path("/backends"), module.options_from([]))[1:])


def gpu_flags():
    (command,) = of(last_stage(parse(ROOT / "docker" / "triton.gpu.Dockerfile")), "CMD")
    program, *words = command.words
    assert program == "/opt/tritonserver/bin/tritonserver"
    return flags(words)


WIDER = {
    "--grpc-address": "0.0.0.0",
    "--metrics-address": "0.0.0.0",
    "--http-address": "127.0.0.1",
    "--http-port": "8000",
}


def test_the_cpu_images_flags_are_the_local_ones_but_for_the_addresses():
    local, image = local_flags(), cpu_flags()
    prefix = "--backend-config"
    assert image.pop(prefix).startswith("python,shm-region-prefix-name=vitrine-")
    del local[prefix], local["--allow-http"]
    assert image == {**local, **WIDER}


def test_the_gpu_images_flags_are_the_local_ones_but_for_the_addresses_and_what_a_gpu_has():
    local = local_flags()
    for only_local in ("--backend-config", "--backend-directory", "--allow-http", "--allow-gpu-metrics"):
        del local[only_local]
    assert gpu_flags() == {**local, **WIDER}


def test_the_health_checks_port_is_the_servers():
    assert f"http://127.0.0.1:{gpu_flags()['--http-port']}" in LIVE.read_text(encoding="utf-8")
    assert cpu_flags()["--http-port"] == gpu_flags()["--http-port"]


def test_an_environment_without_triton_is_said(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "docker" / "triton_cpu.py"), "--home", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "nvidia-pytriton is not installed there" in done.stderr


@contextlib.contextmanager
def cpu_triton(folder, ports):
    """The cpu image's entry point, run by Triton's own environment as in the image; yields the process."""
    (entry,) = of(last_stage(parse(ROOT / "docker" / "triton.cpu.Dockerfile")), "ENTRYPOINT")
    assert entry.words == ["/opt/triton/bin/python", "/opt/vitrine/triton_cpu.py"]
    options = {"repository": folder / "models", "home": folder / "home", "host": "127.0.0.1", **ports}
    words = [f"--{name}={value}" for name, value in options.items()]
    python = triton_python()
    with (folder / "triton.log").open("w") as log:
        process = subprocess.Popen(
            [str(python), "-B", str(ROOT / "docker" / "triton_cpu.py"), *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        prefix = f"vitrine-{process.pid}-"
        orphans = list(stubs(prefix).values())
        process.kill()
        process.wait()
        for orphan in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(orphan, signal.SIGKILL)


def live(port):
    command = [sys.executable, str(LIVE), f"http://127.0.0.1:{port}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.services
@pytest.mark.timeout(180)
def test_the_cpu_profile_without_containers(tmp_path):
    """Start Triton, index and activate, serve: every command is the one that compose runs."""
    shop = make_sample_shop(tmp_path / "shop", 60, 0)
    texts = [product.indexed_text() for product in read_catalogue(shop).products]
    (tmp_path / "models").mkdir()
    export_towers(tmp_path / "models", train_tokenizer(texts, 600), 1, dim=16, seed=1)
    ports = {"grpc-port": free_port(), "http-port": free_port(), "metrics-port": free_port()}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")},
        "VITRINE_RELEASE_STORE": str(tmp_path / "releases"),
        "VITRINE_MODEL_REPOSITORY": str(tmp_path / "models"),
        "VITRINE_TRITON_GRPC_PORT": str(ports["grpc-port"]),
        "VITRINE_TRITON_URL": f"127.0.0.1:{ports['grpc-port']}",
        "VITRINE_HOST": "127.0.0.1",
        "VITRINE_PORT": str(free_port()),
        "VITRINE_METRICS_PORT": str(free_port()),
    }
    with cpu_triton(tmp_path, ports) as process:
        assert eventually(lambda: live(ports["http-port"]).returncode == 0), read(tmp_path / "triton.log")
        _, command = load()["services"]["index-cpu"]["entrypoint"]
        options = load()["services"]["index-cpu"]["command"]
        words = [str(shop) if word == "/catalog" else word for word in options]
        indexed = confined("vitrine.main", command, *words, environment=environment)
        assert indexed.returncode == 0, indexed.stderr
        with gateway(environment):
            healthy = eventually(
                lambda: confined(HEALTHCHECK, environment=environment).returncode == 0, within_s=40
            )
            assert healthy
            check_metrics(ports["metrics-port"])
        assert shared_memory(f"vitrine-{process.pid}-")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert not shared_memory(f"vitrine-{process.pid}-")
    stopped = live(ports["http-port"])
    assert stopped.returncode == 1
    assert "refused" in stopped.stdout


def read(path):
    return path.read_text(encoding="utf-8", errors="replace")


def check_metrics(port):
    """What dashboard and alerts read of Triton is there, but for the GPU's."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    there = {line.split("{")[0] for line in lines if line and not line.startswith("#")}
    labels = {name for line in lines if line.startswith(TENSOR_COUNTERS) for name in label_names(line)}
    assert used("nv_") - GPU_METRICS <= there, json.dumps(sorted(there))
    assert "model" in labels


def label_names(line):
    inside = line.partition("{")[2].partition("}")[0]
    return {pair.split("=")[0] for pair in inside.split(",")}
