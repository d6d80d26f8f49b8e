"""``python -m retrieval_gateway.security.picture_worker BYTES``: decodes pictures for a gateway.

A process of its own, since decoders are C code that reads what strangers send: here a crash, an endless
loop or a bomb costs one picture and not the gateway. It speaks on the socket that is its standard
input, ends when the gateway closes it, and gives itself bounds: address space,
processor time a picture, no files, no core dump.
"""

from __future__ import annotations

import math
import resource
import signal
import socket
import sys
from io import BufferedRWPair
from pathlib import Path

from catalog.picture_decoder import decode_picture
from faults import InvalidInput
from retrieval_gateway.security.picture_wire import (
    ANSWER_HEAD,
    EXHAUSTED,
    PIXELS,
    READY,
    REFUSED,
    REQUEST_HEAD,
    Order,
    Refusal,
)

_TOO_MUCH_MEMORY = Refusal("decoding it takes more memory than is allowed", "Send a smaller picture.")


def main() -> int:
    """Serves until the gateway is gone; returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the gateway, which still answers
    bound(int(sys.argv[1]))
    with socket.socket(fileno=0) as connection, connection.makefile("rwb") as stream:
        connection.sendall(READY)
        while serve_one(stream):
            pass
    return 0


def bound(more_bytes: int) -> None:
    """Bounds this process: to ``more_bytes`` of address space beyond what it has now, and to no files."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def serve_one(stream: BufferedRWPair) -> bool:
    """Answers one request; returns whether to go on."""
    head = stream.read(REQUEST_HEAD.size)
    if len(head) < REQUEST_HEAD.size:
        return False
    lengths = REQUEST_HEAD.unpack(head)
    order = Order.from_json(stream.read(lengths[0]))
    _bound_time(order.time_s)
    kind, answer = _decode(stream.read(lengths[1]), order)
    stream.write(ANSWER_HEAD.pack(kind, len(answer)) + answer)
    stream.flush()
    return kind != EXHAUSTED


def _decode(data: bytes, order: Order) -> tuple[int, bytes]:
    """Returns the kind of answer, and the answer."""
    try:
        return PIXELS, decode_picture(data, order.size, order.limits).tobytes()
    except InvalidInput as error:
        if isinstance(error.__cause__, MemoryError):
            return EXHAUSTED, _TOO_MUCH_MEMORY.to_json()
        return REFUSED, Refusal(error.problem, error.fix).to_json()
    except MemoryError:
        return EXHAUSTED, _TOO_MUCH_MEMORY.to_json()


def _bound_time(seconds: float) -> None:
    """Lets the kernel end a decoder that never ends, also where the gateway is gone and nobody watches."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    raise SystemExit(main())
