"""Keeps Triton's models loaded and answering: the one owner of what Triton serves.

Triton never restarts a dead stub and goes on calling its model ready, and a restarted
server has nothing loaded. So the keeper looks with a real inference, at intervals and
whenever a search failed, and repairs: load what is missing, unload and load what is dead.
What it loads may be another engine than before; so nobody uses it until the inference has shown what it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

import structlog

from faults import DeadlineExceeded, InternalError, Unavailable, VitrineError
from retrieval_gateway.metrics import Metrics
from runtime.triton_control import TritonControl

log = structlog.get_logger(__name__)

Versions = Mapping[str, int]
"""By model name, the version that a release needs."""

Probe = Callable[[], Awaitable[None]]
"""A real inference; raises what went wrong."""

Suspend = Callable[[str], None]
"""Lets nobody use a model until the probe has succeeded again."""

EngineTurn = Callable[[], contextlib.AbstractContextManager[object]]
"""Waits for one's turn to change what Triton has loaded (blocks), and gives it back at the end."""

_LEAST_PAUSE_S = 0.25
_MOST_OVERDUE = 3
"""Probes late in a row before a repair: a busy Triton is late as well, and reloading it would not help."""


class TritonKeeper:
    """Owner of the models that this gateway needs.

    Args:
        control: Triton's control API; its calls block and run in threads.
        metrics: where repairs are counted.
        interval_s: pause between two looks while all is well; a failure is looked at at once.
    """

    def __init__(self, control: TritonControl, metrics: Metrics, interval_s: float = 2.0) -> None:
        self._control = control
        self._metrics = metrics
        self._interval_s = interval_s
        self._wanted: list[Versions] = []
        self._probe: Probe | None = None
        self._suspend: Suspend = lambda _: None
        self._look = asyncio.Event()
        self._turn = asyncio.Lock()
        self._among_gateways: EngineTurn = contextlib.nullcontext
        self._overdue = 0
        self.healthy = False
        """The last real inference succeeded."""

    def take_turns(self, turn: EngineTurn) -> None:
        """Says how to wait for one's turn among the gateways that share this Triton."""
        self._among_gateways = turn

    def suspect(self) -> None:
        """A call of Triton failed: look now."""
        self._look.set()

    async def add(self, versions: Versions, probe: Probe) -> None:
        """Loads the models of one more release beside those that serve, and tries them.

        They are its own from now on, whether that goes well or not: ``remove`` takes them back.

        Args:
            versions: what the release needs.
            probe: a real inference with them.

        Raises:
            NotFound: Triton's repository has no such model or version.
            Mismatch: Triton answers with another engine.
            Unavailable: Triton does not answer.
        """
        async with self._turn:
            self._wanted.append(versions)
            await self._load()
            await self._try(versions, probe)
        # Triton loads a version that serves anew if its folder was changed: see that it was not.
        self.suspect()

    async def remove(self, versions: Versions, spared: Iterable[Versions] = ()) -> None:
        """Unloads the versions of a release that no longer serves, unless another one uses them.

        Args:
            versions: what the release needed.
            spared: what other gateways need of the same Triton.
        """
        async with self._turn:
            if versions in self._wanted:  # it is not where ``add`` was cancelled before its turn came
                self._wanted.remove(versions)
            await self._drop(versions, tuple(spared))

    async def unload(self, versions: Versions, spared: Iterable[Versions]) -> None:
        """Unloads versions that nobody uses any more, unless they are this gateway's or others need them."""
        async with self._turn:
            await self._drop(versions, tuple(spared))

    async def _drop(self, versions: Versions, spared: Iterable[Versions]) -> None:
        """Retires these versions and no others: other gateways may have loaded theirs."""
        # Triton may be away; it then has nothing to unload.
        with contextlib.suppress(VitrineError):
            async with self._engine_turn():
                for model, version in versions.items():
                    if version in _versions_of(model, [*self._wanted, *spared]):
                        continue
                    ready = set(await asyncio.to_thread(self._control.ready_versions, model))
                    kept = ready - {version}
                    if kept and kept != ready:
                        await asyncio.to_thread(self._control.load_versions, model, sorted(kept))
                    elif kept != ready:
                        await asyncio.to_thread(self._control.unload, model)

    async def _try(self, versions: Versions, probe: Probe) -> None:
        """Probes; models that are loaded but dead (a stub killed before we came) are reloaded once."""
        try:
            await probe()
        except (Unavailable, InternalError):
            async with self._engine_turn():
                for model, version in versions.items():
                    await asyncio.to_thread(self._control.recover, model, version)
                    self._metrics.triton_repairs.labels(model).inc()
            await probe()

    def watch_with(self, probe: Probe, suspend: Suspend) -> None:
        """Sets how the serving release is watched.

        Args:
            probe: its real inference; it just succeeded.
            suspend: called before a model of its is loaded anew.
        """
        self._probe = probe
        self._suspend = suspend
        self._set_health(True)

    async def run(self) -> None:
        """Looks after Triton until cancelled."""
        pause = self._interval_s
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), pause)
            self._look.clear()
            if self._probe is not None:
                async with self._turn:
                    pause = await self._look_once(self._probe)
                # Failed calls, our own probe's among them, ask for a look at once: one a moment is enough.
                await asyncio.sleep(min(pause, _LEAST_PAUSE_S))

    async def _look_once(self, probe: Probe) -> float:
        """Tries the serving release, repairs it if need be, and returns the pause until the next look."""
        try:
            await probe()
        except VitrineError as error:
            if self.healthy:  # said once an outage
                log.warning("triton does not answer as it should", error=str(error))
            self._set_health(False)
            self._overdue = self._overdue + 1 if isinstance(error, DeadlineExceeded) else _MOST_OVERDUE
            if self._overdue < _MOST_OVERDUE:
                return _LEAST_PAUSE_S
            self._overdue = 0
            return await self._repair(probe, error)
        self._overdue = 0
        self._set_health(True)
        return self._interval_s

    async def _repair(self, probe: Probe, error: VitrineError) -> float:
        """Loads what is missing; a model that is there and still does not answer is reloaded."""
        try:
            if not await asyncio.to_thread(self._control.live):
                return _LEAST_PAUSE_S  # whoever started it starts it again
            if not await self._load(self._suspend):
                models = self._models()
                # The others answer, and reloading them would cost searches.
                async with self._engine_turn():
                    for model in [error.field] if error.field in models else models:
                        self._suspend(model)
                        await asyncio.to_thread(self._control.recover, model)
                        self._metrics.triton_repairs.labels(model).inc()
            await probe()
        except VitrineError as still:
            log.warning("triton is not repaired yet", error=str(still))
        else:
            log.info("triton answers again")
            self._set_health(True)
        return self._interval_s

    async def _load(self, suspend: Suspend = lambda _: None) -> bool:
        """Loads every wanted version that is not there; returns whether there was any."""
        async with self._engine_turn():
            return await self._load_now(suspend)

    async def _load_now(self, suspend: Suspend) -> bool:
        loaded = False
        for model in self._models():
            wanted = _versions_of(model, self._wanted)
            ready = await asyncio.to_thread(self._control.ready_versions, model)
            if not wanted <= set(ready):
                suspend(model)
                # Versions of other gateways' releases stay: each gateway only adds its own.
                await asyncio.to_thread(self._control.load_versions, model, sorted(wanted | set(ready)))
                self._metrics.triton_repairs.labels(model).inc()
                loaded = True
        return loaded

    @contextlib.asynccontextmanager
    async def _engine_turn(self) -> AsyncIterator[None]:
        turn = await asyncio.to_thread(self._among_gateways)
        with turn:
            yield

    def _models(self) -> list[str]:
        return sorted({model for versions in self._wanted for model in versions})

    def _set_health(self, healthy: bool) -> None:
        self.healthy = healthy
        self._metrics.triton_up.set(healthy)
        self._metrics.degraded.lacks("triton", not healthy)


def _versions_of(model: str, needed: Iterable[Versions]) -> set[int]:
    return {versions[model] for versions in needed if model in versions}
