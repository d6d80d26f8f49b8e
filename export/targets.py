"""What can be exported for, apart from the code that does it: the command line asks without loading torch."""

from __future__ import annotations

TARGETS = ("cpu",)
"""What runs the engines."""

PRECISIONS = ("fp32",)
"""Numbers of the engines."""
