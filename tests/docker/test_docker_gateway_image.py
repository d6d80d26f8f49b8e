"""What the gateway's image starts, started here with only the packages of its lock."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dockerfiles import ROOT, last_stage, of, parse
from support.processes import eventually

from runtime.ports import free_port

LOCK = ROOT / "locks" / "gateway.txt"
ONLY_THESE = Path(__file__).with_name("only_these.py")
HEALTHCHECK = ROOT / "docker" / "healthcheck.py"
STAGE = last_stage(parse(ROOT / "docker" / "gateway.Dockerfile"))


def confined(*words, environment=None):
    command = [sys.executable, str(ONLY_THESE), str(LOCK), *map(str, words)]
    return subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


@contextlib.contextmanager
def gateway(environment):
    """The image's entry point with the lock's packages; yields the process."""
    (entry,) = of(STAGE, "ENTRYPOINT")
    assert entry.words[:2] == ["python", "-m"]
    process = subprocess.Popen(
        [sys.executable, str(ONLY_THESE), str(LOCK), *entry.words[2:]],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def environment(tmp_path):
    """Settings of a gateway with an empty store and no Triton, on free ports."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("VITRINE_")},
        "VITRINE_HOST": "0.0.0.0",  # as in the image: the check must find it on loopback all the same
        "VITRINE_INSECURE": "true",
        "VITRINE_PORT": str(free_port()),
        "VITRINE_METRICS_PORT": str(free_port()),
        "VITRINE_TRITON_URL": f"127.0.0.1:{free_port()}",
        "VITRINE_RELEASE_STORE": str(tmp_path / "releases"),
    }


def test_everything_that_serves_imports_from_the_lock_alone():
    modules = (
        "retrieval_gateway.__main__",
        "indexing.release_builder",
        "vitrine.index",
        "vitrine.main",
        "faiss",
    )
    done = confined("--import", ",".join(modules))
    assert done.returncode == 0, done.stderr


def test_what_trains_is_not_there():
    done = confined("--import", "towers.build")
    assert "torch" in done.stderr
    assert done.returncode != 0


@pytest.mark.parametrize("command", ["index", "releases", "search", "evaluate"])
def test_the_commands_of_the_image_start(command):
    done = confined("vitrine.main", command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_the_check_says_that_nobody_listens(environment):
    for words in ((HEALTHCHECK,), (HEALTHCHECK, "--listening")):
        done = confined(*words, environment=environment)
        assert done.returncode == 1, done.stderr
        assert done.stdout == f"127.0.0.1:{environment['VITRINE_PORT']}: no answer\n"


def test_a_gateway_with_an_empty_store_listens_is_not_healthy_and_stops_at_sigterm(environment):
    with gateway(environment) as process:
        listening = eventually(
            lambda: confined(HEALTHCHECK, "--listening", environment=environment).returncode == 0
        )
        assert listening, process.communicate(timeout=5)[1]
        done = confined(HEALTHCHECK, environment=environment)
        assert done.returncode == 1
        assert "NOT_SERVING (no release is active" in done.stdout
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_a_wrong_setting_is_an_exit_code_and_its_name(environment):
    with gateway({**environment, "VITRINE_PORT": "70000"}) as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "VITRINE_PORT" in errors


def test_the_image_checks_with_the_file_that_is_tested_here():
    (health,) = of(STAGE, "HEALTHCHECK")
    assert health.text.endswith('["python", "/opt/vitrine/healthcheck.py"]')
    (copied,) = [copy for copy in of(STAGE, "COPY") if "from" not in copy.flags]
    assert copied.text == "docker/healthcheck.py /opt/vitrine/healthcheck.py"
