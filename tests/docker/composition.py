"""Reads compose.yaml the way compose does it: variables, merges, profiles."""

import re
from typing import Any

import yaml
from dockerfiles import ROOT, versions

PROFILES = ("cpu", "gpu")


def interpolate(text: str, environment: dict[str, str]) -> str:
    """``${NAME}``, ``${NAME:-default}``, ``${NAME:?message}``, ``$$``; KeyError for what is not set."""

    def value(match: re.Match) -> str:
        if match[0] == "$$":
            return "$"
        name, operator, rest = match["name"], match["operator"], match["rest"]
        if environment.get(name):
            return environment[name]
        if operator == ":-":
            return rest
        raise KeyError(f"{name}: {rest or 'not set'}")

    return re.sub(r"\$\$|\$\{(?P<name>\w+)(?P<operator>:-|:\?)?(?P<rest>[^}]*)\}", value, text)


def raw() -> str:
    return (ROOT / "compose.yaml").read_text(encoding="utf-8")


def load() -> dict[str, Any]:
    """The whole file with the pins filled in; YAML's own merges are done, the x- parts are left out."""
    whole = yaml.safe_load(interpolate(_without_comments(raw()), versions()))
    return {key: part for key, part in whole.items() if not key.startswith("x-")}


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def active(services: dict[str, Any], *profiles: str) -> dict[str, Any]:
    """The services that take part when these profiles are on."""
    return {
        name: service
        for name, service in services.items()
        if not service.get("profiles") or set(service["profiles"]) & set(profiles)
    }


def mounts(service: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """(source, target, read-only) of the short syntax."""
    found = []
    for text in service.get("volumes", ()):
        source, target, *mode = text.split(":")
        found.append((source, target, mode == ["ro"]))
    return found
