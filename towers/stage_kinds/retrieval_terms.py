"""What a retrieval stage may add to its softmax: further tasks and a memory, by its recipe's fields."""

from __future__ import annotations

from torch import Tensor

from faults import InvalidInput
from towers.build import Towers
from towers.data.examples import Examples
from towers.objectives import masked_patches, masked_words, matching, memory_bank
from towers.objectives.memory_bank import MemoryBank, known_in_bank
from towers.objectives.term import Forward, Term
from towers.recipe import Recipe
from towers.stage_recipes import RetrievalStageRecipe

WeightedTerm = tuple[float, Term]


def terms_of(stage: RetrievalStageRecipe, recipe: Recipe, towers: Towers) -> tuple[WeightedTerm, ...]:
    """Returns the stage's further tasks with their weights; what they need goes into ``towers.heads``."""
    terms: list[WeightedTerm] = []
    if stage.masked_words:
        masked_words.add_heads(towers, recipe)
        terms.append((stage.masked_words, masked_words.MaskedWords(towers.tokenizer)))
    if stage.matching:
        matching.add_heads(towers, recipe)
        terms.append((stage.matching, matching.Matching()))
    if stage.masked_patches is not None:
        masked_patches.add_heads(towers)
        patches = masked_patches.MaskedPatches(stage.masked_patches.kind)
        terms.append((stage.masked_patches.weight, patches))
    return tuple(terms)


class Memory:
    """The products of earlier steps, as further columns of the fused softmax.

    Args:
        bank: one of the towers' heads.
        examples: they know which products were clicked for a query.
    """

    def __init__(self, bank: MemoryBank, examples: Examples) -> None:
        self._bank, self._examples = bank, examples

    def negatives(self, forward: Forward) -> Tensor:
        """Returns float32[Q,size] cosines, -inf where there is no negative, and ends the bank's step."""
        asked = forward.batch.query_rows.tolist()
        known = known_in_bank(self._examples.clicked, asked, self._bank.rows)
        cosines = self._bank.negatives(forward.queries, known)
        self._bank.store(forward.products.fused, forward.batch.product_rows)
        return cosines


def memory_of(
    stage: RetrievalStageRecipe, recipe: Recipe, towers: Towers, examples: Examples
) -> Memory | None:
    """Returns the stage's memory, where it has one; stages of one training share it.

    Raises:
        InvalidInput: an earlier stage's memory is of another size.
    """
    if stage.memory is None:
        return None
    wanted = MemoryBank(stage.memory.size, recipe.dim, stage.memory.warmup_steps, stage.memory.delay)
    bank = towers.heads[memory_bank.HEAD] if memory_bank.HEAD in towers.heads else wanted  # noqa: SIM401
    assert isinstance(bank, MemoryBank)
    if len(bank.rows) != len(wanted.rows):
        raise InvalidInput(
            "an earlier stage has a memory of another size",
            field="recipe.stages.memory.size",
            value=len(wanted.rows),
            fix=f"Use {len(bank.rows)} in both.",
        )
    towers.heads[memory_bank.HEAD] = bank
    return Memory(bank, examples)
