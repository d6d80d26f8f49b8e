"""A release switch through the whole system: what was hot before it is a hit after it, from the first on."""

import pytest
from support.processes import eventually

from retrieval_gateway.api.generated import retrieval_service_pb2 as pb

pytestmark = [pytest.mark.services, pytest.mark.timeout(120)]

HOT = [f"plate number {number}" for number in range(12)]


def test_the_hottest_are_hits_from_the_first_request_after_a_switch(stack):
    with stack.gateway(VITRINE_PREWARM_S="10") as gateway:
        for _ in range(3):
            for text in HOT:
                gateway.client.search(text, k=5)
        try:
            stack.serve(stack.second.release_id)
            assert eventually(lambda: gateway.client.search("lamp").release_id == stack.second.release_id)
            replies = [gateway.client.search(text, k=5) for text in HOT]
        finally:
            stack.serve(stack.first.release_id)
    assert {reply.release_id for reply in replies} == {stack.second.release_id}
    assert [reply.cache_source for reply in replies] == [pb.CACHE_SOURCE_MEMORY] * len(HOT)
