"""No engine builds the images here; so everything about them that can be checked without one is."""

import re
import subprocess
import tomllib

import pytest
from dockerfiles import (
    DOCKERFILES,
    ROOT,
    SETTINGS,
    arguments,
    copied,
    ignored,
    last_stage,
    of,
    parse,
    substitute,
)

each_file = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
ENTRY = ("ENTRYPOINT", "CMD")


def test_the_four_images_are_there():
    assert [path.stem for path in DOCKERFILES] == ["export", "gateway", "triton.cpu", "triton.gpu"]


@each_file
def test_every_base_image_is_pinned(path):
    instructions = parse(path)
    stages = set()
    for instruction in of(instructions, "FROM"):
        image, *name = instruction.text.split(" AS ")
        image = substitute(image, arguments(instructions))
        tag = image.rpartition("/")[2].partition(":")[2]
        assert image in stages or re.search(r"\d", tag), f"{image} has no version"
        stages.update(name)


@each_file
def test_the_container_is_not_root_and_keeps_its_own_ids(path):
    users = of(last_stage(parse(path)), "USER")
    assert [user.text for user in users] == ["10001:10001"]
    runs = " ".join(run.text for run in of(last_stage(parse(path)), "RUN"))
    assert "groupadd --gid 10001" in runs
    assert "useradd --uid 10001 --gid 10001" in runs


@each_file
def test_signals_reach_the_process(path):
    stage = last_stage(parse(path))
    assert [stop.text for stop in of(stage, "STOPSIGNAL")] == ["SIGTERM"]
    entries = [instruction for keyword in ENTRY for instruction in of(stage, keyword)]
    assert entries
    assert all(entry.words for entry in entries), "the shell form puts a shell before the process"


@each_file
def test_health_is_checked_by_a_program_that_is_in_the_image(path):
    stage = last_stage(parse(path))
    (health,) = of(stage, "HEALTHCHECK")
    if path.stem == "export":
        assert health.text == "NONE", "a one-shot: its exit code is its health"
        return
    assert {"interval", "timeout", "start-period", "retries"} == health.flags.keys()
    command = health.text.removeprefix("CMD ")
    assert command.startswith("["), "a shell would be started for every check"
    script = re.findall(r'"(/opt/vitrine/\w+\.py)"', command)[0]
    there = [
        f"{target.rstrip('/')}/{source.rpartition('/')[2]}" if target.endswith("/") else target
        for source, target in copied(stage)
    ]
    assert script in there


@each_file
def test_labels_say_what_it_is(path):
    (label,) = of(last_stage(parse(path)), "LABEL")
    names = re.findall(r"org\.opencontainers\.image\.(\w+)=", label.text)
    assert {"title", "description", "version", "revision"} <= set(names)


@each_file
def test_every_copied_source_exists_and_is_in_the_context(path):
    sources = [source for source, _ in copied(parse(path))]
    assert sources
    for source in sources:
        there = ROOT / source
        assert there.is_dir() if source.endswith("/") else there.is_file(), source
        assert not ignored(source), f"{source} is kept out by .dockerignore"
        if there.is_dir():
            files = [file for file in there.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
            assert files
            assert not [file for file in files if ignored(str(file.relative_to(ROOT)))]


@pytest.mark.parametrize(
    "path",
    [
        ".env", ".git/config", ".venv/bin/python", ".venv-triton/pyvenv.cfg", "catalog/__pycache__/a.pyc",
        "compose.yaml", "docker/versions.env", "model_repository/query_tower/1/model.onnx", "secret.pem",
        "tests/conftest.py", "var/releases/ACTIVE",
    ],
)  # fmt: skip
def test_the_context_holds_nothing_else(path):
    assert ignored(path)


@pytest.mark.parametrize("image", ["gateway", "export"])
def test_every_package_of_the_project_is_copied(image):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    sources = {source.rstrip("/") for source, _ in copied(parse(ROOT / "docker" / f"{image}.Dockerfile"))}
    assert packages <= sources


@each_file
def test_shell_commands_are_shell(path):
    for run in of(parse(path), "RUN"):
        done = subprocess.run(["sh", "-n", "-c", run.text], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{path.name}:{run.line}: {done.stderr}"
        assert ";" not in run.text, f"{path.name}:{run.line}: `;` passes over failures; use &&"


@each_file
def test_settings_exist_and_nothing_secret_is_baked_in(path):
    instructions = parse(path)
    names = re.findall(r"([A-Z][A-Z0-9_]*)=", " ".join(i.text for i in of(instructions, "ENV")))
    assert {name for name in names if name.startswith("VITRINE_")} <= SETTINGS
    words = [*names, *arguments(instructions)]
    assert not [word for word in words if re.search("PASSWORD|SECRET|TOKEN|API_KEY|CREDENTIAL", word)]
