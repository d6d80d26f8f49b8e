"""A checkpoint: a folder with trained towers and all that must travel with them.

    checkpoint.json     recipe, sizes, preprocessing hash, what it was trained on, the command
    towers.safetensors  the weights of both towers
    tokenizer.json      the tokenizer both towers read
    keywords.json       keywords of queries, where the query tower reads them
    curves.*            how the training went (``towers.training.curves_files``), where the caller adds it

It is written beside its final place and renamed, so a half-written one is never seen.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from catalog.keyword_table import KeywordTable
from catalog.preprocessing import preprocessing_hash
from catalog.tokenizer import Tokenizer
from faults import InvalidInput, Mismatch, NotFound, StorageFailed
from towers.build import Sizes, Towers, rebuild_towers, sizes_of
from towers.encoders.text_encoder import TextEncoderConfig
from towers.encoders.vision_transformer import VisionTransformerConfig
from towers.recipe import Recipe
from towers.tensor_files import tensor_bytes

FORMAT = 2


@dataclass(frozen=True)
class Provenance:
    """Where a checkpoint comes from."""

    command: str
    catalogue_fingerprint: str
    catalogue_source: str
    products: int
    clicked_pairs: int
    split: str = "all"
    losses: tuple[float, ...] = field(default=())
    """Mean loss of each tenth of the training."""


@dataclass(frozen=True)
class Checkpoint:
    """Trained towers with their recipe and provenance."""

    towers: Towers
    recipe: Recipe
    provenance: Provenance
    keywords: KeywordTable | None = None
    """What queries are enriched with before they are encoded."""


def check_place(folder: Path) -> None:
    """Refuses a folder that no checkpoint may be written to: better before a training than after it.

    Raises:
        InvalidInput: ``folder`` exists and is no checkpoint (it is left alone).
    """
    if folder.exists() and not (folder / "checkpoint.json").is_file():
        raise InvalidInput(
            "exists and is not a checkpoint",
            field="--out",
            value=str(folder),
            fix="Name a new folder, or one that holds a checkpoint to replace.",
        )


def save_checkpoint(
    checkpoint: Checkpoint, folder: Path, add: Callable[[Path], None] = lambda _folder: None
) -> None:
    """Writes ``checkpoint`` to ``folder``, replacing an older checkpoint there.

    Args:
        checkpoint: to write.
        folder: where it will stand.
        add: called with the folder that is being filled, to put more files there.

    Raises:
        InvalidInput: ``folder`` exists and is no checkpoint (it is left alone).
        StorageFailed: the disk refused; what was there before is untouched.
    """
    check_place(folder)
    staging: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        _write(checkpoint, staging)
        add(staging)
        _sync(staging)
        _swap(staging, folder)
    except OSError as error:
        raise StorageFailed(
            f"cannot write the checkpoint: {error.strerror}", field="--out", value=str(folder)
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def _write(checkpoint: Checkpoint, folder: Path) -> None:
    towers, recipe = checkpoint.towers, checkpoint.recipe
    weights = {f"query.{name}": value for name, value in towers.query.state_dict().items()}
    weights |= {f"product.{name}": value for name, value in towers.product.state_dict().items()}
    (folder / "towers.safetensors").write_bytes(tensor_bytes(weights))
    (folder / "tokenizer.json").write_bytes(towers.tokenizer.to_bytes())
    if checkpoint.keywords is not None:
        (folder / "keywords.json").write_bytes(checkpoint.keywords.to_json())
    description = {
        "format": FORMAT,
        "recipe": recipe.model_dump(mode="json"),
        "sizes": asdict(sizes_of(towers)),
        "tokenizer_sha256": towers.tokenizer.sha256,
        "preprocessing": preprocessing_hash(
            recipe.image.size, recipe.max_query_tokens, recipe.max_product_tokens, recipe.image.views
        ),
        "provenance": asdict(checkpoint.provenance),
    }
    (folder / "checkpoint.json").write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _swap(staging: Path, folder: Path) -> None:
    """Puts ``staging`` at ``folder``; an older checkpoint leaves only after the new one stands."""
    if folder.exists():
        retired = staging.with_name(f"{staging.name}-old")
        folder.rename(retired)
        try:
            staging.rename(folder)
        except OSError:
            retired.rename(folder)
            raise
        shutil.rmtree(retired, ignore_errors=True)
    else:
        staging.rename(folder)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Reads a checkpoint; the towers come back in evaluation mode.

    Raises:
        NotFound: there is no checkpoint at ``folder``.
        InvalidInput: it is damaged.
        Mismatch: it was made under other preprocessing rules, or its tokenizer is another one.
    """
    path = folder / "checkpoint.json"
    if not path.is_file():
        raise NotFound(
            "no checkpoint here", field="checkpoint", value=str(folder), fix="Make one with `vitrine train`."
        )
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        # First: in another format the other fields may mean something else.
        _require_equal("checkpoint format", description["format"], FORMAT)
        recipe = Recipe.model_validate(description["recipe"])
        tokenizer = Tokenizer.from_file(folder / "tokenizer.json")
        _check(description, recipe, tokenizer)
        sizes = _sizes(description["sizes"])
        towers = rebuild_towers(recipe, tokenizer, sizes)
        _fill(towers, load_file(folder / "towers.safetensors"))
        path = folder / "keywords.json"
        keywords = KeywordTable.from_json(path.read_bytes()) if recipe.reads_keywords else None
        origin = description["provenance"]
        provenance = Provenance(**{**origin, "losses": tuple(origin["losses"])})
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InvalidInput(
            f"damaged checkpoint: {error}", field="checkpoint", value=str(folder), fix="Train it again."
        ) from error
    towers.train(False)
    return Checkpoint(towers, recipe, provenance, keywords)


def _sizes(values: dict[str, Any]) -> Sizes:
    pictures = values["pictures"]
    return Sizes(
        TextEncoderConfig(**values["query"]),
        TextEncoderConfig(**values["product"]),
        None if pictures is None else VisionTransformerConfig(**pictures),
    )


def _fill(towers: Towers, weights: dict[str, Tensor]) -> None:
    for prefix, tower in (("query.", towers.query), ("product.", towers.product)):
        own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        tower.load_state_dict(own)


def _check(description: dict[str, object], recipe: Recipe, tokenizer: Tokenizer) -> None:
    for what, expected, found in (
        ("tokenizer sha256", description["tokenizer_sha256"], tokenizer.sha256),
        (
            "preprocessing hash",
            description["preprocessing"],
            preprocessing_hash(
                recipe.image.size, recipe.max_query_tokens, recipe.max_product_tokens, recipe.image.views
            ),
        ),
    ):
        _require_equal(what, expected, found)


def _require_equal(what: str, expected: object, found: object) -> None:
    if expected != found:
        fix = "Use the Vitrine that trained it, or train it again."
        raise Mismatch(what, expected=expected, found=found, fix=fix)
