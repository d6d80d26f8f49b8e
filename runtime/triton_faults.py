"""The one place where Triton's gRPC errors become ours.

Triton's codes are coarse: a model that is absent may come as NOT_FOUND, INVALID_ARGUMENT, INTERNAL or
UNAVAILABLE, depending on the call, and a dead stub as INTERNAL. So the text is looked at too; every
phrase below was provoked on tritonserver 2.51.
"""

from __future__ import annotations

from faults import DeadlineExceeded, InternalError, InvalidInput, NotFound, Unavailable, VitrineError

_ABSENT = (
    "is not found",
    "has no available versions",
    "is not available",
    "failed to poll from model repository",
    "at least one version must be available",
)
_NOT_READY = "is not at ready state"
_DEAD_STUB = ("is not healthy", "Stub process")
_CONNECT_RETRY_S = 1.0


def is_dead_stub(message: str) -> bool:
    """Returns whether Triton's message says that the model's Python process has died.

    Triton never restarts it and goes on calling the model ready: see ``TritonControl.recover``.
    """
    return all(phrase in message for phrase in _DEAD_STUB)


def fault_from_status(status: str, message: str, *, model: str, url: str) -> VitrineError:
    """Translates one failed call.

    Args:
        status: gRPC code, as ``NOT_FOUND`` or ``StatusCode.NOT_FOUND``.
        message: Triton's text.
        model: the model called, or "" for calls about the server.
        url: the server, for the message.
    """
    code = status.rpartition(".")[2]
    text = message.strip()
    field = model or "triton"
    if is_dead_stub(text):
        return Unavailable(
            f"the Python process of {model} in Triton has died: {text}",
            field=field,
            fix="unload and load the model (TritonControl.recover).",
            retry_after_s=_CONNECT_RETRY_S,
        )
    if code in ("DEADLINE_EXCEEDED", "CANCELLED"):
        return DeadlineExceeded(
            f"Triton at {url} did not answer in time.", field=field, fix="raise the time limit or retry."
        )
    if code == "NOT_FOUND" or any(phrase in text for phrase in _ABSENT):
        fix = "check the model's name, its versions and its config.pbtxt, then load it."
        return NotFound(f"Triton at {url} has no such model or version: {text}", field=field, fix=fix)
    if code == "UNAVAILABLE" and _NOT_READY in text:
        return Unavailable(text, field=field, fix="load this version.", retry_after_s=_CONNECT_RETRY_S)
    if code == "UNAVAILABLE":
        return Unavailable(
            f"Triton at {url} cannot be reached: {text}",
            field=field,
            fix="start it (`make serve`) or correct the address.",
            retry_after_s=_CONNECT_RETRY_S,
        )
    if code in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "OUT_OF_RANGE"):
        return InvalidInput(f"Triton refused it: {text}", field=field, fix="correct what the message names.")
    return InternalError(f"Triton at {url} failed with {code}: {text}", field=field, fix="read Triton's log.")
