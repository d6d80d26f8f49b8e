"""The whole local system for tests: a small shop, exported towers, releases, Triton, cache and gateways.

The towers are hand-made networks (``onnx_towers``), so nothing here needs torch: a title's own words find
its product because both towers average the same word vectors. Everything else is the product itself.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families
from support.repository import write_tower
from support.triton import triton_python

from catalog.catalogue import Catalogue
from catalog.preprocessing import preprocessing_hash
from catalog.readers import read_catalogue
from catalog.sample_shop import make_sample_shop
from catalog.tokenizer import Tokenizer, train_tokenizer
from releases.export_record import EXPORT_RECORD, MODEL_FILE, TOKENIZER_FILE, ExportRecord
from releases.manifest import Manifest
from releases.store import ReleaseStore
from releases.verify import hash_file
from retrieval_gateway.client import NO_RETRIES, RetrievalClient
from runtime.backoff import Backoff
from runtime.ports import free_port
from runtime.supervisor import Event, Supervisor
from runtime.triton_control import TritonControl
from vitrine.index import run_index
from vitrine.local import GatewayService, LocalSettings, triton_service, valkey_service, wait_until_ready

PICTURE_SIZE = 32
MAX_QUERY_TOKENS, MAX_PRODUCT_TOKENS = 8, 24
QUICK = {"VITRINE_RELEASE_POLL_S": "0.1", "VITRINE_RELEASE_GRACE_S": "0.3", "VITRINE_DRAIN_S": "3"}


def export_towers(repository: Path, tokenizer: Tokenizer, version: int, *, dim: int, seed: int) -> None:
    """Writes both towers of one version into a model repository, with the records that an export leaves."""
    for model in ("query_tower", "product_tower"):
        limit = MAX_QUERY_TOKENS if model == "query_tower" else MAX_PRODUCT_TOKENS
        folder = write_tower(
            repository,
            model,
            version,
            seed=seed,
            dim=dim,
            vocabulary_size=tokenizer.vocabulary_size,
            max_tokens=limit,
            picture_size=PICTURE_SIZE,
        )
        record = ExportRecord(
            model=model,
            version=version,
            sha256=hash_file(folder / MODEL_FILE).sha256,
            target="cpu",
            precision="fp32",
            runtime="onnxruntime",
            dim=dim,
            picture_size=PICTURE_SIZE,
            views=1,
            max_query_tokens=MAX_QUERY_TOKENS,
            max_product_tokens=MAX_PRODUCT_TOKENS,
            tokenizer_sha256=tokenizer.sha256,
            preprocessing_hash=preprocessing_hash(PICTURE_SIZE, MAX_QUERY_TOKENS, MAX_PRODUCT_TOKENS, 1),
            gates=(),
            provenance={},
            command="tests",
        )
        (folder / TOKENIZER_FILE).write_bytes(tokenizer.to_bytes())
        (folder / EXPORT_RECORD).write_text(record.model_dump_json(), encoding="utf-8")


class Stack:
    """Triton and the cache under a supervisor, and a store with two releases of different towers.

    Args:
        folder: everything lies here.

    Attributes:
        first, second: the releases; ``first`` is active after ``reset``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = LocalSettings(
            var=folder / "var",
            release_store=folder / "releases",
            model_repository=folder / "models",
            triton_python=triton_python(),
        ).on_free_ports()
        self.store = ReleaseStore(self.settings.release_store)
        self.triton = triton_service(self.settings)
        self.valkey = valkey_service(self.settings)
        self.events: list[Event] = []
        self.supervisor = Supervisor(
            [self.valkey, self.triton], self.events.append, Backoff(first_s=0.05), check_every_s=0.05
        )
        self.catalogue: Catalogue = read_catalogue(make_sample_shop(folder / "shop", 80, 0))
        texts = [product.indexed_text() for product in self.catalogue.products]
        self.tokenizer = train_tokenizer(texts, 600)

    def start(self) -> None:
        """Starts the servers and publishes the releases."""
        self.supervisor.start()
        self.control = TritonControl(self.triton.url, timeout_s=30.0)
        self.first = self.publish(1, dim=16, seed=1)
        self.second = self.publish(2, dim=24, seed=2)
        self.store.activate(self.first.release_id)

    def publish(self, version: int, *, dim: int, seed: int) -> Manifest:
        """Exports towers as a version and indexes the shop with them."""
        export_towers(self.settings.model_repository, self.tokenizer, version, dim=dim, seed=seed)
        return run_index(self.triton.url, self.settings, self.store, self.catalogue, False)

    def stop(self) -> None:
        """Stops everything that ``start`` started."""
        if hasattr(self, "control"):
            self.control.close()
        self.supervisor.stop()

    @contextlib.contextmanager
    def gateway(self, **environment: str) -> Iterator[Gateway]:
        """Runs a gateway as a process of its own, ready; ``VITRINE_*`` variables beside the stack's own."""
        with Gateway(self.settings, self.valkey.url, environment) as gateway:
            wait_until_ready(gateway.address, 30.0)
            yield gateway

    def serve(self, release_id: str) -> None:
        """Makes a release the active one; gateways follow."""
        self.store.activate(release_id, verify=False)

    def inferences(self, model: str = "query_tower") -> tuple[int, int]:
        """Triton's inferences and executions of a model since its versions were loaded."""
        counted = self.control.statistics(model)
        return counted.inference_count, counted.execution_count


class Gateway:
    """A gateway process on free ports, and a client of it; a context manager that stops it."""

    def __init__(self, settings: LocalSettings, redis_url: str, environment: dict[str, str]) -> None:
        self.settings = settings.model_copy(
            update={
                "var": settings.var.parent / f"gateway-{os.urandom(3).hex()}",
                "port": free_port(),
                "metrics_port": free_port(),
            }
        )
        self.address = self.settings.address
        self._environment = {**QUICK, **environment}
        self.service = GatewayService(self.settings, environment.get("VITRINE_REDIS_URL", redis_url))

    def __enter__(self) -> Gateway:
        with mock.patch.dict(os.environ, self._environment):
            self.service.start()
        self.client = RetrievalClient(self.address, timeout_s=10.0, retries=NO_RETRIES)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.service.stop(5.0)

    @property
    def exit_code(self) -> int | None:
        """Of the ended process."""
        return self.service._process.poll()

    def metric(self, name: str, **labels: str) -> float:
        """One value of the Prometheus page; 0 where it is not there yet."""
        with urlopen(f"http://{self.settings.host}:{self.settings.metrics_port}/metrics", timeout=5) as page:
            families = list(text_string_to_metric_families(page.read().decode()))
        samples = (sample for family in families for sample in family.samples)
        return sum(
            sample.value
            for sample in samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def log(self) -> list[dict[str, Any]]:
        """The lines that the gateway logged."""
        text = (self.settings.var / "logs" / "gateway.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
