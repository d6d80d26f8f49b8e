"""Reads Dockerfiles, .dockerignore and docker/versions.env as far as these tests need."""

import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from retrieval_gateway.settings import GatewaySettings
from vitrine.local import LocalSettings

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
KEYWORDS = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN",
    "STOPSIGNAL", "USER", "WORKDIR",
}  # fmt: skip
"""What our files use. ADD, which fetches and unpacks in silence, and SHELL are left out on purpose."""

SETTINGS = {
    f"VITRINE_{name}".upper() for name in (*GatewaySettings.model_fields, *LocalSettings.model_fields)
}


@dataclass(frozen=True)
class Instruction:
    line: int
    keyword: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str] | None:
        """The exec form; None for the shell form."""
        return json.loads(self.text) if self.text.startswith("[") else None


def parse(path: Path) -> list[Instruction]:
    """Returns the instructions; raises ValueError for anything that is not one."""
    found, pending, began = [], "", 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        began = began if pending else number
        pending += line.strip()
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
            continue
        found.append(_instruction(began, pending))
        pending = ""
    if pending:
        raise ValueError(f"{path.name}:{began}: the last line goes on")
    return found


def _instruction(line: int, text: str) -> Instruction:
    keyword, _, rest = text.partition(" ")
    if keyword not in KEYWORDS:
        raise ValueError(f"line {line}: {keyword!r} is no instruction that we use")
    flags = {}
    rest = rest.strip()
    while match := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
        flags[match[1]] = match[2]
        rest = rest[match.end() :]
    if not rest:
        raise ValueError(f"line {line}: {keyword} says nothing")
    return Instruction(line, keyword, flags, rest)


def of(instructions: list[Instruction], keyword: str) -> list[Instruction]:
    return [instruction for instruction in instructions if instruction.keyword == keyword]


def last_stage(instructions: list[Instruction]) -> list[Instruction]:
    last = max(i for i, instruction in enumerate(instructions) if instruction.keyword == "FROM")
    return instructions[last:]


def arguments(instructions: list[Instruction]) -> dict[str, str]:
    """ARG names and defaults; an ARG repeated without one keeps the earlier default."""
    found: dict[str, str] = {}
    for instruction in of(instructions, "ARG"):
        name, _, default = instruction.text.partition("=")
        found[name] = default or found.get(name, "")
    return found


def substitute(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], text)


def copied(instructions: list[Instruction]) -> list[tuple[str, str]]:
    """(source in the build context, destination) of every COPY that does not come from another stage."""
    pairs = []
    for instruction in of(instructions, "COPY"):
        *sources, destination = instruction.text.split()
        if "from" not in instruction.flags:
            pairs += [(source, destination) for source in sources]
    return pairs


def versions() -> dict[str, str]:
    """docker/versions.env."""
    lines = (ROOT / "docker" / "versions.env").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    assert len({name for name, _ in pairs}) == len(pairs), "a pin stands there twice"
    return dict(pairs)


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the repository out of the build context.

    As Docker does it: patterns in their order, the last that matches the path or one of its folders decides.
    """
    candidates = [str(PurePosixPath(path)), *(str(part) for part in PurePosixPath(path).parents)][:-1]
    verdict = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip().removeprefix("!").strip("/")
        if pattern and not line.startswith("#") and any(_matches(pattern, name) for name in candidates):
            verdict = not line.startswith("!")
    return verdict


def _matches(pattern: str, name: str) -> bool:
    parts = [re.escape(part) for part in re.split(r"(\*\*/|\*)", pattern)]
    table = {re.escape("**/"): "(?:.*/)?", re.escape("*"): "[^/]*"}
    return re.fullmatch("".join(table.get(part, part) for part in parts), name) is not None
