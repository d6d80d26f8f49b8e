"""Triton's control API: which versions serve, make these serve, repair, count.

Used by the gateway too, so nothing here starts a process or looks at the repository's disk.

What tritonserver 2.51 does in EXPLICIT mode was tried out, comparing the stubs' process ids:

- **Adding or retiring a version by a config override works** and needs no access to the repository:
  ``load_model(name, config=…)`` with the served config and another ``version_policy`` starts the added
  version's stub and leaves the others' alone (same process id, requests answered all the while). So
  rewriting ``config.pbtxt`` is not needed and not done here.
- **A version is reloaded if anything in its folder changed since it was loaded**, a ``__pycache__``
  included: version 1's stub was replaced when version 2 was added. Stubs ignore PYTHONDONTWRITEBYTECODE
  (their interpreter is isolated); ``runtime.triton_home`` turns bytecode off from inside.
- **A listed version that is not on disk is skipped in silence** as long as one other is there; so what
  serves is compared with what was asked for after every load.
- If one of several versions cannot be loaded, the call fails and the served set stays as it was.
- **A dead stub stays READY, and a load alone does not revive it.** Retiring its version and adding it
  again does, without touching the other versions; if it is the only one, unload and load.
- An override lasts until the next plain load, which goes back to ``config.pbtxt``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from faults import InvalidInput, NotFound, VitrineError
from runtime.triton_faults import fault_from_status

# A restarted server should be found at once, not after gRPC's usual back-off of up to two minutes.
_CHANNEL_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]


@dataclass(frozen=True, slots=True)
class VersionStatistics:
    """Triton's counters for one version since it was loaded; they follow an answer by some milliseconds.

    Args:
        version: the version.
        inference_count: rows run, failed ones included (a request of 8 rows counts 8).
        execution_count: runs of the model; below inference_count if requests were batched.
        success_count: requests answered. The Python backend (2.51) counts a request that it answers
            with an error here too, so neither this nor failure_count shows refused requests.
        failure_count: requests that failed before or outside the model.
        queue_ns: time that requests waited in Triton, summed, in nanoseconds.
        compute_ns: time in the model, input and output handling included, summed, in nanoseconds.
    """

    version: int
    inference_count: int
    execution_count: int
    success_count: int
    failure_count: int
    queue_ns: int
    compute_ns: int


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Counters of one model: each version's, and their sums."""

    model: str
    versions: tuple[VersionStatistics, ...]

    @property
    def inference_count(self) -> int:
        """Rows run by all versions."""
        return sum(version.inference_count for version in self.versions)

    @property
    def execution_count(self) -> int:
        """Model runs of all versions."""
        return sum(version.execution_count for version in self.versions)

    @property
    def queue_ns(self) -> int:
        """Nanoseconds that requests waited, summed."""
        return sum(version.queue_ns for version in self.versions)

    @property
    def compute_ns(self) -> int:
        """Nanoseconds in the model, summed."""
        return sum(version.compute_ns for version in self.versions)


