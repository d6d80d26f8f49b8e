from collections import Counter
from pathlib import Path

import pytest
from support.fake_gateway import FakeGateway, Reply, reply_of

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb
from vitrine import demo
from vitrine.local import LocalSettings

TEXTS = [f"query {number}" for number in range(50)]


class Caching(FakeGateway):
    """Computes a query the first time and has it in memory afterwards."""

    def search(self, text: str = "", **options: object) -> Reply:
        with self._lock:
            seen = any(asked["text"] == text for asked in self.asked)
            self.asked.append({"text": text, **options})
        return reply_of([], cache_source=pb.CACHE_SOURCE_MEMORY if seen else pb.CACHE_SOURCE_COMPUTED)


def test_shoppers_ask_a_few_queries_often_and_the_replies_tell_the_hit_rate() -> None:
    gateway = Caching()
    rate = demo.shop(gateway, TEXTS)  # type: ignore[arg-type]
    asked = Counter(asked["text"] for asked in gateway.asked)
    total = sum(asked.values())
    assert set(asked) <= set(TEXTS)
    assert rate == pytest.approx(1 - len(asked) / total)
    assert asked.most_common(1)[0][1] > 5 * total / len(TEXTS)


def test_a_shop_that_was_left_half_made_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Path, int]] = []
    monkeypatch.setattr(
        demo, "sample_shop", lambda folder, products, seed: made.append((folder, products + seed))
    )
    settings = LocalSettings()
    folder = settings.var / "sample-shop-30"
    folder.mkdir(parents=True)
    assert demo._sample_shop(settings, 30) == folder
    assert made == [(folder, 30)]
    (folder / "products.parquet").write_bytes(b"written last")
    assert demo._sample_shop(settings, 30) == folder
    assert len(made) == 1


def test_the_searches_shown_survive_brackets_in_titles_and_queries(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = FakeGateway()
    title = pb.Column(field="title", texts=["mug [SMD] [/]"])
    gateway.reply = reply_of([("mug-red", 0.9)], columns=[title])
    demo._show(gateway, shop, ["a [/] mug", "b [red] mug", "c"])  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert out.count("mug [SMD] [/]") == 5
    assert "'a [/] mug'" in out
    assert "'b [red] mug'" in out
    assert gateway.asked[-2]["product_id"] == "mug-red"
    assert gateway.asked[-1]["picture"].startswith(b"\x89PNG")
