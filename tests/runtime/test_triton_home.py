"""The layout, with an environment that is made of one shell script and empty files."""

import json
import os
from pathlib import Path

import pytest

import faults
from runtime.triton_home import lay_out_triton_home


@pytest.fixture
def environment(tmp_path):
    """Makes a pretended Triton environment; returns its python, which prints the facts given."""
    site = tmp_path / "venv" / "site-packages"
    server = site / "pytriton" / "tritonserver"
    stub = "python_backend_stubs/3.11/triton_python_backend_stub"
    for name in ("bin/tritonserver", "backends/python/libtriton_python.so", stub):
        (server / name).parent.mkdir(parents=True, exist_ok=True)
        (server / name).touch()
    (server / "backends/python/triton_python_backend_utils.py").touch()

    def make(**changes):
        packages = {"nvidia-pytriton": "0.7.0", "numpy": "1.26.4", "onnxruntime": "1.31.1"}
        facts = {
            "version": "3.11",
            "base": "/usr/bin/python3.11",
            "site": str(site),
            "library": "libpython3.11.so.1.0",
            "library_folder": "/opt/python/lib",
            "library_found": True,
            "packages": packages | changes.pop("packages", {}),
            **changes,
        }
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(facts)}\nEND\n")
        python.chmod(0o755)
        return python

    return make


def test_the_home_is_made_of_links_into_the_environment(environment, tmp_path):
    home = lay_out_triton_home(environment(), tmp_path / "home")
    site = tmp_path / "venv" / "site-packages"
    backend = home.backend_directory / "python"
    assert home.binary == site / "pytriton/tritonserver/bin/tritonserver"
    assert {path.name: path.readlink().is_relative_to(site) for path in backend.iterdir()} == {
        "libtriton_python.so": True,
        "triton_python_backend_utils.py": True,
        "triton_python_backend_stub": True,
    }
    assert (tmp_path / "home/env/bin/python3").readlink() == Path("/usr/bin/python3.11")
    lines = (tmp_path / "home/env/lib/python3.11/site-packages/vitrine.pth").read_text().splitlines()
    assert lines == ["import sys; sys.dont_write_bytecode = True", str(site)]


def test_the_environment_puts_the_home_first_and_drops_what_would_mislead(environment, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("LD_PRELOAD", "/some.so")
    variables = lay_out_triton_home(environment(), tmp_path / "home").environment
    assert variables["PATH"].split(os.pathsep)[0] == str(tmp_path / "home/env/bin")
    libraries = variables["LD_LIBRARY_PATH"].split(os.pathsep)
    assert libraries == [str(tmp_path / "venv/site-packages/nvidia_pytriton.libs"), "/opt/python/lib"]
    assert not {"PYTHONPATH", "LD_PRELOAD"} & variables.keys()


def test_laying_out_again_changes_nothing(environment, tmp_path):
    python = environment()
    first = lay_out_triton_home(python, tmp_path / "home")
    before = sorted(path for path in (tmp_path / "home").rglob("*"))
    assert lay_out_triton_home(python, tmp_path / "home") == first
    assert sorted(path for path in (tmp_path / "home").rglob("*")) == before


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"packages": {"numpy": "2.4.6"}}, faults.Mismatch, "numpy"),
        ({"packages": {"nvidia-pytriton": ""}}, faults.NotFound, "nvidia-pytriton is not installed"),
        ({"packages": {"onnxruntime": ""}}, faults.NotFound, "onnxruntime is not installed"),
        ({"version": "3.12"}, faults.NotFound, "python_backend_stubs/3.12"),
        ({"library_found": False}, faults.NotFound, "apt-get install libpython3.11"),
    ],
)
def test_what_is_missing_is_named_with_the_fix(environment, tmp_path, changes, kind, message):
    with pytest.raises(kind, match=message) as caught:
        lay_out_triton_home(environment(**changes), tmp_path / "home")
    assert caught.value.fix
    assert not (tmp_path / "home").exists()


def test_no_python_or_a_broken_one_is_named(tmp_path):
    with pytest.raises(faults.NotFound, match="make setup"):
        lay_out_triton_home(tmp_path / "absent", tmp_path / "home")
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no luck >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(faults.NotFound, match="no luck"):
        lay_out_triton_home(broken, tmp_path / "home")


def test_a_home_that_cannot_be_written_is_named(environment, tmp_path):
    (tmp_path / "home").write_text("a file")
    with pytest.raises(faults.StorageFailed, match="home"):
        lay_out_triton_home(environment(), tmp_path / "home")
