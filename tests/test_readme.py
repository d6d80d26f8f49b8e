"""The README's commands are run as they stand, in its order, and its links lead somewhere."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from runtime.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINKED = (".venv", ".venv-triton", "Makefile", "scripts", "locks", "pyproject.toml")
PORTS = ("PORT", "METRICS_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT", "VALKEY_PORT")
STOP_WITHIN_S = 10
SHARED_MEMORY = Path("/dev/shm")
NOT_RUN_HERE = {"make test": "it would run this test again"}


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    missing = [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()]
    assert not missing


def test_the_first_two_commands_are_demo_and_test():
    assert commands()[:2] == ["make demo", "make test"]


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like the checkout to every command, with a ``var`` of its own."""
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.mark.services
@pytest.mark.timeout(1500)
def test_every_command_works(checkout):
    # As in a shell of one's own: `make test` hands its flags down, and makes print where they are.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    environment |= {f"VITRINE_{name}": str(free_port()) for name in PORTS} | {"COLUMNS": "120"}
    waiting = [command for command in commands() if command not in NOT_RUN_HERE]
    before = waiting[: waiting.index("make serve")]
    after = waiting[waiting.index("make serve") + 1 :]
    outputs = {command: run(command, checkout, environment) for command in before}
    shared_memory = set(SHARED_MEMORY.iterdir())
    log = (checkout / "serve.log").open("w+")
    serve = subprocess.Popen(
        ["make", "serve"], cwd=checkout, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        wait_for(lambda: "Ctrl-C stops all" in Path(log.name).read_text(encoding="utf-8"), serve)
        outputs |= {command: run(command, checkout, environment) for command in after}
    finally:
        began = time.monotonic()
        os.killpg(serve.pid, signal.SIGINT)  # what a terminal does at Ctrl-C
        serve.wait(timeout=3 * STOP_WITHIN_S)
        took = time.monotonic() - began
        log.close()
    assert took < STOP_WITHIN_S, f"make serve took {took:.1f} s to stop"
    assert not [line for line in processes() if str(checkout) in line]
    assert set(SHARED_MEMORY.iterdir()) <= shared_memory
    check_outputs(outputs)


def check_outputs(outputs: dict[str, str]) -> None:
    demo = json.loads(outputs["make demo"].splitlines()[-1])
    wanted = {"ndcg_at_10", "recall_at_100", "cache_hit_rate", "triton_version", "products", "release"}
    assert wanted <= demo.keys()
    assert demo["products"] == 1000
    assert demo["recall_at_100"] > 0.5, "worse than a broken tower would be"
    assert demo["triton_executions"] <= demo["triton_inferences"]
    search = next(text for command, text in outputs.items() if "vitrine search" in command)
    assert "5 products from release" in search
    evaluated = next(text for command, text in outputs.items() if "vitrine evaluate" in command)
    assert json.loads(evaluated.splitlines()[-1])["queries"] == demo["queries"]


def run(command: str, cwd: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def wait_for(condition, process, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "ended before it was ready"
        assert time.monotonic() < deadline, "not ready in time"
        time.sleep(0.2)


def processes() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended while we looked
    return found
