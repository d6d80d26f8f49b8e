"""Runs one version of one tower in Triton: arrays in, arrays out, errors translated."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from tritonclient import grpc as triton
from tritonclient.grpc import aio as triton_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from faults import DeadlineExceeded, InternalError, NotFound, Unavailable, VitrineError
from retrieval_gateway import deadline
from runtime.triton_faults import fault_from_status

Array = npt.NDArray[np.generic]


class TowerClient:
    """One tower at one version.

    Args:
        client: the gateway's one channel to Triton.
        url: Triton's address, for messages.
        model: ``query_tower`` or ``product_tower``.
        version: the version that the release names; never "latest", which another release may be.
        outputs: names of the outputs wanted.
        timeout_s: bound of one call, however long its callers would wait. Triton computes on after it.
        on_failure: told of every failed call, so that the keeper looks at once.
    """

    def __init__(
        self,
        client: triton_aio.InferenceServerClient,
        url: str,
        model: str,
        version: int,
        outputs: tuple[str, ...],
        timeout_s: float,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.model = model
        self.version = version
        self._client = client
        self._url = url
        self._outputs = [triton.InferRequestedOutput(name) for name in outputs]
        self._timeout_s = timeout_s
        self._on_failure = on_failure

    async def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Runs the tower on B rows.

        Args:
            inputs: by tensor name, each with B rows.

        Returns:
            By output name, each with B rows.

        Raises:
            InvalidInput: Triton refuses the rows.
            Unavailable: Triton, the model or this version of it is not there.
            DeadlineExceeded: it took longer than ``timeout_s``, or than its callers have.
        """
        tensors = []
        for name, array in inputs.items():
            tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        time_s = deadline.at_most(self._timeout_s)
        try:
            result = await self._client.infer(
                self.model,
                tensors,
                model_version=str(self.version),
                outputs=self._outputs,
                client_timeout=time_s,
            )
        except InferenceServerException as error:
            fault = self._fault(error)
            # Callers in a hurry say nothing about Triton; one that takes all the time there is does.
            if time_s >= self._timeout_s or not isinstance(fault, DeadlineExceeded):
                self._on_failure()
            raise fault from error
        return {output.name(): self._read(result, output.name()) for output in self._outputs}

    def _fault(self, error: InferenceServerException) -> VitrineError:
        fault = fault_from_status(
            error.status() or "", error.message() or "", model=self.model, url=self._url
        )
        if isinstance(fault, NotFound):
            # The searcher asked for no model: that one is absent is our trouble, and the keeper mends it.
            return Unavailable(fault.problem, field=fault.field, fix=fault.fix, retry_after_s=1.0)
        return fault

    def _read(self, result: triton.InferResult, name: str) -> Array:
        array: Array | None = result.as_numpy(name)
        if array is None or array.size == 0:
            # A stub with numpy 2 answers OK with no data: say so instead of serving nonsense.
            raise InternalError(f"{self.model} version {self.version} returned no data for {name}")
        return array
