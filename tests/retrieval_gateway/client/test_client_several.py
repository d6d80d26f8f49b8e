"""Several gateways: calls are spread, and go where somebody answers."""

import socket
from collections import Counter

import pytest
from client_kinds import KINDS
from scripted_gateway import ScriptedGateway
from support.processes import eventually

from faults import InvalidInput, Unavailable
from retrieval_gateway.client import NO_RETRIES, SearchRequest, Tls

pytestmark = KINDS


@pytest.fixture
def two():
    with ScriptedGateway("a") as a, ScriptedGateway("b") as b:
        yield a, b


@pytest.fixture
def client(make, two):
    """Without retries: what it does not lose, it did not lose at all."""
    with make([one.address for one in two], retries=NO_RETRIES) as client:
        assert eventually(lambda: set(ask(client, 2)) == {"a", "b"}), "both are connected"
        yield client


def ask(client, times: int) -> Counter:
    return Counter(client.search("mug").release_id for _ in range(times))


def test_calls_are_spread_evenly(client):
    assert ask(client, 10) == {"a": 5, "b": 5}


def test_one_string_may_name_several(make, two):
    with make(",".join(one.address for one in two)) as client:
        assert eventually(lambda: set(ask(client, 2)) == {"a", "b"})


def test_a_gateway_that_says_it_will_stop_gets_no_more_calls_until_it_serves_again(two, client):
    two[0].say(serving=False)
    assert eventually(lambda: ask(client, 6) == {"b": 6})
    two[0].say(serving=True)
    assert eventually(lambda: ask(client, 6) == {"a": 3, "b": 3})


def test_where_none_is_ready_those_that_are_there_are_asked(two, client):
    """Triton may be away from all of them, and cached answers are answers."""
    for one in two:
        one.say(serving=False)
    assert eventually(lambda: len(ask(client, 6)) == 2)
    (answer,) = client.batch_search([SearchRequest(text="mug")])
    assert answer.reply.release_id in {"a", "b"}


def test_a_dead_gateway_is_left_out_and_found_again(two, make):
    a, _ = two
    with ScriptedGateway("c") as doomed:
        address = doomed.port
        client = make([a.address, doomed.address], retries=NO_RETRIES)
        assert eventually(lambda: set(ask(client, 2)) == {"a", "c"})
    with client:
        assert eventually(lambda: outcomes(client) == {"a"})
        assert ask(client, 6) == {"a": 6}
        with ScriptedGateway("again", port=address):
            assert eventually(lambda: outcomes(client) == {"a", "again"})


def outcomes(client) -> set[str]:
    """What four calls bring; the first ones may still meet the connection that breaks."""
    found = set()
    for _ in range(4):
        try:
            found.add(client.search("mug").release_id)
        except Unavailable:
            found.add("failed")
    return found


def test_a_batch_goes_over_several_gateways_as_well(client):
    answers = list(client.batch_search(SearchRequest(text=str(number)) for number in range(6)))
    assert sorted(one.place for one in answers) == list(range(6))
    assert len({one.reply.release_id for one in answers}) == 1, "one stream, one gateway"


def test_none_of_them_there(make):
    with (
        make(["127.0.0.1:1", "127.0.0.1:2"], retries=NO_RETRIES) as client,
        pytest.raises(Unavailable, match=r"no gateway answers.*got '127\.0\.0\.1:1,127\.0\.0\.1:2'"),
    ):
        client.search("mug")


def test_names_are_looked_up(make, two, monkeypatch):
    names = [f"localhost:{one.port}" for one in two]
    with make(names) as client:
        assert eventually(lambda: set(ask(client, 2)) == {"a", "b"})

    def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(Unavailable, match=r"address: a name has no address.*no\.where:1"):
        make(["no.where:1", "no.where:2"])


@pytest.mark.parametrize("address", [[], "", "gateway", "gateway:", "a:1,b"])
def test_what_is_no_address_is_refused(make, address):
    with pytest.raises(InvalidInput, match="host:port or dns:///name:port"):
        make(address)


def test_a_key_does_not_leave_the_machine_in_the_open(make):
    for safe in ("127.0.0.1:1", "localhost:1", "[::1]:1"):
        make(safe, api_key="secret").close()
    make("shop.test:1", api_key="secret", plain_key=True).close()
    make("shop.test:1", api_key="secret", tls=Tls()).close()
    with pytest.raises(InvalidInput, match=r"api_key: the key would travel in the open") as refused:
        make("shop.test:1", api_key="secret")
    assert "secret" not in str(refused.value)


def test_several_addresses_under_tls_need_the_name_in_the_certificates(make):
    with pytest.raises(InvalidInput, match=r"tls\.server_name"):
        make(["10.0.0.1:1", "10.0.0.2:1"], tls=Tls())
