"""A certificate that would fail later is refused at once, with the setting at fault."""

from datetime import UTC, datetime

import pytest
from support.certificates import CLIENT, Authority

from faults import InvalidInput
from retrieval_gateway.security.certificates import TlsFiles, read_identity

AUTHORITY = Authority.make()
GOOD, OTHER = AUTHORITY.sign("good"), AUTHORITY.sign("other")
OLD, NOT_YET = AUTHORITY.sign("old", days=(-30, -1)), AUTHORITY.sign("new", days=(1, 30))
OF_A_CLIENT = AUTHORITY.sign("client", use=CLIENT)
CERTIFICATE, KEY, CLIENT_CA = "VITRINE_TLS_CERTIFICATE", "VITRINE_TLS_KEY", "VITRINE_TLS_CLIENT_CA"


@pytest.fixture
def files(tmp_path):
    def written(certificate: bytes, key: bytes, client_ca: bytes | None = None) -> TlsFiles:
        paths = [tmp_path / name for name in ("server.crt", "server.key", "clients.crt")]
        for path, content in zip(paths, (certificate, key, client_ca or b""), strict=True):
            path.write_bytes(content)
        return TlsFiles(paths[0], paths[1], paths[2] if client_ca is not None else None)

    return written


def test_a_good_pair_is_read_with_its_chain_and_its_end(files):
    chain = GOOD.certificate_pem + AUTHORITY.certificate_pem
    identity = read_identity(files(chain, GOOD.key_pem, AUTHORITY.certificate_pem))
    assert (identity.certificate, identity.key) == (chain, GOOD.key_pem)
    assert identity.client_ca == AUTHORITY.certificate_pem
    assert datetime.fromtimestamp(identity.expires_at, UTC) == GOOD.certificate.not_valid_after_utc


def test_one_that_signed_itself_is_good_enough(files):
    assert read_identity(files(AUTHORITY.certificate_pem, AUTHORITY.key_pem)).client_ca is None


BAD = {
    "key of another": ((GOOD.certificate_pem, OTHER.key_pem), KEY, "is not the key of"),
    "expired": ((OLD.certificate_pem, OLD.key_pem), CERTIFICATE, "has expired"),
    "not valid yet": ((NOT_YET.certificate_pem, NOT_YET.key_pem), CERTIFICATE, "is not valid yet"),
    "for clients only": (
        (OF_A_CLIENT.certificate_pem, OF_A_CLIENT.key_pem),
        CERTIFICATE,
        "may not be used by a server",
    ),
    # OpenSSL would ask for it at the terminal, and a gateway would wait there for ever.
    "key with a passphrase": (
        (GOOD.certificate_pem, GOOD.locked_key_pem(b"secret")),
        KEY,
        "without a passphrase",
    ),
    "no certificate": ((b"hello", GOOD.key_pem), CERTIFICATE, "is no certificate in PEM"),
    "no key": ((GOOD.certificate_pem, b"hello"), KEY, "is no private key in PEM"),
    "swapped": ((GOOD.key_pem, GOOD.certificate_pem), CERTIFICATE, "is no certificate in PEM"),
    "empty": ((b"", b""), CERTIFICATE, "is no certificate in PEM"),
    "clients' authority is none": (
        (GOOD.certificate_pem, GOOD.key_pem, OTHER.certificate_pem),
        CLIENT_CA,
        "has no certificate of an authority",
    ),
    "clients' authority is no PEM": (
        (GOOD.certificate_pem, GOOD.key_pem, b"x"),
        CLIENT_CA,
        "is no certificate",
    ),
    "clients' authority has expired": (
        (GOOD.certificate_pem, GOOD.key_pem, Authority.make(days=(-30, -1)).certificate_pem),
        CLIENT_CA,
        "has expired",
    ),
}


@pytest.mark.parametrize(("contents", "setting", "part"), BAD.values(), ids=BAD)
def test_a_bad_one_is_named_with_its_setting_file_and_fix(files, contents, setting, part):
    with pytest.raises(InvalidInput, match=part) as refused:
        read_identity(files(*contents))
    assert refused.value.field == setting
    assert str(refused.value.value).endswith({KEY: ".key"}.get(setting, ".crt"))
    assert refused.value.fix
    assert "BEGIN" not in str(refused.value), "nothing of a key is ever shown"


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_file_is_named_with_its_setting(files, missing):
    given = files(GOOD.certificate_pem, GOOD.key_pem, AUTHORITY.certificate_pem)
    (given.certificate, given.key, given.client_ca)[missing].unlink()
    with pytest.raises(InvalidInput, match="cannot be read: No such file") as refused:
        read_identity(given)
    assert refused.value.field == (CERTIFICATE, KEY, CLIENT_CA)[missing]


def test_an_unreadable_file_is_named_with_its_setting(files):
    given = files(GOOD.certificate_pem, GOOD.key_pem)
    given.key.unlink()
    given.key.mkdir()
    with pytest.raises(InvalidInput, match=f"{KEY}: cannot be read: Is a directory"):
        read_identity(given)
