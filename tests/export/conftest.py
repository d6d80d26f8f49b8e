"""One real export for the whole session (each of torch's takes seconds), a shop on disk, and a job."""

from pathlib import Path

import pytest
from support.tiny_shop import tiny_checkpoint, write_tiny_shop

from export.onnx_export import TowerGraph, export_onnx, tower_graphs
from export.workshop import ExportJob
from towers.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return tiny_checkpoint()


@pytest.fixture(scope="session")
def query_graph(checkpoint: Checkpoint) -> TowerGraph:
    return tower_graphs(checkpoint)[0]


@pytest.fixture(scope="session")
def product_graph(checkpoint: Checkpoint) -> TowerGraph:
    return tower_graphs(checkpoint)[1]


@pytest.fixture(scope="session")
def exported(
    query_graph: TowerGraph, product_graph: TowerGraph, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The ONNX file of each tower by its name; do not write to them."""
    folder = tmp_path_factory.mktemp("exported")
    files = {graph.name: folder / f"{graph.name}.onnx" for graph in (query_graph, product_graph)}
    for graph in (query_graph, product_graph):
        export_onnx(graph, files[graph.name])
    return files


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny shop on disk; do not write to it."""
    return write_tiny_shop(tmp_path_factory.mktemp("catalogue") / "shop")


@pytest.fixture
def job(tmp_path: Path, checkpoint: Checkpoint, shop: Path) -> ExportJob:
    """An export in fp32 for ``cpu`` into an empty repository."""
    return ExportJob(checkpoint, tmp_path / "repository", shop, command="vitrine export x")