class TritonControl:
    """A synchronous client of one server's control API; safe to use from several threads.

    Every method raises Unavailable when the server is not there and DeadlineExceeded after ``timeout_s``.

    Args:
        url: ``host:port`` of the gRPC endpoint.
        timeout_s: limit of every call; a load includes starting the model (1 to 5 s on a CPU).
    """

    def __init__(self, url: str, timeout_s: float = 60.0) -> None:
        self.url = url
        self._timeout_s = timeout_s
        self._client = grpcclient.InferenceServerClient(url, channel_args=_CHANNEL_OPTIONS)

    def __enter__(self) -> TritonControl:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the channel."""
        self._client.close()

    def live(self) -> bool:
        """Returns whether the server answers; never raises for one that does not."""
        try:
            return bool(self._client.is_server_live(client_timeout=self._timeout_s))
        except InferenceServerException:
            return False

    def server_version(self) -> str:
        """Returns the version that the server reports, such as ``2.51.0``."""
        with self._translated():
            metadata = self._client.get_server_metadata(client_timeout=self._timeout_s)
        return str(metadata.version)

    def ready_versions(self, model: str) -> tuple[int, ...]:
        """Returns the versions that Triton calls ready, ascending; none for an unknown model.

        A version whose stub has died is among them: only an inference tells.
        """
        with self._translated(model):
            index = self._client.get_model_repository_index(client_timeout=self._timeout_s)
        found = (entry.version for entry in index.models if entry.name == model and entry.state == "READY")
        return tuple(sorted(int(version) for version in found))

    def model_config(self, model: str) -> dict[str, Any]:
        """Returns the served configuration in Triton's JSON form.

        Raises:
            NotFound: no version of the model is loaded.
        """
        with self._translated(model):
            answer = self._client.get_model_config(model, as_json=True, client_timeout=self._timeout_s)
        config: dict[str, Any] = answer["config"]
        return config

    def statistics(self, model: str) -> ModelStatistics:
        """Returns the counters of the loaded versions.

        Raises:
            NotFound: no version of the model is loaded.
        """
        with self._translated(model):
            answer = self._client.get_inference_statistics(model, client_timeout=self._timeout_s)
        versions = (_version_statistics(entry) for entry in answer.model_stats)
        return ModelStatistics(model, tuple(sorted(versions, key=lambda entry: entry.version)))

    def load_versions(self, model: str, versions: Sequence[int]) -> None:
        """Makes exactly these versions serve; those that already do are not touched.

        New versions are added first and the others retired only when all the new ones are ready, so
        a failure leaves what served before. The first load of a model follows its config.pbtxt.

        Raises:
            InvalidInput: no or impossible versions, or a version that fails to load (with Triton's text).
            NotFound: a version, or the model, is not in the repository.
        """
        wanted = _checked_versions(model, versions)
        served = self.ready_versions(model)
        if not served:
            self._load(model)
            served = self.ready_versions(model)
        config = self.model_config(model)
        self._serve(model, config, served, tuple(sorted({*served, *wanted})))
        self._serve(model, config, served, wanted)

    def unload(self, model: str) -> None:
        """Stops serving every version; nothing happens if none is served."""
        with self._translated(model):
            self._client.unload_model(model, client_timeout=self._timeout_s)

    def recover(self, model: str, version: int | None = None) -> None:
        """Revives a model whose stub has died, with the versions that were served.

        Args:
            model: its name.
            version: the version that failed. If others serve as well, they go on undisturbed;
                without it, or if it is the only one, the model is away for a second or two.

        Raises:
            NotFound: no version of the model was loaded.
        """
        config = self.model_config(model)
        served = self.ready_versions(model)
        others = tuple(entry for entry in served if entry != version)
        if version is not None and others and version in served:
            self._load(model, _with_versions(config, others))
        else:
            self.unload(model)
        self._load(model, _with_versions(config, served))

    def _serve(
        self, model: str, config: dict[str, Any], before: tuple[int, ...], wanted: tuple[int, ...]
    ) -> None:
        if self.ready_versions(model) == wanted:
            return
        self._load(model, _with_versions(config, wanted))
        missing = sorted(set(wanted) - set(self.ready_versions(model)))
        if missing:
            self._load(model, _with_versions(config, before))
            raise NotFound(
                f"version {missing[0]} is not in Triton's model repository.",
                field=model,
                value=missing,
                fix="export it there first, or activate a release whose versions are.",
            )

    def _load(self, model: str, config: dict[str, Any] | None = None) -> None:
        override = json.dumps(config) if config is not None else None
        with self._translated(model):
            self._client.load_model(model, config=override, client_timeout=self._timeout_s)

    @contextlib.contextmanager
    def _translated(self, model: str = "") -> Iterator[None]:
        try:
            yield
        except InferenceServerException as error:
            raise self._fault(error, model) from error

    def _fault(self, error: InferenceServerException, model: str) -> VitrineError:
        return fault_from_status(error.status() or "", error.message() or "", model=model, url=self.url)


def _checked_versions(model: str, versions: Sequence[int]) -> tuple[int, ...]:
    wanted = tuple(sorted(set(versions)))
    if not wanted or wanted[0] < 1:
        raise InvalidInput(
            "needs at least one version, each 1 or more.",
            field=model,
            value=list(versions),
            fix="name the versions to serve; unload() serves none.",
        )
    return wanted


def _with_versions(config: dict[str, Any], versions: tuple[int, ...]) -> dict[str, Any]:
    return {**config, "version_policy": {"specific": {"versions": list(versions)}}}


def _version_statistics(entry: Any) -> VersionStatistics:
    stats = entry.inference_stats
    return VersionStatistics(
        version=int(entry.version),
        inference_count=entry.inference_count,
        execution_count=entry.execution_count,
        success_count=stats.success.count,
        failure_count=stats.fail.count,
        queue_ns=stats.queue.ns,
        compute_ns=stats.compute_input.ns + stats.compute_infer.ns + stats.compute_output.ns,
    )
