"""Encrypted connections, with certificates made here."""

import grpc
import pytest
from client_kinds import KINDS
from scripted_gateway import ScriptedGateway
from support.certificates import CLIENT, Authority

from faults import Unavailable
from retrieval_gateway.client import NO_RETRIES, Tls

pytestmark = KINDS


@pytest.fixture(scope="module")
def authority():
    return Authority.make()


def server_credentials(authority: Authority, **options: object) -> grpc.ServerCredentials:
    pair = authority.sign("gateway")
    return grpc.ssl_server_credentials([(pair.key_pem, pair.certificate_pem)], **options)


@pytest.fixture
def gateway(authority):
    with ScriptedGateway(credentials=server_credentials(authority)) as gateway:
        yield gateway


def release_of(make, *arguments, **options) -> str:
    with make(*arguments, retries=NO_RETRIES, **options) as client:
        return client.search("mug").release_id


def test_a_gateway_whose_authority_is_trusted_is_believed(make, authority, gateway):
    assert release_of(make, gateway.address, tls=Tls(authority.certificate_pem)) == "scripted"


def test_another_authoritys_gateway_is_not(make, gateway):
    with pytest.raises(Unavailable):
        release_of(make, gateway.address, tls=Tls(Authority.make().certificate_pem))


def test_nor_is_one_without_certificate(make, authority):
    with ScriptedGateway() as plain, pytest.raises(Unavailable):
        release_of(make, plain.address, tls=Tls(authority.certificate_pem))


def test_the_certificates_name_is_what_counts(make, authority, gateway):
    named = Tls(authority.certificate_pem, server_name="localhost")
    assert release_of(make, gateway.address, tls=named) == "scripted"
    with pytest.raises(Unavailable):
        release_of(make, gateway.address, tls=Tls(authority.certificate_pem, server_name="other.test"))
    with ScriptedGateway(credentials=server_credentials(authority)) as second:
        assert release_of(make, [gateway.address, second.address], tls=named, api_key="k") == "scripted"


def test_a_gateway_may_want_to_know_who_we_are(make, authority):
    mutual = server_credentials(
        authority, root_certificates=authority.certificate_pem, require_client_auth=True
    )
    ours, strangers = authority.sign("shop", use=CLIENT), Authority.make().sign("stranger", use=CLIENT)
    root = authority.certificate_pem
    with ScriptedGateway(credentials=mutual) as gateway:
        known = Tls(root, private_key=ours.key_pem, certificate_chain=ours.certificate_pem)
        assert release_of(make, gateway.address, tls=known) == "scripted"
        unknown = Tls(root, private_key=strangers.key_pem, certificate_chain=strangers.certificate_pem)
        for others in (Tls(root), unknown):
            with pytest.raises(Unavailable):
                release_of(make, gateway.address, tls=others)
