"""One piece of work: an arm at one seed is trained, if it is not yet, and measured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import resources
from pathlib import Path

from benchmarks.experiments.arm_list import ARMS
from benchmarks.experiments.arms import Arm
from benchmarks.experiments.halves import train_on_halves
from benchmarks.experiments.measures.pairs import identified_patches
from benchmarks.experiments.measures.registry import AFTER_TRAINING, MEASURES
from benchmarks.experiments.measures.subject import Subject
from benchmarks.experiments.shop import Shops, open_shops
from benchmarks.experiments.store import Store, Training
from catalog.atomic import make_folder, write_atomically
from faults import InvalidInput, Mismatch, NotFound, VitrineError
from towers.checkpoint import Checkpoint, Provenance, save_checkpoint
from towers.training.loop import Step
from towers.training.resume import ProgressFolder
from towers.training.train import train

__all__ = ["Done", "Task", "perform"]

_KEPT_EVERY_S = 20.0


@dataclass(frozen=True)
class Task:
    """An arm at one seed, and what rows want to know of it."""

    arm: str
    seed: int
    measures: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """What became of a task.

    Attributes:
        task: which.
        wall_s: seconds it took.
        cpu_s: processor seconds.
        trained: it was trained now, not earlier.
        failures: by measure, why it could not be taken; under ``training`` why nothing could.
    """

    task: Task
    wall_s: float
    cpu_s: float
    trained: bool
    failures: dict[str, str] = field(default_factory=dict)


def perform(task: Task, store: Store, on_step: Callable[[int, int], None] = lambda *_: None) -> Done:
    """Trains and measures; what goes wrong is noted, and costs this arm alone."""
    began, cpu = time.monotonic(), time.process_time()
    arm = ARMS[task.arm]
    failures: dict[str, str] = {}
    trained = False
    try:
        shops = open_shops(store.shops, store.scale, task.seed, arm.data)
        checkpoint = _kept(arm, task.seed, store)
        if checkpoint is None:
            _train(arm, task.seed, shops, store, on_step)
            trained = True
            checkpoint = store.checkpoint(arm, task.seed)
        failures = _measure(arm, task, checkpoint, shops, store)
    except Exception as error:  # an arm that cannot be trained must not cost the others
        failures["training"] = reason(error)
    return Done(task, time.monotonic() - began, time.process_time() - cpu, trained, failures)


def reason(error: BaseException) -> str:
    """Says in one line what went wrong."""
    text = str(error) if isinstance(error, VitrineError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:300]


def _train(arm: Arm, seed: int, shops: Shops, store: Store, on_step: Callable[[int, int], None]) -> None:
    recipe = store.recipe(arm, seed)
    place = store.place(arm, seed)
    shop = shops.train
    began = time.process_time()
    earlier = _seconds_before(place.joinpath("seconds.json"))
    reported = began

    def step_done(step: Step) -> None:
        nonlocal reported
        now = time.process_time()
        if now - reported > _KEPT_EVERY_S:
            make_folder(place)
            text = json.dumps(earlier + now - began)
            write_atomically(place / "seconds.json", lambda stream: stream.write(text.encode()))
            reported = now
        on_step(step.number, step.of)

    progress = ProgressFolder(place / "progress", lambda _: None, every_s=_KEPT_EVERY_S)
    pictures = shop.pictures(recipe.image.size, recipe.image.views)
    if arm.devices == 1:
        coclicks = shop.coclicks or None
        result = train(recipe, shop.catalogue, shop.clicks, pictures, step_done, progress, coclicks)
    else:
        result = train_on_halves(recipe, shop.catalogue, shop.clicks, pictures)
    provenance = Provenance(
        command=f"make experiments (arm {arm.name}, seed {seed})",
        catalogue_fingerprint=shop.catalogue.fingerprint(),
        catalogue_source=store.scale.catalogue or "sample shop",
        products=len(shop.catalogue),
        clicked_pairs=result.clicked_pairs,
        losses=result.losses,
    )
    towers = result.towers
    patches = identified_patches(towers, shops.test, recipe.image.size, recipe.image.views)
    if patches is not None:
        store.write(arm, seed, AFTER_TRAINING, patches)
    save_checkpoint(Checkpoint(towers, recipe, provenance, result.keywords), place / "checkpoint")
    weights = {id(one): one.numel() for tower in (towers.query, towers.product) for one in tower.parameters()}
    cpu_s = earlier + time.process_time() - began
    store.write_training(arm, seed, Training(cpu_s, sum(weights.values()), result.losses, towers_code()))
    progress.remove()


def towers_code() -> str:
    """Hash of the towers' sources: results of two codes are told apart by it."""
    whole = sha256()
    for path in sorted(Path(str(resources.files("towers"))).rglob("*.py")):
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()[:12]


def _seconds_before(path: Path) -> float:
    """Processor seconds of the sittings before this one, as far as they were noted."""
    try:
        return float(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return 0.0


def _kept(arm: Arm, seed: int, store: Store) -> Checkpoint | None:
    """The arm's towers, if they are trained and today's code can still read them."""
    if store.training(arm, seed) is None:
        return None
    try:
        return store.checkpoint(arm, seed)
    except (InvalidInput, Mismatch, NotFound):
        return None


def _measure(arm: Arm, task: Task, checkpoint: Checkpoint, shops: Shops, store: Store) -> dict[str, str]:
    failures: dict[str, str] = {}
    wanted = [name for name in task.measures if name in MEASURES and not store.has(arm, task.seed, name)]
    if not wanted:
        return failures

    def sibling(name: str) -> Checkpoint:
        return store.checkpoint(ARMS[name], task.seed)

    subject = Subject(checkpoint, shops, store.scale, store.shops, sibling)
    for name in wanted:
        began = time.process_time()
        try:
            found = MEASURES[name](subject)
            store.write(arm, task.seed, name, found, time.process_time() - began)
        except Exception as error:  # a measure that fails must not cost the others
            failures[name] = reason(error)
    return failures
