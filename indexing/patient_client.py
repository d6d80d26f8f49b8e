"""A Triton client for work that nobody waits for: it waits out what passes by itself.

Beside a running gateway Triton is repaired under the indexer's feet: models are unloaded and loaded again,
and the whole server may be restarted. A shopper must be told at once; hours of indexing must not
be lost for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog
from tritonclient.grpc import aio as triton_aio
from tritonclient.utils import InferenceServerException

from faults import NotFound, Unavailable, VitrineError
from runtime.triton_faults import fault_from_status

log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 4.0


class PatientClient:
    """Stands for tritonclient's asynchronous client where ``infer`` is called.

    Args:
        client: makes the calls.
        url: Triton's address, for messages.
        within_s: how long one inference is tried before its error is raised.
        load_again: loads what is to be run, if it is no longer there; blocks, runs in a thread.
        clock: seconds, monotonic.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        client: triton_aio.InferenceServerClient,
        url: str,
        within_s: float,
        load_again: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._url = url
        self._within_s = within_s
        self._load_again = load_again
        self._clock = clock
        self._sleep = sleep

    async def infer(self, model: str, *arguments: Any, **options: Any) -> Any:
        """Calls ``infer``, again and again while Triton or the model is away.

        Raises:
            InferenceServerException: what does not pass, or did not in time.
        """
        deadline, pause_s = self._clock() + self._within_s, _FIRST_PAUSE_S
        while True:
            try:
                return await self._client.infer(model, *arguments, **options)
            except InferenceServerException as error:
                fault = fault_from_status(
                    error.status() or "", error.message() or "", model=model, url=self._url
                )
                if not isinstance(fault, Unavailable | NotFound) or self._clock() + pause_s > deadline:
                    raise
                log.info("waiting for triton", why=str(fault))
            await self._sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
            await self._try_to_load()

    async def _try_to_load(self) -> None:
        try:
            await asyncio.to_thread(self._load_again)
        except VitrineError as error:  # it is still away; the inference says how
            log.info("triton has not come back yet", why=str(error))
