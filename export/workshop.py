"""A folder in which engines are made and gated before anything is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from catalog.tokenizer import Tokenizer
from export.gate.engine import Feed, TorchEngine
from export.gate.numbers import Candidate, Shapes, check_numbers
from export.gate.retrieval import TowerPair, check_retrieval
from export.gate.samples import samples
from export.gate.shop import open_gate_shop
from export.gate.thresholds import GateSettings
from export.gate.weights import check_weights
from export.onnx_export import TowerGraph, export_onnx
from export.precision import convert
from export.precision.calibration import calibration_feeds
from export.profiles import optimisation_profiles, token_lengths
from export.repository import require_room, settled_profiles
from export.repository_plans import BuiltPlan
from export.runtimes import MadeEngine, open_runtime
from export.targets import Precision, Target, require_supported
from export.triton_config import MAX_BATCH_SIZE
from releases.export_record import MODEL_FILE, TOKENIZER_FILE, OptimisationProfile
from releases.manifest import GateReport
from releases.token_lengths import token_step
from towers.checkpoint import Checkpoint

_ORDINARY_TEXTS = 24
"""Beside the hostile ones, which have the extreme lengths."""


@dataclass(frozen=True)
class ExportJob:
    """What is exported, for what, and on what it is gated.

    Args:
        checkpoint: trained towers.
        repository: Triton's model repository.
        catalogue: folder whose products and queries the gate compares answers on.
        target: what will run the engines.
        precision: their numbers.
        traffic: how often each query is asked, for native engines' profiles; the catalogue's log if None.
        command: the command line, kept beside the models.
        timing_caches: folder for TensorRT's timing caches.
    """

    checkpoint: Checkpoint
    repository: Path
    catalogue: Path
    target: Target = "cpu"
    precision: Precision = "fp32"
    traffic: Mapping[str, int] | None = None
    command: str = ""
    timing_caches: Path = Path("var/timing-caches")


@dataclass(frozen=True)
class GatedTower:
    """One tower whose engine gives PyTorch's vectors."""

    graph: TowerGraph
    onnx_file: Path
    profiles: tuple[OptimisationProfile, ...]
    made: MadeEngine
    numbers: GateReport

    def plan(self, gates: tuple[GateReport, ...]) -> BuiltPlan | None:
        """Returns the engine's plan with its gates, where it has one."""
        built = self.made.built
        if built is None:
            return None
        return replace(built, manifest=built.manifest.model_copy(update={"gates": gates}))


