"""What the machine has that can move the last digits of a vector."""

from __future__ import annotations

from pathlib import Path

_NAMED = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, ...]:
    """Returns the SIMD levels of this machine that matter, sorted; none where they cannot be read."""
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ()
    for line in text.splitlines():
        name, _, values = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            return tuple(sorted(set(values.split()) & set(_NAMED)))
    return ()
