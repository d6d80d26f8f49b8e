"""The examples of docs/client.md, run as they stand against scripted gateways."""

import pytest
from scripted_gateway import ScriptedGateway
from support.client_page import EXAMPLES, run_example

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb


def found() -> pb.SearchResponse:
    """An answer to whatever is asked."""
    return pb.SearchResponse(
        product_ids=["mug-red"],
        scores=[0.5],
        text_weights=[1.0],
        image_weights=[0.0],
        channels=[pb.CHANNEL_LEXICAL],
        columns=[pb.Column(field="title", texts=["Red mug"]), pb.Column(field="price", numbers=[9.5])],
        explanations=[pb.Explanation(lexical_rank=1)],
        facets=[pb.Facet(field="brand", values=["Luma"], counts=[3])],
        release_id="scripted",
    )


@pytest.mark.parametrize("heading", EXAMPLES)
def test_an_example_of_the_page_works(heading, tmp_path, monkeypatch):
    with ScriptedGateway() as first, ScriptedGateway() as second:
        if "search" in EXAMPLES[heading]:
            first.script.append(found())
        run_example(heading, [first.address, second.address], tmp_path, monkeypatch)


def test_the_page_has_examples_of_every_kind():
    assert len(EXAMPLES) >= 8
    text = "".join(EXAMPLES.values())
    for name in (
        "search_pages",
        "search_similar",
        "batch_search",
        "AsyncRetrievalClient",
        "Tls",
        "releases()",
    ):
        assert name in text
