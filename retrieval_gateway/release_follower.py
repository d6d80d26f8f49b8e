"""Which release serves: the one owner of that, and of switching it.

It follows the store's ACTIVE file. A new release is loaded and probed beside the one
that serves, then a single reference is switched; a search takes the reference once, so
no reply mixes two releases. The old one leaves when its last search is done.

Several gateways may follow one store and share one Triton. Each says which release it uses (a lock that
dies with its process, ``releases.in_use``), so the last one that leaves a release unloads its engines.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator

import structlog

from faults import Unavailable, VitrineError
from releases.in_use import Hold
from releases.store import ReleaseStore
from retrieval_gateway.loaded_release import LoadedRelease
from retrieval_gateway.metrics import Metrics
from retrieval_gateway.release_probes import check_probes, suspend
from retrieval_gateway.release_users import find_users
from retrieval_gateway.triton_keeper import TritonKeeper, Versions

log = structlog.get_logger(__name__)

_RETRY_AFTER_S = 1.0
_LONGEST_PAUSE_S = 10.0
_LONGEST_GOODBYE_S = 5.0


class _Serving:
    """A loaded release and the number of searches that use it."""

    def __init__(self, release: LoadedRelease, held: Hold) -> None:
        self.release = release
        self.held = held
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
        grace_s: how long a release that left keeps its engines loaded, for gateways that follow a copy
            of the store and cannot be seen to use it.
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
        keeper.take_turns(store.engine_turn)
        self._prepare: Callable[[LoadedRelease], Awaitable[object]] | None = None
        self._has_left: Callable[[str], None] | None = None
        self._metrics = metrics
        self._poll_s = poll_s
        self._grace_s = grace_s
        self._serving: _Serving | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._closing = asyncio.Event()
        self._turn = asyncio.Lock()
        self._problem = "no release is active; publish one with `vitrine index`"

    @property
    def serving_id(self) -> str | None:
        """Id of the release that serves, or None before the first one."""
        return self._serving.release.release_id if self._serving is not None else None

    def prepare_with(
        self,
        prepare: Callable[[LoadedRelease], Awaitable[object]],
        has_left: Callable[[str], None] | None = None,
    ) -> None:
        """Says what a release is asked between its probes and its first search, so that its cache is warm.

        Args:
            prepare: should be quick, since the switch waits for it; what goes wrong in it does not stop
                the switch.
            has_left: called with the id of a release that no search uses any more.
        """
        self._prepare = prepare
        self._has_left = has_left

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
        """Follows the store until cancelled, and then lets go of everything.

        A release that cannot be loaded leaves the old one serving.
        """
        try:
            await self._run()
        finally:
            await self.close()

    async def close(self) -> None:
        """Lets go of everything: of releases that are leaving without their grace, and of what serves."""
        self._closing.set()
        if self._retiring:
            _, late = await asyncio.wait(self._retiring, timeout=_LONGEST_GOODBYE_S)
            for task in late:
                task.cancel()
        if self._serving is not None and self.serving_id != self._active_id():
            await self._unload(self._serving.release, self._serving.held)
        elif self._serving is not None:
            self._serving.held.close()  # its engines stay: others serve it, or we will again

    async def _run(self) -> None:
        failed_id: str | None = None
        said = ""
        first_s = pause_s = min(self._poll_s, _LONGEST_PAUSE_S)
        while True:
            try:
                await self.follow()
                failed_id, said, pause_s = None, "", first_s
            except Exception as error:  # whatever a release is broken by, the one that serves goes on
                self._problem = str(error) if isinstance(error, VitrineError) else "it cannot be loaded"
                active_id = self._active_id()
                if active_id != failed_id:
                    failed_id, said, pause_s = active_id, "", first_s
                if str(error) != said:  # once; but Triton may come, and then the release itself be wrong
                    said = str(error)
                    log.error("the active release cannot serve", error=said, serving=self.serving_id)
            # Loading reads every file: a broken release is tried ever more seldom, another one at once.
            again_at = time.monotonic() + pause_s
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
            await asyncio.sleep(first_s if failed_id else self._poll_s)
            while failed_id and time.monotonic() < again_at and self._active_id() == failed_id:
                await asyncio.sleep(first_s)

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
        held = await asyncio.to_thread(self._store.hold, release_id)
        try:
            release = await self._loaded(release_id, held)
        except BaseException:
            held.close()
            raise
        old, self._serving = self._serving, _Serving(release, held)
        self._keeper.watch_with(lambda: check_probes(release), lambda tower: suspend(release, tower))
        self._metrics.release.clear()
        self._metrics.release.labels(release_id).set(1)
        log.info("release serves", release=release_id, products=release.manifest.index.count)
        if old is not None:
            task = asyncio.create_task(self._retire(old))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _loaded(self, release_id: str, held: Hold) -> LoadedRelease:
        release = await asyncio.to_thread(self._load, release_id)
        try:
            await self._keeper.add(_versions(release), lambda: check_probes(release))
            await self._prepared(release)
        except BaseException:
            await self._unload(release, held)
            raise
        return release

    async def _prepared(self, release: LoadedRelease) -> None:
        if self._prepare is None or self._serving is None:  # before the first release shoppers are waiting
            return
        try:
            await self._prepare(release)
        except Exception:
            log.exception("a release was not prepared", release=release.release_id)

    async def _retire(self, old: _Serving) -> None:
        await old.unused.wait()
        if self._has_left is not None and old.release.release_id != self.serving_id:
            self._has_left(old.release.release_id)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), self._grace_s)
        await old.release.encoder.close()
        await asyncio.to_thread(old.release.index.close)
        await self._unload(old.release, old.held)
        log.info("release left", release=old.release.release_id)

    async def _unload(self, release: LoadedRelease, held: Hold) -> None:
        """Unloads the engines of a release, unless another gateway uses it or shares them."""
        held.close()  # of two that leave at once, at least the second one finds nobody else
        users = await asyncio.to_thread(find_users, self._store, release.release_id)
        with users:
            versions = _versions(release)
            await self._keeper.remove(versions, users.needed if users.left else [versions])
            for abandoned in users.abandoned:  # by gateways that were killed
                await self._keeper.unload(abandoned, users.needed)


def _versions(release: LoadedRelease) -> Versions:
    return {part.model: part.version for part in release.manifest.towers.values()}
