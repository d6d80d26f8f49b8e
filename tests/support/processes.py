"""Looks at processes and shared memory from outside, as a suspicious operator would."""

import time
from pathlib import Path


def running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and not running(pid)


def stubs(shared_memory_prefix: str) -> dict[str, int]:
    """Process ids of a server's Python stubs by ``model/version``."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if words[0].endswith("triton_python_backend_stub") and words[2].startswith(shared_memory_prefix):
                version = Path(words[1]).parent
                found[f"{version.parent.name}/{version.name}"] = int(entry.name)
    return found


def shared_memory(prefix: str) -> list[str]:
    return [region.name for region in Path("/dev/shm").iterdir() if region.name.startswith(prefix)]


def eventually(condition, within_s: float = 20.0, every_s: float = 0.05):
    """The first true value of ``condition()``; its last one if the time runs out."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(every_s)
