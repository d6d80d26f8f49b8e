"""Keeps a stated number of releases, and of exported towers only what those need."""

from __future__ import annotations

from releases.export_record import remove_unused
from releases.store import ReleaseStore
from vitrine.local import LocalSettings


def retire(settings: LocalSettings, keep: int) -> list[str]:
    """Removes old releases and the engines that only they needed; returns what was removed, for people.

    Args:
        settings: where store and model repository lie.
        keep: how many of the newest releases stay, at least 1. The active one, the target of a
            rollback and those that a gateway serves always do.
    """
    store = ReleaseStore(settings.release_store)
    removed = store.retire(keep)
    kept = store.list()
    if any(info.problem for info in kept):  # which engines an unreadable release needs, nobody knows
        return removed
    used = {
        (part.model, part.version)
        for info in kept
        for part in store.manifest(info.release_id).towers.values()
    }
    engines = remove_unused(settings.model_repository, used)
    return [*removed, *(f"{model} version {version}" for model, version in engines)]
