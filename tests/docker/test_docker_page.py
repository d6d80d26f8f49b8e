"""docs/deployment.md names services, variables and options that exist."""

import re

from composition import load, raw
from dockerfiles import ROOT, SETTINGS, versions
from typer.main import get_command

from vitrine.main import app

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    (.*docker compose .*)$", PAGE, re.MULTILINE)
SERVICES = load()["services"]


def test_services_exist():
    named = [re.search(r" run --rm (?:--entrypoint \w+ )?([\w-]+)", command) for command in COMMANDS]
    runs = [match[1] for match in named if match]
    assert set(runs) == {"index-cpu", "index-gpu", "export"}
    (build,) = (command for command in COMMANDS if "compose build" in command)
    assert set(build.partition("compose build ")[2].split()) <= SERVICES.keys()


def test_variables_exist():
    table = re.findall(r"^\| `([A-Z_]+)` \| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert len(table) == 5
    for name, default in table:
        assert f"${{{name}:-{default}}}" in raw()
    assert set(re.findall(r"VITRINE_[A-Z_]+", PAGE)) <= SETTINGS


def test_the_exports_options_exist():
    (export,) = (command for command in COMMANDS if " run --rm export " in command)
    parameters = get_command(app).commands["export"].params
    assert set(re.findall(r"--[a-z-]+", export.partition(" export ")[2])) <= {
        option for parameter in parameters for option in parameter.opts
    }


def test_the_release_is_the_pinned_one():
    assert f"Triton {versions()['TRITON_RELEASE']}" in PAGE
    assert f"CUDA {'.'.join(versions()['CUDA_VERSION'].split('.')[:2])}" in PAGE