class Workshop:
    """Makes and gates the engines of one job.

    Args:
        job: what is wanted.
        folder: for files on their way; the caller removes it.
        on_stage: told what happens now.
        tokenizer_file: what lies beside the engines; the checkpoint's own where it will be published.

    Raises:
        InvalidInput: the target does not run this precision, or there is nothing to gate on.
        Mismatch: the repository serves another target.
        NotFound: this machine lacks what the target needs.
    """

    def __init__(
        self,
        job: ExportJob,
        folder: Path,
        on_stage: Callable[[str], None],
        tokenizer_file: Path | None = None,
    ) -> None:
        require_supported(job.target, job.precision)
        recipe = job.checkpoint.recipe
        sizes = {"dim": recipe.dim, "views": recipe.image.views, "picture_size": recipe.image.size}
        require_room(job.repository, job.target, sizes)
        self._runtime = open_runtime(job.target, job.command, job.timing_caches)
        self._job, self._folder, self._on_stage = job, folder, on_stage
        on_stage("reading the catalogue for the gate")
        self._shop = open_gate_shop(job.catalogue, job.checkpoint.recipe)
        self._limits = GateSettings().of(job.precision, job.target)
        if tokenizer_file is None:
            tokenizer_file = folder / TOKENIZER_FILE
            tokenizer_file.write_bytes(job.checkpoint.towers.tokenizer.to_bytes())
        # The candidate's texts go through the file beside the engines, the reference's through the
        # tokenizer of the training.
        self.tokenizer = Tokenizer.from_file(tokenizer_file)

    def export(self, graph: TowerGraph) -> Path:
        """Returns the tower's ONNX file in the job's precision."""
        exported = self._folder / f"{graph.name}.fp32.onnx"
        converted = self._folder / f"{graph.name}-{MODEL_FILE}"
        self._on_stage(f"exporting {graph.name}")
        export_onnx(graph, exported)
        self._on_stage(f"converting {graph.name} to {self._job.precision}")
        convert(exported, self._job.precision, converted, self._calibration(graph))
        return converted

    def profiles(self, graph: TowerGraph) -> tuple[OptimisationProfile, ...]:
        """Returns the shapes that a native engine is tuned for; none on ``cpu``.

        A repository's first version settles them for those that follow: one config.pbtxt serves all.
        """
        if self._job.target == "cpu":
            return ()
        settled = settled_profiles(self._job.repository, graph.name)
        if settled:
            return settled
        traffic = self._job.traffic or self._shop.traffic or dict.fromkeys(self._queries(), 1)
        asked = traffic if graph.name == "query_tower" else dict.fromkeys(self._shop.texts, 1)
        most = graph.limits["max_tokens"]
        lengths = token_lengths(self.tokenizer, asked, most)
        return optimisation_profiles(lengths, most, MAX_BATCH_SIZE[graph.name], positions=most)

    def gate(
        self, graph: TowerGraph, onnx_file: Path, profiles: tuple[OptimisationProfile, ...]
    ) -> GatedTower:
        """Makes an engine of an ONNX file and compares its vectors with PyTorch's.

        Raises:
            GateFailed: it is not good enough.
        """
        job, most = self._job, graph.limits["max_tokens"]
        check_weights(graph.name, onnx_file)
        self._on_stage(f"making the engine of {graph.name}")
        made = self._runtime.make(graph, onnx_file, job.precision, profiles)
        self._on_stage(f"comparing {graph.name} with PyTorch")
        texts = self._texts(graph)[:_ORDINARY_TEXTS]
        batches = {2, 8, MAX_BATCH_SIZE[graph.name], *(profile.batch[1] for profile in profiles)}
        shapes = Shapes.of(most, token_step(job.target), tuple(sorted(batches - {1})))
        recipe = job.checkpoint.recipe
        rows = samples(self.tokenizer, recipe, most, texts)
        trained = samples(job.checkpoint.towers.tokenizer, recipe, most, texts)
        candidate = Candidate(made.engine, rows, shapes)
        numbers = check_numbers(graph, trained, candidate, recipe.image.views, self._limits)
        return GatedTower(graph, onnx_file, profiles, made, numbers)

    def compare_answers(self, query: GatedTower, product: GatedTower) -> GateReport:
        """Compares what is found with both engines to what PyTorch's towers find.

        Raises:
            GateFailed: too many answers change.
        """
        self._on_stage("comparing answers with PyTorch's")
        recipe = self._job.checkpoint.recipe
        lengths = (recipe.max_query_tokens, recipe.max_product_tokens)
        trained = self._job.checkpoint.towers.tokenizer
        reference = TowerPair(TorchEngine(query.graph), TorchEngine(product.graph), trained, *lengths)
        step = token_step(self._job.target)
        candidate = TowerPair(query.made.engine, product.made.engine, self.tokenizer, *lengths, step)
        return check_retrieval(reference, candidate, self._shop, self._limits)

    def _texts(self, graph: TowerGraph) -> list[str]:
        """Returns texts of the kind that the tower reads."""
        return self._queries() if graph.name == "query_tower" else self._shop.texts

    def _queries(self) -> list[str]:
        return [query.query for query in self._shop.queries]

    def _calibration(self, graph: TowerGraph) -> list[Feed]:
        if self._job.precision not in ("int8", "fp8"):
            return []
        # Queries of the click log, but none that the gate asks: those measure.
        asked = set(self._queries())
        queries = [query for query in self._shop.traffic if query not in asked]
        recipe = self._job.checkpoint.recipe
        return calibration_feeds(graph, self.tokenizer, recipe, self._shop.catalogue, queries)
