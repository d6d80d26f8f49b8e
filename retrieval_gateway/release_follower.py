"""Which release serves: the one owner of that, and of switching it.

It follows the store's ACTIVE file. A new release is loaded and probed beside the one
that serves, then a single reference is switched; a search takes the reference once, so
no reply mixes two releases. The old one leaves when its last search is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import structlog

from faults import Unavailable, VitrineError
from releases.store import ReleaseStore
from retrieval_gateway.loaded_release import LoadedRelease, check_probes
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.triton_keeper import TritonKeeper, Versions

log = structlog.get_logger(__name__)

_RETRY_AFTER_S = 1.0
_LONGEST_PAUSE_S = 10.0


class _Serving:
    """A loaded release and the number of searches that use it."""

    def __init__(self, release: LoadedRelease) -> None:
        self.release = release
        self._searches = 0
        self.unused = asyncio.Event()
        self.unused.set()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[LoadedRelease]:
        """Holds the release for one search."""
        self._searches += 1
        self.unused.clear()
        try:
            yield self.release
        finally:
            self._searches -= 1
            if self._searches == 0:
                self.unused.set()


class ReleaseFollower:
    """Owner of the release that serves.

    Args:
        store: the releases.
        load: opens a release's files; blocks, runs in a thread.
        keeper: loads and unloads Triton's models.
        metrics: where loads are counted.
        poll_s: pause between two looks at the store.
        grace_s: how long a release that left keeps its engines, so that other gateways
            on the same Triton can follow the switch before they go.
    """

    def __init__(
        self,
        store: ReleaseStore,
        load: Callable[[str], LoadedRelease],
        keeper: TritonKeeper,
        metrics: Metrics,
        poll_s: float,
        grace_s: float,
    ) -> None:
        self._store = store
        self._load = load
        self._keeper = keeper
        self._metrics = metrics
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._serving: _Serving | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._problem = "no release is active; publish one with `vitrine index`"

    @property
    def serving_id(self) -> str | None:
        """Id of the release that serves, or None before the first one."""
        return self._serving.release.release_id if self._serving is not None else None

    @contextlib.contextmanager
    def current(self) -> Iterator[LoadedRelease]:
        """Holds the serving release for one search; a switch waits for it before unloading.

        Raises:
            Unavailable: no release serves yet; says why.
        """
        if self._serving is None:
            raise Unavailable(
                f"no release serves: {self._problem}", field="release", retry_after_s=_RETRY_AFTER_S
            )
        with self._serving.in_use() as release:
            yield release

    async def run(self) -> None:
        """Follows the store until cancelled. A release that cannot be loaded leaves the old one serving."""
        failed_id: str | None = None
        said = ""
        pause_s = self._poll_s
        while True:
            try:
                await self.follow()
                failed_id, said, pause_s = None, "", self._poll_s
            except Exception as error:  # whatever a release is broken by, the one that serves goes on
                self._problem = str(error) if isinstance(error, VitrineError) else "it cannot be loaded"
                active_id = self._active_id()
                if active_id != failed_id:
                    failed_id, said, pause_s = active_id, "", self._poll_s
                if str(error) != said:  # once; but Triton may come, and then the release itself be wrong
                    said = str(error)
                    log.error("the active release cannot serve", error=said, serving=self.serving_id)
            # Loading reads every file: a broken release is tried ever more seldom, another one at once.
            again_at = time.monotonic() + pause_s
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s) if failed_id else self._poll_s
            await asyncio.sleep(self._poll_s)
            while failed_id and time.monotonic() < again_at and self._active_id() == failed_id:
                await asyncio.sleep(self._poll_s)

    def _active_id(self) -> str | None:
        """Returns the store's active id, or "" while it cannot be read."""
        try:
            return self._store.active_id()
        except (OSError, ValueError):
            return ""

    async def follow(self) -> None:
        """Switches to the store's active release if another one serves.

        Raises:
            VitrineError: it cannot be loaded or does not pass its probes; nothing changed.
        """
        async with self._turn:
            wanted = await asyncio.to_thread(self._store.active_id)
            if wanted is None or wanted == self.serving_id:
                return
            try:
                await self._switch_to(wanted)
            except BaseException:
                self._metrics.release_loads.labels("failed").inc()
                raise
            self._metrics.release_loads.labels("served").inc()

    async def _switch_to(self, release_id: str) -> None:
        release = await asyncio.to_thread(self._load, release_id)
        versions = _versions(release)
        await self._keeper.add(versions, lambda: check_probes(release))
        old, self._serving = self._serving, _Serving(release)
        self._keeper.watch_with(lambda: check_probes(release))
        self._metrics.release.clear()
        self._metrics.release.labels(release_id).set(1)
        log.info("release serves", release=release_id, products=release.manifest.index.count)
        if old is not None:
            task = asyncio.create_task(self._retire(old))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _retire(self, old: _Serving) -> None:
        await old.unused.wait()
        await asyncio.sleep(self._grace_s)
        await old.release.encoder.close()
        await self._keeper.remove(_versions(old.release))
        log.info("release left", release=old.release.release_id)


def _versions(release: LoadedRelease) -> Versions:
    return {part.model: part.version for part in release.manifest.towers.values()}
