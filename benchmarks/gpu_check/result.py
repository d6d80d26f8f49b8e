"""The result file: what was measured, what was not and why, and the command that does it again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from catalog.atomic import make_folder, write_atomically

SCHEMA = 1

Section = dict[str, Any]
"""A part's findings; whatever JSON can hold."""
Result = dict[str, Any]


def slug(name: str) -> str:
    """Turns a GPU's name into a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"


def write_json(path: Path, value: Result) -> None:
    """Writes a result whole or not at all.

    Raises:
        faults.StorageFailed: the disk refuses.
    """
    make_folder(path.parent)
    write_atomically(path, lambda stream: stream.write((render(value) + "\n").encode()))


def read_json(path: Path) -> Result:
    """Reads what ``write_json`` wrote; an absent file is an empty result."""
    if not path.is_file():
        return {}
    value: Result = json.loads(path.read_text(encoding="utf-8"))
    return value


def render(value: Any, depth: int = 0) -> str:
    """Renders JSON with a line for each innermost object: a measurement is a line in a diff."""
    if not isinstance(value, dict | list) or not any(_holds_a_container(entry) for entry in _entries(value)):
        return json.dumps(value, ensure_ascii=False)
    indent = " " * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {render(entry, depth + 1)}" for key, entry in value.items()]
    else:
        lines = [render(entry, depth + 1) for entry in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    body = ",\n".join(f"{indent}{line}" for line in lines)
    return f"{opening}\n{body}\n{' ' * depth}{closing}"


def _entries(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _holds_a_container(entry: Any) -> bool:
    """A list of plain numbers is a figure with its spread, and stays on its line."""
    if isinstance(entry, list):
        return any(isinstance(each, dict | list) for each in entry)
    return isinstance(entry, dict)


def not_run(result: Result) -> list[tuple[str, str]]:
    """Returns (what, cause) for everything that failed or was left out, in the order of the parts."""
    missing: list[tuple[str, str]] = []
    for name, part in result.get("parts", {}).items():
        if part["status"] not in ("ok", "partial"):
            missing.append((name, f"{part['status']}: {part.get('cause', '')}"))
        entries = part.get("result", {}).get("not_run", [])
        missing += [(f"{name}: {entry['what']}", entry["cause"]) for entry in entries]
    return missing
