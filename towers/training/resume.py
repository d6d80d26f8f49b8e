"""Progress of a training on disk, so that a killed one goes on where it was.

    progress.safetensors    the training's state; its header carries identity and checksum as JSON

It is one file, written beside its place and renamed: a reader finds a whole step or none.
Progress is a convenience. Where it cannot be written or read, that is said and training goes on.
"""

from __future__ import annotations

import contextlib
import json
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from catalog.atomic import make_folder, write_atomically
from faults import InvalidInput, StorageFailed
from towers.tensor_files import tensor_bytes
from towers.training.identity import Identity, differences, machine
from towers.training.state import TrainingState

_FILE = "progress.safetensors"
_LARGEST_SHARE = 0.02
"""Of the time, that writing may take."""


class ProgressFolder:
    """Keeps one training's state in a folder.

    Args:
        folder: made when the first state is written.
        say: takes messages for people.
        known: see ``training_identity``.
        every_s: seconds between two states; more where the disk is so slow that it would cost time.
        every_steps: steps between two states instead of ``every_s``; 0 to go by time.
        fresh: leaves what is there unread; it is replaced by the first state.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None],
        known: Identity | None = None,
        every_s: float = 30.0,
        every_steps: int = 0,
        fresh: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.say = say
        self.known: Identity = known or {}
        self.kept: int | None = None
        """Step of the state that is on disk; None where there is none of this training."""
        self._folder = folder
        self._every_s, self._every_steps, self._fresh, self._clock = every_s, every_steps, fresh, clock
        self._steps, self._due_at = 0, 0.0
        self._identity: Identity = {}
        self._warned = self._stopping = False

    def begin(self, identity: Identity) -> TrainingState | None:
        """Starts keeping a training, and returns where an earlier run of the same one stood.

        Returns:
            None where there is no progress, or none to go on from; why not is said.
        """
        self._identity = identity
        self._due_at = self._clock() + self._every_s
        self._remove_leftovers()
        if self._fresh:
            return None
        try:
            state, identity_then, machine_then = _read(self._folder / _FILE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, KeyError, TypeError, ValueError, SafetensorError, InvalidInput) as error:
            self.say(f"the progress in {self._folder} is damaged ({error}): training begins anew")
            return None
        if different := differences(identity_then, identity):
            self.say(
                f"the progress in {self._folder} is of another training ({different}): training begins anew"
            )
            return None
        if machine_then != machine():
            self.say(f"begun with {machine_then}, goes on with {machine()}: sums may round differently")
        self.kept = state.steps
        return state

    def keep(self, capture: Callable[[], TrainingState]) -> None:
        """Writes the state if it is time. The first failure is said; none stops the training.

        Raises:
            KeyboardInterrupt: ``stop`` was called; the state is written.
        """
        self._steps += 1
        if self._stopping:
            self._write(capture)
            raise KeyboardInterrupt
        began = self._clock()
        if self._steps % self._every_steps if self._every_steps else began < self._due_at:
            return
        self._write(capture)
        ended = self._clock()
        self._due_at = ended + max(self._every_s, (ended - began) / _LARGEST_SHARE)

    def stop(self) -> None:
        """Lets the training end after the step under way, which is kept; safe in a signal handler."""
        self._stopping = True

    def _write(self, capture: Callable[[], TrainingState]) -> None:
        try:
            make_folder(self._folder)
            state = capture()
            content = _encode(state, self._identity)
            write_atomically(self._folder / _FILE, lambda stream: stream.write(content))
            self.kept = state.steps
        except (OSError, StorageFailed) as error:
            if not self._warned:
                self.say(f"progress cannot be kept, training goes on without: {error}")
            self._warned = True

    def remove(self) -> None:
        """Deletes what was kept, for the towers are on disk; what cannot be deleted stays."""
        self._remove_leftovers()
        with contextlib.suppress(OSError):
            (self._folder / _FILE).unlink(missing_ok=True)
            self._folder.rmdir()

    def _remove_leftovers(self) -> None:
        """A run that was killed while it wrote leaves its temporary file."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f".{_FILE}.*"):
                path.unlink(missing_ok=True)


def _encode(state: TrainingState, identity: Identity) -> bytes:
    tensors = state.tensors
    header = json.dumps({"identity": dict(identity), "machine": machine()})
    return tensor_bytes(tensors, {"header": header, "crc32": str(_checksum(tensors, header))})


def _read(path: Path) -> tuple[TrainingState, Identity, str]:
    """Returns state, identity and machine; raises what the caller takes for damage."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    text = metadata["header"]
    if _checksum(tensors, text) != int(metadata["crc32"]):
        raise InvalidInput("its checksum is wrong", field="progress", value=str(path))
    header = json.loads(text)
    return TrainingState(tensors), header["identity"], header["machine"]


def _checksum(tensors: Mapping[str, Tensor], header: str) -> int:
    """CRC-32 over the header, and over the tensors' names and bytes."""
    checksum = zlib.crc32(header.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(name.encode(), checksum)
        checksum = zlib.crc32(tensors[name].numpy().data, checksum)
    return checksum
