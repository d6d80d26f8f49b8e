import os
import sys
import tomllib
from pathlib import Path

import pytest
from support.tensorrt_python import interpreter_with

from export.tensorrt import installation
from export.tensorrt.installation import (
    INTERPRETER_VARIABLE,
    default_interpreter,
    image_pins,
    missing_tensorrt,
    require_tensorrt,
)
from faults import NotFound, Unavailable

ROOT = Path(__file__).resolve().parents[2]


def test_the_version_is_found_in_the_named_interpreter(tmp_path):
    assert require_tensorrt(interpreter_with(tmp_path / "bin")) == "11.4.0.106"


def test_without_tensorrt_the_fault_says_what_to_install_and_where_to_run(tmp_path):
    python = interpreter_with(tmp_path / "bin", "raise ModuleNotFoundError(\"No module named 'tensorrt'\")")
    with pytest.raises(NotFound) as missing:
        require_tensorrt(python)
    text = str(missing.value)
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (pin,) = pyproject["project"]["optional-dependencies"]["tensorrt"]
    assert 'pip install "vitrine[tensorrt]"' in text
    assert pin in text
    assert "NVIDIA's own package index" in text
    assert "or run the same command in " in text
    assert "No module named 'tensorrt'" in text
    assert os.path.relpath(python, tmp_path) in text


def test_the_image_and_its_tensorrt_come_from_the_images_pins(tmp_path, monkeypatch):
    pins = tmp_path / "versions.env"
    pins.write_text("# EXPORT_IMAGE=old\nTENSORRT_VERSION=11.9.8.7\n\nEXPORT_IMAGE=vitrine/export:30.01\n")
    assert image_pins(pins) == {"TENSORRT_VERSION": "11.9.8.7", "EXPORT_IMAGE": "vitrine/export:30.01"}
    monkeypatch.setattr(installation, "image_pins", lambda: image_pins(pins))
    text = str(missing_tensorrt("python", "reason"))
    assert "run the same command in the image vitrine/export:30.01" in text
    assert '"tensorrt==11.9.8.7"' in text
    assert "a plan fits no other" in text


def test_without_pins_the_fault_still_helps(tmp_path, monkeypatch):
    assert image_pins(tmp_path / "absent.env") == {}
    monkeypatch.setattr(installation, "image_pins", dict)
    text = str(missing_tensorrt("python", "reason"))
    assert 'pip install "vitrine[tensorrt]" (' in text
    assert "run the same command in an image of NVIDIA's" in text
    assert "None" not in text


def test_an_old_tensorrt_counts_as_missing(tmp_path):
    python = interpreter_with(tmp_path / "bin", "__version__ = '8.6.1'")
    with pytest.raises(NotFound, match=r"8\.6\.1 is too old"):
        require_tensorrt(python)


def test_an_interpreter_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotFound, match=rf"{INTERPRETER_VARIABLE}.*no-python"):
        require_tensorrt(str(tmp_path / "no-python"))


def test_what_is_no_python_is_noticed():
    with pytest.raises(Unavailable, match="without an answer"):
        require_tensorrt("/bin/true")


def test_the_interpreter_is_this_one_unless_another_is_named(monkeypatch):
    monkeypatch.delenv(INTERPRETER_VARIABLE, raising=False)
    assert default_interpreter() == sys.executable
    monkeypatch.setenv(INTERPRETER_VARIABLE, "/opt/python")
    assert default_interpreter() == "/opt/python"
