"""Trains a pair of towers on a catalogue and a click log."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch

from catalog.catalogue import Catalogue
from catalog.keyword_table import KeywordTable
from catalog.photographs import DecodedPhotographs
from catalog.pictures import DecodedPictures
from catalog.schema import Click, CoClick
from faults import InvalidInput
from towers.build import Towers, build_towers
from towers.checkpoint import Checkpoint
from towers.data.derived_coclicks import coclicks_of
from towers.data.examples import make_examples
from towers.data.keywords import mine_keywords
from towers.data.material import Material
from towers.recipe import KeywordsRecipe, Recipe
from towers.stage_kinds.kinds import stages_of, steps_of
from towers.student import fingerprint, student_towers
from towers.training.curves import Curves, Point
from towers.training.distributed import require_equal, share, share_weights, synchronise
from towers.training.identity import digest, training_identity
from towers.training.loop import Step, run_stages
from towers.training.measuring import Keep, Measuring
from towers.training.resume import ProgressFolder
from towers.training.state import StageLosses
from towers.training.validation import Validation, choose_pairs, without
from towers.training.world import ALONE, World


@dataclass(frozen=True)
class Trained:
    """The result of a training, in evaluation mode."""

    towers: Towers
    clicked_pairs: int
    history: Mapping[str, StageLosses]
    """Every step's losses, by stage."""
    keywords: KeywordTable | None = None
    """What queries are enriched with, where the recipe asks for it."""
    metrics: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    """What was measured along the way, where that was asked for."""

    @property
    def curves(self) -> Curves:
        """The whole training in numbers, also where it was interrupted."""
        return Curves({stage: part.terms for stage, part in self.history.items()}, self.metrics)

    @property
    def losses(self) -> tuple[float, ...]:
        """Mean loss of each tenth of the last stage."""
        return tenths(list(self.history.values())[-1].total)


def train(
    recipe: Recipe,
    catalogue: Catalogue,
    clicks: Sequence[Click],
    pictures: DecodedPictures,
    on_step: Callable[[Step], None] = lambda _: None,
    progress: ProgressFolder | None = None,
    coclicks: Sequence[CoClick] | None = None,
    validation: Validation | None = None,
    photographs: DecodedPhotographs | None = None,
    teacher: Checkpoint | None = None,
    world: World = ALONE,
) -> Trained:
    """Trains towers; the same arguments on the same machine give the same towers.

    Of several processes all must call it with the same arguments; each gets the towers and all losses,
    and the first alone keeps progress and measures.

    Args:
        recipe: what to build and how to train it.
        catalogue: the products to learn from.
        clicks: the click log; it may name no other product.
        pictures: the catalogue's pictures at the recipe's size, row by row.
        on_step: called after every step.
        coclicks: the shop's log of same-style pairs, where it keeps one; a same_style stage derives it
            from the clicks where there is none.
        progress: where the training's state is kept, and taken up again. It is not removed at the
            end: the towers are not on disk yet.
        validation: what is measured along the way. Only pairs that are set aside change the towers.
        photographs: further pictures, at the recipe's size, for the stages that learn from them.
        teacher: whose query vectors a small tower is to give; ``recipe`` is then ``student_recipe``'s.
        world: who takes part, and where this process computes.

    Raises:
        CatalogueError: the click log does not belong to the catalogue.
        InvalidInput: the recipe has a distillation stage and there is no teacher, or the reverse.
        InternalError: the loss is no longer a finite number.
        Mismatch: the processes do not train the same.
    """
    check_teacher(recipe, teacher is not None)
    torch.manual_seed(recipe.seed)
    if teacher is None:
        keywords = None if recipe.keywords is None else _mined(recipe.keywords, catalogue, clicks)
        texts = [product.indexed_text() for product in catalogue.products]
        towers = build_towers(recipe, texts + [click.query for click in clicks])
    else:
        keywords, towers = teacher.keywords, student_towers(recipe, teacher)
    examples = make_examples(
        catalogue,
        clicks,
        pictures,
        towers.tokenizer,
        recipe.max_query_tokens,
        recipe.max_product_tokens,
        keywords,
        recipe.reads_keywords,
    )
    pairs = None if validation is None else choose_pairs(examples, validation, recipe.seed)
    learned = examples if pairs is None else without(examples, pairs)
    taught_by = None if teacher is None else teacher.towers
    if coclicks is None and any(stage.kind == "same_style" for stage in recipe.stages):
        coclicks = coclicks_of(clicks)
    stages = stages_of(recipe, towers, Material(catalogue, learned, coclicks, photographs, taught_by))
    require_equal(training_identity(recipe, clicks, examples, towers, stages, {}) if world.size > 1 else {})
    start = None
    if progress is not None and world.first:
        known = {**progress.known, "pairs set aside": str(examples.pairs - learned.pairs)}
        known["co-clicks"] = digest([asdict(pair) for pair in coclicks or ()])
        if photographs is not None:
            known["photographs"] = photographs.fingerprint()
        if teacher is not None:
            known["teacher"] = fingerprint(teacher)
        identity = training_identity(recipe, clicks, examples, towers, stages, known)
        start = progress.begin(identity)
        if start is not None:
            progress.say(f"going on from step {start.steps} of {sum(stage.steps for stage in stages)}")
    keep: Keep = progress.keep if progress is not None and world.first else lambda _: None
    start = share(start)
    _take_place(towers, world)
    measuring = None
    if validation is not None and pairs is not None and world.first:
        measuring = Measuring(towers, learned, pairs, validation, steps_of(recipe), start)
        keep = measuring.around(keep)
    losses = run_stages(stages, towers, on_step, keep, start)
    towers.train(False)
    for module in towers.modules():
        module.to("cpu")
    history = {stage.name: part for stage, part in zip(stages, losses, strict=True)}
    metrics = {} if measuring is None else measuring.points
    return Trained(towers, learned.pairs, history, keywords if recipe.reads_keywords else None, metrics)


def _take_place(towers: Towers, world: World) -> None:
    """Moves the towers to this process's device, with the first process's weights."""
    for module in towers.modules():
        module.to(world.device)
    synchronise(towers.modules())
    share_weights(towers.modules())


def check_teacher(recipe: Recipe, given: bool) -> None:
    """Refuses a teacher that no stage learns from, and a distillation stage without one.

    Raises:
        InvalidInput: see above.
    """
    kinds: set[str] = {stage.kind for stage in recipe.stages}
    if given == ("distillation" in kinds):
        return
    raise InvalidInput(
        f"no stage of the recipe {recipe.name} learns from a teacher"
        if given
        else f"the recipe {recipe.name} learns from a teacher, and there is none",
        field="--teacher",
        fix="Leave it out, or name a recipe with a distillation stage (distilled)."
        if given
        else "Name the checkpoint to learn from.",
    )


def _mined(keywords: KeywordsRecipe, catalogue: Catalogue, clicks: Sequence[Click]) -> KeywordTable:
    titles = {product.product_id: product.title for product in catalogue.products}
    return mine_keywords(clicks, titles, per_query=keywords.per_query)


def tenths(losses: Sequence[float]) -> tuple[float, ...]:
    """Mean loss of each tenth of a stage, for the checkpoint's provenance."""
    size = max(1, math.ceil(len(losses) / 10))
    parts = [losses[start : start + size] for start in range(0, len(losses), size)]
    return tuple(round(sum(part) / len(part), 4) for part in parts)
