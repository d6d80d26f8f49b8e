"""Nobody listens to a network unguarded without having been told to."""

import pytest

from faults import InvalidInput
from retrieval_gateway.security.exposure import is_loopback, require_protection

OPEN = ["0.0.0.0", "::", "[::]", "10.0.0.7", "gateway.example", "", "169.254.0.1"]
NOTHING = {"keys": False, "client_certificates": False, "insecure": False}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_guard(host):
    assert is_loopback(host)
    require_protection(host, **NOTHING)


@pytest.mark.parametrize("host", OPEN)
def test_any_other_address_does(host):
    with pytest.raises(InvalidInput, match="everybody who reaches this address") as refused:
        require_protection(host, **NOTHING)
    assert (refused.value.field, refused.value.value) == ("VITRINE_HOST", host)
    for way_out in ("VITRINE_KEY_FILE", "VITRINE_TLS_CLIENT_CA", "127.0.0.1", "VITRINE_INSECURE=true"):
        assert way_out in refused.value.fix


@pytest.mark.parametrize("guard", NOTHING)
def test_each_guard_is_enough(guard):
    for host in OPEN:
        require_protection(host, **{**NOTHING, guard: True})
