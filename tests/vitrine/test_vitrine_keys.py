"""``vitrine keys``: a key is shown once, listed without its secret, and revoked."""

import pytest

from retrieval_gateway.security.api_keys import KeyRing
from retrieval_gateway.security.key_file import read_keys


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRINE_KEY_FILE", str(tmp_path / "keys.json"))
    return tmp_path / "keys.json"


def test_a_key_is_printed_once_for_a_program_to_take(vitrine, path):
    done = vitrine("keys", "add", "shop", "--rate", "20")
    key = done.out.strip()
    assert done.code == 0
    assert key not in done.err
    record = KeyRing(read_keys(path)).find(key)
    assert (record.name, record.admin, record.rate) == ("shop", False, 20.0)


def test_rights_are_as_asked_for(vitrine, path):
    key = vitrine("keys", "add", "root", "--admin").out.strip()
    assert KeyRing(read_keys(path)).find(key).admin


def test_a_list_shows_everything_but_secrets(vitrine, path):
    secrets = [vitrine("keys", "add", name).out.strip().split("_", 2)[2] for name in ("shop", "search")]
    done = vitrine("keys", "list")
    for record in read_keys(path):
        assert record.name in done.out
        assert record.key_id in done.out
        assert record.sha256 not in done.out
    assert not any(secret in done.out for secret in secrets)


def test_a_revoked_key_is_gone(vitrine, path):
    vitrine("keys", "add", "shop")
    assert vitrine("keys", "revoke", "shop").out == "shop is revoked\n"
    assert read_keys(path) == ()
    done = vitrine("keys", "revoke", "shop")
    assert (done.code, done.out) == (2, "")
    assert "no such key" in done.err


def test_another_file_can_be_named(vitrine, tmp_path):
    other = tmp_path / "others" / "keys.json"
    assert vitrine("keys", "add", "shop", "--file", str(other)).code == 0
    assert [record.name for record in read_keys(other)] == ["shop"]


def test_a_bad_name_is_an_exit_code_and_no_key(vitrine, path):
    done = vitrine("keys", "add", "my shop")
    assert (done.code, done.out) == (2, "")
    assert "is no name for a key" in done.err
    assert not path.exists()
