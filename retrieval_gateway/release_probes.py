"""A release's golden inputs: by them it recognises its own engines, wherever Triton runs."""

from __future__ import annotations

import numpy as np

from faults import DeadlineExceeded, Mismatch, Unavailable, VitrineError
from releases.manifest import Probe
from retrieval_gateway.loaded_release import LoadedRelease

__all__ = ["check_probes", "suspend"]


async def check_probes(release: LoadedRelease) -> None:
    """Recomputes the release's golden inputs through Triton, and trusts each tower as far as they agree.

    This notices an engine that is not the release's on any target and any host: model
    files may be where the gateway cannot read them. A tower that is only late stays trusted: a
    busy one is late as well.

    Raises:
        Mismatch: Triton's vector is not the release's.
        Unavailable: Triton does not answer.
        DeadlineExceeded: it does not answer in time.
    """
    failures: dict[str, VitrineError] = {}
    for probe in release.manifest.probes:
        if probe.tower in failures:
            continue
        try:
            await _check(release, probe)
        except DeadlineExceeded:
            raise
        except VitrineError as error:
            failures[probe.tower] = error
            release.encoder.trust.doubt(probe.tower, error)
    for tower in release.manifest.towers.keys() - failures.keys():
        release.encoder.trust.restore(tower)
    if failures:
        raise next(iter(failures.values()))


def suspend(release: LoadedRelease, tower: str) -> None:
    """Lets nobody use a tower of the release until ``check_probes`` has passed: it is loaded anew."""
    loading = Unavailable("the tower is being loaded", field=tower, retry_after_s=1.0)
    release.encoder.trust.doubt(tower, loading)


async def _check(release: LoadedRelease, probe: Probe) -> None:
    found = await release.encoder.probe(probe)
    expected = np.asarray(probe.expected, dtype=np.float32)
    alike = found.shape == expected.shape
    cosine = float(found @ expected) if alike else 0.0
    if not cosine >= probe.minimum_cosine:
        part = release.manifest.towers[probe.tower]
        raise Mismatch(
            f"vector of the probe of {part.model} version {part.version}",
            expected=f"cosine of at least {probe.minimum_cosine} to release {release.release_id}",
            found=f"cosine {cosine:.6f}" if alike else f"{found.size} numbers",
            fix="Triton runs another engine under that version: put the release's model back into "
            "the model repository, or make a new release with `vitrine index`.",
        )
