from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.readers import read_clicks, read_coclicks, read_judgements, read_queries
from catalog.schema import Click, CoClick, EvaluationQuery, Judgement, Product
from catalog.writers import write_catalogue
from faults import CatalogueError

PRODUCTS = [Product("a", "A"), Product("b", "B")]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    clicks = [Click("red mug", "a", 3, 9, "image"), Click("mug", "b", 0, 4)]
    coclicks = [CoClick("a", "b", 2)]
    queries = [EvaluationQuery("q1", 'a "quoted", query', "colour+category"), EvaluationQuery("q2", "x", "")]
    judgements = [Judgement("q1", "a", 2), Judgement("q1", "b", 0)]
    write_catalogue(tmp_path, PRODUCTS, [], clicks, coclicks, queries, judgements)
    assert read_clicks(tmp_path) == clicks
    assert read_coclicks(tmp_path) == coclicks
    assert read_queries(tmp_path / "queries.csv") == queries
    read = read_judgements(tmp_path / "qrels.csv", product_ids={"a", "b"}, query_ids={"q1", "q2"})
    assert read == judgements


def test_without_logs_there_is_none(tmp_path: Path) -> None:
    write_catalogue(tmp_path, PRODUCTS, [])
    assert read_clicks(tmp_path) is None
    assert read_coclicks(tmp_path) is None


def test_clicks_in_csv_without_impressions(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("product_id,title\na,A\n")
    (tmp_path / "clicks.csv").write_text("query,product_id,clicks\nred mug,a,3\n")
    assert read_clicks(tmp_path) == [Click("red mug", "a", 3, 3)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"query": ["m"], "product_id": ["a"]}, "missing columns clicks; found query, product_id"),
        (
            {"query": ["m"] * 3, "product_id": ["x", "y", "x"], "clicks": [1] * 3},
            r"product_id: 2 product ids are not in the catalogue \(in 3 rows\): 'x', 'y'",
        ),
        ({"query": ["m", " "], "product_id": ["a", "b"], "clicks": [1, 1]}, "1 rows have no query: 2"),
        ({"query": ["m"], "product_id": ["a"], "clicks": [-1]}, "clicks: 1 rows"),
        ({"query": ["m"], "product_id": ["a"], "clicks": [1.5]}, "whole number"),
        ({"query": ["m"], "product_id": ["a"], "clicks": ["many"]}, "whole number"),
        ({"query": ["m"], "product_id": ["a"], "clicks": [float("inf")]}, "whole number"),
        (
            {"query": ["m"], "product_id": ["a"], "clicks": [3], "impressions": [2]},
            "more clicks than impressions",
        ),
    ],
)
def test_wrong_clicks_are_refused(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    write_catalogue(tmp_path, PRODUCTS, [])
    pq.write_table(pa.table(columns), tmp_path / "clicks.parquet")
    with pytest.raises(CatalogueError, match=message):
        read_clicks(tmp_path)


def test_coclicks_on_either_side_must_be_known(tmp_path: Path) -> None:
    write_catalogue(tmp_path, PRODUCTS, [], coclicks=[CoClick("a", "z", 1)])
    with pytest.raises(CatalogueError, match=r"clicked_id.*'z'"):
        read_coclicks(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query_id,product_id,grade\nq1,a,3\n", "grades are above 2: 'q1/a'"),
        ("query_id,product_id,grade\nq1,a,good\n", "whole number"),
        ("query_id,product_id,grade\nq1,zz,1\n", "judged products are not there.*'zz'"),
        ("query_id,product_id,grade\nq9,a,1\n", "judged queries are not there.*'q9'"),
        ("query_id,product_id\nq1,a\n", "missing columns grade"),
        ("query_id,product_id,grade\n", "no rows"),
    ],
)
def test_wrong_judgements_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "qrels.csv"
    path.write_text(text)
    with pytest.raises(CatalogueError, match=message):
        read_judgements(path, product_ids={"a"}, query_ids={"q1"})


def test_wrong_queries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "queries.csv"
    with pytest.raises(CatalogueError, match="no such file"):
        read_queries(path)
    path.write_text("query_id,query\nq1,a\nq1,b\n")
    with pytest.raises(CatalogueError, match="1 query ids repeat: 'q1'"):
        read_queries(path)
