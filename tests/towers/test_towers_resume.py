import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from support.tiny_shop import tiny_catalogue, tiny_clicks, tiny_pictures, tiny_recipe
from torch import Tensor

from catalog import atomic
from catalog.schema import Click
from faults import InternalError
from towers.build import Towers
from towers.data.examples import Examples
from towers.data.material import Material
from towers.recipe import Recipe
from towers.stage_kinds.retrieval import retrieval_stage
from towers.stage_recipes import RetrievalStageRecipe
from towers.training import train as training_module
from towers.training.loop import ParameterGroup, Stage, Step
from towers.training.resume import ProgressFolder
from towers.training.train import Trained, tenths, train

CATALOGUE = tiny_catalogue()
CLICKS = tiny_clicks(CATALOGUE)
RECIPE = tiny_recipe(retrieval={"steps": 6, "modality_dropout": 0.3})


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads wait for each other at towers this small; the more so where others use the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Stopped(Exception):
    pass


class Shop:
    """Trains on the tiny shop with its progress in a folder, and hears what is said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".towers.progress"
        self.file = self.folder / "progress.safetensors"
        self.said: list[str] = []
        self.steps: list[int] = []

    def train(
        self,
        recipe: Recipe = RECIPE,
        clicks: list[Click] = CLICKS,
        stop_after: int = 0,
        every: int = 1,
        fresh: bool = False,
        known: dict[str, str] | None = None,
    ) -> Trained:
        self.said.clear()
        self.steps.clear()

        def on_step(step: Step) -> None:
            self.steps.append(step.number)
            if step.number == stop_after:
                raise Stopped

        progress = ProgressFolder(self.folder, self.said.append, known, every_steps=every, fresh=fresh)
        return train(recipe, CATALOGUE, clicks, tiny_pictures(CATALOGUE), on_step, progress)

    def stopped(self, after: int, **changes: object) -> None:
        with pytest.raises(Stopped):
            self.train(stop_after=after, **changes)  # type: ignore[arg-type]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def uninterrupted(recipe: Recipe = RECIPE) -> Trained:
    return train(recipe, CATALOGUE, CLICKS, tiny_pictures(CATALOGUE))


@pytest.fixture(scope="module")
def whole() -> Trained:
    return uninterrupted()


def weights(towers: Towers) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name, tower in (("query", towers.query), ("product", towers.product))
        for key, value in tower.state_dict().items()
    }


def same(one: Trained, two: Trained) -> bool:
    first, second = weights(one.towers), weights(two.towers)
    equal = first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    return equal and one.history == two.history


@pytest.mark.parametrize("after", [1, 3, 6])
@pytest.mark.parametrize("every", [1, 2])
def test_a_training_that_stopped_goes_on_to_the_same_bits(
    shop: Shop, whole: Trained, after: int, every: int
) -> None:
    shop.stopped(after, every=every)
    assert shop.steps == list(range(1, after + 1))
    result = shop.train(every=every)
    kept = after - after % every
    assert shop.steps == list(range(kept + 1, 7))
    assert shop.said == ([f"going on from step {kept} of 6"] if kept else [])
    assert same(result, whole)


def test_a_training_may_stop_again_and_again(shop: Shop, whole: Trained) -> None:
    for after in (1, 2, 4, 5):
        shop.stopped(after)
    assert same(shop.train(), whole)
    assert shop.steps == [6]


def test_keeping_progress_changes_nothing(shop: Shop, whole: Trained) -> None:
    assert same(shop.train(), whole)


OTHERS: dict[str, tuple[dict[str, object], str]] = {
    "steps": ({"recipe": tiny_recipe(retrieval={"steps": 7, "modality_dropout": 0.3})}, "stages.0.steps: 6"),
    "clicks": ({"clicks": [replace(CLICKS[0], clicks=2), *CLICKS[1:]]}, "clicks: "),
    "order of the log": ({"clicks": CLICKS[::-1]}, "clicks: "),
    "split": ({"known": {"split": "all"}}, "split: nothing then, all now"),
}


@pytest.mark.parametrize(("changes", "named"), OTHERS.values(), ids=OTHERS.keys())
def test_progress_of_another_training_is_named_and_not_used(
    shop: Shop, changes: dict[str, object], named: str
) -> None:
    shop.stopped(3)
    shop.stopped(1, **changes)
    assert shop.steps == [1]
    assert len(shop.said) == 1
    assert named in shop.said[0]
    assert "begins anew" in shop.said[0]


def test_other_pictures_order_weights_versions_and_code_are_other_trainings(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = ProgressFolder(shop.folder, shop.said.append, every_steps=1)

    def begun(name: str) -> str:
        shop.said.clear()
        pictures = tiny_pictures(CATALOGUE)
        if name == "pictures":
            pictures.pixels[0, 0, 0, 0, 0] ^= 1

        def stop(_: Step) -> None:
            raise Stopped

        with pytest.raises(Stopped):
            train(RECIPE, CATALOGUE, CLICKS, pictures, stop, progress)
        return " ".join(shop.said)

    assert begun("nothing") == ""
    assert "going on from step 1" in begun("nothing")
    assert "(pictures: " in begun("pictures")
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    assert "torch: " in begun("nothing")
    monkeypatch.setattr("towers.training.identity._code", lambda: "other sources")
    assert "towers package: " in begun("nothing")
    build = training_module.build_towers

    def moved(recipe: Recipe, texts: list[str]) -> Towers:
        towers = build(recipe, texts)
        with torch.no_grad():
            next(towers.query.parameters()).add_(1.0)
        return towers

    monkeypatch.setattr(training_module, "build_towers", moved)
    assert "(first weights: " in begun("nothing")


def test_another_machine_goes_on_and_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.stopped(3)
    monkeypatch.setattr("towers.training.resume.machine", lambda: "an abacus")
    shop.train()
    assert shop.steps == [4, 5, 6]
    assert "goes on with an abacus" in shop.said[0]


def test_fresh_begins_anew_without_a_word(shop: Shop, whole: Trained) -> None:
    shop.stopped(3)
    result = shop.train(fresh=True)
    assert (shop.steps, shop.said) == ([1, 2, 3, 4, 5, 6], [])
    assert same(result, whole)


def flip(data: bytes) -> bytes:
    place = len(data) * 3 // 4
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def without_identity(data: bytes) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    del header["__metadata__"]["header"]
    text = json.dumps(header).encode().ljust(size)
    return data[:8] + text + data[8 + size :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "empty": lambda _: b"",
    "garbage": lambda _: b"\xff" * 300,
    "one bit flipped": flip,
    "no identity": without_identity,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_progress_is_said_and_not_used(
    shop: Shop, whole: Trained, damage: Callable[[bytes], bytes]
) -> None:
    shop.stopped(3)
    shop.file.write_bytes(damage(shop.file.read_bytes()))
    result = shop.train()
    assert shop.steps == [1, 2, 3, 4, 5, 6]
    assert len(shop.said) == 1
    assert "damaged" in shop.said[0]
    assert "begins anew" in shop.said[0]
    assert same(result, whole)


def test_a_full_disk_is_said_once_and_training_goes_on(
    shop: Shop, whole: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.stopped(2)
    kept = shop.file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        result = shop.train()
    assert same(result, whole)
    assert shop.said[0] == "going on from step 2 of 6"
    assert len(shop.said) == 2
    assert "No space left" in shop.said[1]
    assert shop.file.read_bytes() == kept
    assert list(shop.folder.iterdir()) == [shop.file]


def test_progress_where_no_folder_can_be_made_is_said_once(shop: Shop, whole: Trained) -> None:
    shop.folder.write_text("a file")
    assert same(shop.train(), whole)
    assert len(shop.said) == 1


def test_what_a_killed_writer_left_is_cleared_and_removing_leaves_nothing(shop: Shop) -> None:
    shop.stopped(1)
    (shop.folder / ".progress.safetensors.abc123").write_bytes(b"half")
    shop.stopped(2)
    assert list(shop.folder.iterdir()) == [shop.file]
    (shop.folder / ".progress.safetensors.abc123").write_bytes(b"half")
    ProgressFolder(shop.folder, print).remove()
    assert not shop.folder.exists()
    ProgressFolder(shop.folder, print).remove()


def test_states_are_kept_by_the_clock_and_seldom_where_writing_is_slow(shop: Shop) -> None:
    shop.stopped(1)
    state = ProgressFolder(shop.folder, print).begin(identity_of(shop.file))
    assert state is not None
    now, writing, times = [0.0], [0.25], list[float]()
    progress = ProgressFolder(shop.folder, print, every_s=30.0, clock=lambda: now[0])
    progress.begin({})

    def capture() -> object:
        times.append(now[0])
        now[0] += writing[0]
        return state

    def until(end: float) -> list[float]:
        times.clear()
        while now[0] < end:
            now[0] += 1.0
            progress.keep(capture)  # type: ignore[arg-type]
        return [round(time) for time in times]

    assert until(100.0) == [30, 60, 90]
    writing[0] = 5.0
    slow = until(3000.0)
    assert min(after - before for before, after in pairwise(slow)) >= 250
    assert len(slow) >= 4


def identity_of(file: Path) -> dict[str, str]:
    data = file.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    identity: dict[str, str] = json.loads(header["__metadata__"]["header"])["identity"]
    return identity


def second_stage(towers: Towers, examples: Examples, steps: int = 4, batches: int = 100) -> Stage[Tensor]:
    """A second stage as one would write it: pictures learn to lie where frozen text lies."""
    encoder = towers.product.image_encoder

    def draw(skip: int) -> Iterator[Tensor]:
        random = np.random.default_rng(5)
        for number in range(batches):
            rows = random.choice(len(examples.pictures.pixels), 6, replace=False)
            if number >= skip:
                yield torch.from_numpy(examples.pictures.pixels[rows])

    def loss(towers: Towers, pixels: Tensor) -> dict[str, Tensor]:
        images = towers.product.project_image(encoder(pixels, torch.ones(len(pixels), 1, dtype=torch.bool)))
        asked = torch.tensor(towers.tokenizer.encode(["red mug"], 12))
        wanted = towers.query(asked, torch.ones_like(asked))  # fixed: no gradient reaches it
        noise = 0.01 * torch.rand_like(images)
        return {"distance": ((images + noise - wanted) ** 2).mean()}

    group = ParameterGroup(tuple(encoder.parameters()), 1e-2)
    return Stage("pictures", steps, (group,), draw, loss)


@pytest.fixture
def two_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    def stages(recipe: Recipe, towers: Towers, material: Material) -> tuple[Stage[object], ...]:
        (retrieval,) = recipe.stages
        assert isinstance(retrieval, RetrievalStageRecipe)
        first = retrieval_stage(retrieval, recipe, towers, material)
        return (first, second_stage(towers, material.examples))  # type: ignore[return-value]

    monkeypatch.setattr(training_module, "stages_of", stages)


@pytest.mark.usefixtures("two_stages")
@pytest.mark.parametrize("after", [5, 6, 7, 10])
def test_two_stages_go_on_from_either(shop: Shop, after: int) -> None:
    all_at_once = uninterrupted()
    assert set(all_at_once.history) == {"retrieval", "pictures"}
    assert all_at_once.losses == tenths(all_at_once.history["pictures"].total)
    shop.stopped(after)
    assert same(shop.train(), all_at_once)
    assert shop.steps == list(range(after + 1, 11))
    assert shop.said == [f"going on from step {after} of 10"]


@pytest.mark.usefixtures("two_stages")
def test_a_stage_moves_its_own_weights_alone(whole: Trained) -> None:
    before, both = weights(whole.towers), uninterrupted().towers
    after = weights(both)
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert moved == {name for name in after if name.startswith("product.image_encoder.")}
    assert all(parameter.requires_grad for parameter in both.query.parameters())
    losses = uninterrupted().history["pictures"].total
    assert losses[-1] < losses[0]


def test_sums_do_not_depend_on_which_thread_comes_first_while_it_trains() -> None:
    strict: list[bool] = []

    def on_step(_: Step) -> None:
        strict.append(torch.are_deterministic_algorithms_enabled())

    train(RECIPE, CATALOGUE, CLICKS, tiny_pictures(CATALOGUE), on_step)
    assert strict == [True] * 6
    assert not torch.are_deterministic_algorithms_enabled()


def only(monkeypatch: pytest.MonkeyPatch, make: Callable[[Towers, Examples], Stage[Tensor]]) -> None:
    monkeypatch.setattr(
        training_module, "stages_of", lambda _, towers, material: (make(towers, material.examples),)
    )


def test_a_stage_whose_batches_end_early_is_our_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, lambda towers, examples: second_stage(towers, examples, batches=3))
    with pytest.raises(InternalError, match="pictures stage end after 3 of 4"):
        uninterrupted()


def test_a_stage_may_train_no_weight_that_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    stray = ParameterGroup((torch.nn.Parameter(torch.zeros(3)),), 1.0)
    only(monkeypatch, lambda towers, examples: replace(second_stage(towers, examples), groups=(stray,)))
    with pytest.raises(InternalError, match="in no tower"):
        uninterrupted()
