"""How much is measured: everything on a GPU, next to nothing in a rehearsal on the CPU."""

from __future__ import annotations

from dataclasses import dataclass

from releases.export_record import OptimisationProfile


@dataclass(frozen=True)
class Scale:
    """The sizes of one run.

    Attributes:
        recipes: of which a pair of towers is measured.
        batches, lengths: the grid of shapes.
        rounds: turns of each contender at each shape.
        least_turn_s, most_turn_s: bounds of a turn; within them the time that is left decides.
        matrices: sides of the square products.
        copy_bytes: size of the copied buffer.
        vectors, dims: the collections that are searched.
        lists: inverted lists of an IVF index.
        queries: by which recall is measured; at least the largest of
        search_batches: queries a call.
    """

    recipes: tuple[str, ...]
    batches: tuple[int, ...]
    lengths: tuple[int, ...]
    rounds: int
    least_turn_s: float
    most_turn_s: float
    matrices: tuple[int, ...]
    copy_bytes: int
    vectors: int
    dims: tuple[int, ...]
    lists: int
    queries: int
    search_batches: tuple[int, ...]

    def profile(self, longest: int) -> OptimisationProfile:
        """Returns the engines' one optimisation profile: all of the grid, tuned for its middle.

        Args:
            longest: most tokens that the tower takes.
        """
        batches = self.batches
        lengths = [min(length, longest) for length in self.lengths]
        return OptimisationProfile(
            batch=(1, batches[len(batches) // 2], batches[-1]),
            length=(lengths[0], lengths[len(lengths) // 2], lengths[-1]),
        )


FULL = Scale(
    recipes=("sample", "catalogue"),
    batches=(1, 8, 32, 128, 256),
    lengths=(8, 16, 32, 64),
    rounds=5,
    least_turn_s=0.002,
    most_turn_s=0.05,
    matrices=(4096, 8192, 16384),
    copy_bytes=4 << 30,
    vectors=1_000_000,
    dims=(128, 384),
    lists=4096,
    queries=1024,
    search_batches=(1, 32, 1024),
)

TINY = Scale(
    recipes=("sample",),
    batches=(1, 4),
    lengths=(8, 16),
    rounds=2,
    least_turn_s=0.001,
    most_turn_s=0.002,
    matrices=(64,),
    copy_bytes=1 << 20,
    vectors=4000,
    dims=(16,),
    lists=16,
    queries=32,
    search_batches=(1, 32),
)

SCALES = {"full": FULL, "tiny": TINY}
