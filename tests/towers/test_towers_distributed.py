import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support import two_processes
from support.tiny_shop import write_tiny_shop

from faults import InvalidInput
from towers.checkpoint import load_checkpoint
from towers.training import distributed
from towers.training.world import World, open_world

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found; none of them is left running."""
    results = tmp_path_factory.mktemp("two")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "support.two_processes", str(results)]
    with contextlib.ExitStack() as stack:
        processes = []
        for rank in range(2):
            own = environment(**shared, RANK=str(rank))
            process = stack.enter_context(
                subprocess.Popen(command, env=own, stderr=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)  # before it is waited for
            processes.append(process)
        said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    return [torch.load(results / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def one() -> list[dict[str, Any]]:
    return [*two_processes.steps(), two_processes.picture_step()]


def largest_difference(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Between two steps' gradients, in shares of the largest entry of the first's."""
    pairs = list(zip(first["gradients"], second["gradients"], strict=True))
    assert [a is None for a, _ in pairs] == [b is None for _, b in pairs]
    given = [(a, b) for a, b in pairs if a is not None]
    largest = max(a.abs().max().item() for a, _ in given)
    return max((a - b).abs().max().item() for a, b in given) / largest


def test_two_processes_with_half_a_batch_each_take_the_step_of_one(
    one: list[dict[str, Any]], two: list[dict[str, Any]]
) -> None:
    assert [found["world"] for found in two] == [(0, 2, True), (1, 2, False)]
    for place, alone in enumerate(one):
        assert set(alone["terms"]) == ({"fused", "text", "image"} if place < 2 else {"image"})
        for found in two:
            together = found["steps"][place]
            assert together["terms"] == pytest.approx(alone["terms"], abs=1e-5)
            assert largest_difference(alone, together) < 1e-5
            for own, others in zip(together["gradients"], two[0]["steps"][place]["gradients"], strict=True):
                assert own is others is None or torch.equal(own, others)


def test_without_gathering_it_is_another_step(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    apart = two[0]["without"][0]
    assert apart["terms"]["fused"] < one[0]["terms"]["fused"] - 0.1  # half the negatives: an easier task
    assert largest_difference(one[0], apart) > 0.05


def small(two: list[dict[str, Any]], name: str) -> list[Any]:
    return [found["small"][name] for found in two]


def test_gathering_joins_unequal_parts_and_sums_what_all_losses_say(two: list[dict[str, Any]]) -> None:
    for joined in small(two, "joined"):
        assert joined.tolist() == [[1, 1], [2, 2], [2, 2]]
    # Rank r's loss is (r + 1) times the rows weighted 1, 2, 3: the sum over ranks is 3 times.
    assert [gradient.tolist() for gradient in small(two, "gradient")] == [[[3, 3]], [[6, 6], [9, 9]]]
    for flags in small(two, "flags"):
        assert flags.tolist() == [False, True]


def test_gradients_are_averaged_and_none_is_invented(two: list[dict[str, Any]]) -> None:
    for none, one_sided, both in small(two, "averaged"):
        assert none is None
        assert one_sided.tolist() == [2, 3]
        assert both.tolist() == [1.5, 3]


def test_statistics_are_averaged_weights_are_the_firsts_and_luck_is_ones_own(
    two: list[dict[str, Any]],
) -> None:
    assert [mean.tolist() for mean in small(two, "statistics")] == [[1, 1], [1, 1]]
    assert [weight.tolist() for weight in small(two, "unshared")] == [[1, 1], [2, 2]]
    first, second = small(two, "shared")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert first[1].tolist() == [1, 1]
    assert small(two, "told") == ["from 0", "from 0"]
    assert len(set(small(two, "luck"))) == 2


def test_progress_says_how_many_processes_kept_it(two: list[dict[str, Any]]) -> None:
    for machine in small(two, "machine"):
        assert machine.endswith("with 1 threads in each of 2 processes")


def test_processes_that_do_not_agree_all_say_so(two: list[dict[str, Any]]) -> None:
    for refused in small(two, "refused"):
        assert "recipe of process 1" in refused
        assert "expected 'of 0', found 'of 1'" in refused


def test_all_processes_end_with_the_same_towers_and_the_first_keeps_progress(
    two: list[dict[str, Any]],
) -> None:
    first, second = (found["trained"] for found in two)
    assert any(name.endswith("running_mean") for name in first["weights"][0])
    for name, value in first["weights"][0].items():
        assert torch.equal(value, second["weights"][0][name]), name
    assert first["losses"] == second["losses"]
    assert set(first["losses"][0]) == {"fused", "text", "image", "masked_patches", "masked_words"}
    assert first["kept"] == ["progress-0"]
    assert second["kept"] == []


def test_a_distributed_training_goes_on_to_the_same_bits(two: list[dict[str, Any]]) -> None:
    for rank, found in enumerate(two):
        whole, resumed = found["trained"]["weights"]
        for name, value in whole.items():
            assert torch.equal(value, resumed[name]), name
        assert found["trained"]["losses"][0] == found["trained"]["losses"][1]
        assert found["trained"]["said"] == ([] if rank else ["going on from step 2 of 4"])


def test_a_world_of_one_changes_nothing() -> None:
    with open_world("cpu", {}) as world:
        assert world == World(0, 1, torch.device("cpu"))
        assert world.first
        batch = two_processes.batches(two_processes.material()[1])[0]
        assert distributed.shard(batch) is batch
        assert distributed.gather(batch.target) is batch.target
        assert distributed.block(7) == slice(0, 7)
        state = torch.get_rng_state()
        distributed.own_luck(torch.device("cpu"), 1, 2)
        assert torch.equal(torch.get_rng_state(), state)
        weight = torch.nn.Parameter(torch.zeros(1))
        distributed.average_gradients([weight])
        assert weight.grad is None
        assert distributed.share("me") == "me"
        distributed.require_equal({"recipe": "any"})
    with open_world("cpu", {"RANK": "0", "WORLD_SIZE": "1"}) as world:
        assert world.size == 1
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"RANK": "0"}, "WORLD_SIZE: must be a number from 1 (got '')"),
        ({"WORLD_SIZE": "2"}, "RANK: must be a number from 0 and below WORLD_SIZE (2) (got '')"),
        (
            {"RANK": "2", "WORLD_SIZE": "2"},
            "RANK: must be a number from 0 and below WORLD_SIZE (2) (got '2')",
        ),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "(got '-1')"),
        ({"RANK": "0", "WORLD_SIZE": "two"}, "(got 'two')"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE"),
        (
            {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x"},
            "LOCAL_RANK: must be a number from 0 (got 'x')",
        ),
    ],
)
def test_an_environment_that_makes_no_sense_is_named(given: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidInput) as caught, open_world("cpu", given):
        pass
    assert named in str(caught.value)
    assert "torchrun" in caught.value.fix


