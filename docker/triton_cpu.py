"""Starts the tritonserver from pip in a container: lays out its home, then *becomes* the server.

It becomes it (exec) so that SIGTERM reaches Triton itself. The flags are those of ``runtime.triton``, with
two differences that tests/docker holds it to: gRPC and metrics listen on the container's network instead of
loopback, because the gateway is another container; and HTTP listens, on loopback only, for the container's
health check. Nothing here watches the process: the container's engine does.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from faults import VitrineError
from runtime.triton_home import lay_out_triton_home

_EXIT_TIMEOUT_S = 3
"""As in ``runtime.triton``: one dead stub makes Triton wait it out at SIGTERM."""


def command(binary: Path, backends: Path, options: argparse.Namespace) -> list[str]:
    """Returns program and arguments."""
    return [
        str(binary),
        f"--model-repository={options.repository}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--exit-on-error=false",
        f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
        "--http-address=127.0.0.1",
        f"--http-port={options.http_port}",
        f"--grpc-address={options.host}",
        f"--grpc-port={options.grpc_port}",
        f"--metrics-address={options.host}",
        f"--metrics-port={options.metrics_port}",
        "--allow-gpu-metrics=false",
        # Of this process: a container has a /dev/shm of its own, but this runs outside of one as well.
        f"--backend-config=python,shm-region-prefix-name=vitrine-{os.getpid()}-",
        "--log-format=ISO8601",
    ]


def options_from(arguments: list[str]) -> argparse.Namespace:
    """Reads the command line; the defaults are the image's."""
    parser = argparse.ArgumentParser(description="Starts the tritonserver from pip.")
    parser.add_argument("--repository", type=Path, default=Path("/models"), help="model repository")
    parser.add_argument("--home", type=Path, default=Path("/tmp/triton-home"), help="folder for links")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="Triton's own environment")
    parser.add_argument("--host", default="0.0.0.0", help="address of gRPC and metrics")
    parser.add_argument("--grpc-port", type=int, default=8001)
    parser.add_argument("--http-port", type=int, default=8000)
    parser.add_argument("--metrics-port", type=int, default=8002)
    return parser.parse_args(arguments)


def main() -> None:
    """Becomes the server, or ends with code 2 and the reason."""
    options = options_from(sys.argv[1:])
    try:
        home = lay_out_triton_home(options.python, options.home)
    except VitrineError as error:
        sys.stderr.write(f"triton: {error}\n")
        sys.exit(2)
    argv = command(home.binary, home.backend_directory.resolve(), options)
    os.execve(argv[0], argv, dict(home.environment))


if __name__ == "__main__":
    main()
