"""A recipe as the TOML file that one would write."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from towers.recipe import Recipe


def write_recipe(recipe: Recipe, path: Path, comment: str = "") -> Path:
    """Writes ``recipe`` to ``path``, which it returns."""
    lines = [f"# {comment}"] if comment else []
    lines += _lines(recipe.model_dump(mode="json", exclude_none=True), "")
    path.write_text("\n".join(lines) + "\n")
    return path


def _lines(values: dict[str, Any], prefix: str) -> Iterator[str]:
    """Plain values first: what follows a table's heading belongs to the table."""
    tables = {name: value for name, value in values.items() if isinstance(value, dict) or _is_tables(value)}
    for name, value in values.items():
        if name not in tables:
            yield f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}"
    for name, value in tables.items():
        for table in value if isinstance(value, list) else [value]:
            yield f"[[{prefix}{name}]]" if isinstance(value, list) else f"[{prefix}{name}]"
            yield from _lines(table, f"{prefix}{name}.")


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)
