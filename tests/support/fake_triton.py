"""A Triton in memory: inference as the gateway's client calls it, and the control API, with faults on demand.

``FakeTriton`` stands for the server, ``FakeClient`` for ``tritonclient.grpc.aio`` and ``FakeControl`` for
``runtime.triton_control.TritonControl``. The messages are those of tritonserver 2.51.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from faults import NotFound
from runtime.triton_faults import fault_from_status

MODELS = ("query_tower", "product_tower")


class FakeTriton:
    """A server.

    Attributes:
        engines: by version, the seed of its towers and the length of their vectors.
        loaded: by model, the versions that are ready.
        dead: (model, version) whose Python process was killed.
        away: the server does not run.
        late: (model, version) that does not answer in time.
        loads: how often each model was loaded, reloads included.
    """

    def __init__(self, **engines: tuple[int, int]) -> None:
        self.engines = {int(name.removeprefix("v")): engine for name, engine in engines.items()}
        self.loaded: dict[str, set[int]] = {model: set() for model in MODELS}
        self.dead: set[tuple[str, int]] = set()
        self.late: set[tuple[str, int]] = set()
        self.away = False
        self.loads: Counter[str] = Counter()
        self.calls: list[tuple[str, int, int]] = []
        """Model, version and rows of every inference that was answered."""

    def load_everything(self) -> None:
        for model in MODELS:
            self.loaded[model] = set(self.engines)

    def restart(self) -> None:
        """Comes back as a restarted server does: with nothing loaded."""
        self.loaded = {model: set() for model in MODELS}
        self.dead.clear()
        self.away = False

    def embed(self, model: str, version: int, inputs: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """Unit vectors: the mean of the tokens' vectors, for products mixed with the mean colour."""
        seed, dim = self.engines[version]
        random = np.random.default_rng(seed)
        table, colours = random.normal(size=(2000, dim)), random.normal(size=(3, dim))
        mask = inputs["attention_mask"].astype(float)[..., None]
        vectors = (table[inputs["input_ids"]] * mask).sum(axis=1) / mask.sum(axis=1)
        if model == "product_tower":
            seen = inputs["has_image"].any(axis=1, keepdims=True)
            colour = inputs["pixels"].astype(float).mean(axis=(1, 2, 3)) / 255
            vectors = vectors * inputs["has_text"] + 3 * (colour @ colours) * seen
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class FakeClient:
    """The part of tritonclient's asynchronous client that the gateway uses."""

    def __init__(self, server: FakeTriton) -> None:
        self._server = server

    async def infer(self, model: str, inputs: Sequence, *, model_version: str, **_: object):
        server, version = self._server, int(model_version)
        await asyncio.sleep(0)
        if server.away:
            raise InferenceServerException("failed to connect to all addresses", "StatusCode.UNAVAILABLE")
        if version not in server.loaded[model]:
            text = f"Request for unknown model: '{model}' version {version} is not found"
            raise InferenceServerException(text, "StatusCode.NOT_FOUND")
        if (model, version) in server.dead:
            text = f"Stub process '{model}_0_0' is not healthy."
            raise InferenceServerException(text, "StatusCode.INTERNAL")
        if (model, version) in server.late:
            raise InferenceServerException("Deadline Exceeded", "StatusCode.DEADLINE_EXCEEDED")
        arrays = {entry.name(): _array(entry) for entry in inputs}
        vectors = server.embed(model, version, arrays)
        server.calls.append((model, version, len(vectors)))
        weights = np.full((len(vectors), 2), 0.5, np.float32)
        return _Answer(
            {"query_embedding": vectors, "product_embedding": vectors, "modality_weights": weights}
        )

    async def close(self) -> None:
        pass


class FakeControl:
    """The part of TritonControl that the keeper uses."""

    url = "fake:8001"

    def __init__(self, server: FakeTriton) -> None:
        self._server = server

    def live(self) -> bool:
        return not self._server.away

    def ready_versions(self, model: str) -> tuple[int, ...]:
        self._require_server()
        return tuple(sorted(self._server.loaded[model]))

    def load_versions(self, model: str, versions: Iterable[int]) -> None:
        self._require_server()
        wanted = set(versions)
        missing = wanted - set(self._server.engines)
        if missing:
            raise NotFound(f"version {min(missing)} is not in Triton's model repository.", field=model)
        self._server.loads[model] += 1
        self._server.loaded[model] = wanted

    def unload(self, model: str) -> None:
        self._require_server()
        self._server.loaded[model] = set()

    def recover(self, model: str, version: int | None = None) -> None:
        self._require_server()
        self._server.loads[model] += 1
        chosen = self._server.loaded[model] if version is None else {version}
        self._server.dead -= {(model, entry) for entry in chosen}
        self._server.late -= {(model, entry) for entry in chosen}

    def _require_server(self) -> None:
        if self._server.away:
            raise fault_from_status("StatusCode.UNAVAILABLE", "failed to connect", model="", url=self.url)


class _Answer:
    def __init__(self, outputs: dict[str, NDArray[np.float32]]) -> None:
        self._outputs = outputs

    def as_numpy(self, name: str) -> NDArray[np.float32] | None:
        return self._outputs.get(name)


def _array(entry) -> NDArray[np.generic]:
    content = np.frombuffer(entry._get_content() or b"", dtype=triton_to_np_dtype(entry.datatype()))
    return content.reshape(entry.shape())