def test_blocks_cover_the_batch_and_fewer_products_than_processes_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "_several", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_world_size", lambda: 3)
    batch = two_processes.batches(two_processes.material()[1])[1]
    parts = []
    for rank in range(3):
        monkeypatch.setattr(distributed.dist, "get_rank", lambda rank=rank: rank)
        part = distributed.shard(batch)
        parts.append(part)
        assert torch.equal(
            batch.product_rows[distributed.block(11)][part.target].sort().values,
            part.product_rows[part.target].sort().values,
        )
        assert part.known[torch.arange(len(part.target)), part.target].all()
    for name in ("query_ids", "query_rows", "product_rows", "pixels", "has_text"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(batch, name))
    assert sorted(len(part.product_rows) for part in parts) == [3, 4, 4]
    with pytest.raises(InvalidInput, match="2 products are fewer"):
        distributed.block(2)
    with pytest.raises(InvalidInput, match="in the order of their products"):
        distributed.shard(replace(batch, target=batch.target.flip(0)))


def test_a_batch_of_any_build_is_placed() -> None:
    batch = two_processes.batches(two_processes.material()[1])[0]
    elsewhere = distributed.placed((batch, [batch.target], None, "words"), torch.device("meta"))
    assert elsewhere[0].pixels.device.type == elsewhere[0].known.device.type == "meta"
    assert elsewhere[1][0] is batch.target  # no list is a batch
    assert elsewhere[2:] == (None, "words")


RECIPE = """
name = "tiny"
dim = 16
max_query_tokens = 12
max_product_tokens = 16
[text]
layers = 1
width = 32
heads = 2
vocabulary = 300
[image]
size = 16
channels = [8, 8]
[[stages]]
kind = "retrieval"
steps = 3
batch = 11
queries_each = 2
"""


def test_torchrun_starts_the_command_and_one_process_speaks_and_writes(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    write_tiny_shop(tmp_path / "shop")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = ["vitrine.main", "train", "--catalog", "shop", "--recipe", "tiny.toml", "--out", "towers"]
    ran = subprocess.run(
        [sys.executable, *torchrun, *command, "--device", "cpu"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("checkpoint in towers") == 1
    assert ran.stderr.count("step 3 of 3") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shop", "tiny.toml", "towers"]
    assert load_checkpoint(tmp_path / "towers").provenance.clicked_pairs == 24
