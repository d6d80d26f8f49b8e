"""API keys at rest: a hash only, for the owner's eyes, replaced as a whole."""

import json
import os
import stat
import threading

import pytest

from faults import InvalidInput, NotFound
from retrieval_gateway.security.api_keys import KeyRing, make_key
from retrieval_gateway.security.key_file import add_key, read_keys, revoke_key


@pytest.fixture
def path(tmp_path):
    return tmp_path / "secrets" / "keys.json"


def added(path, name: str, **rights) -> str:
    record, key = make_key(name, **{"admin": False, "rate": None, **rights})
    add_key(path, record)
    return key


def test_a_key_is_kept_as_a_hash_that_only_its_owner_may_read(path):
    key = added(path, "shop", rate=5.0)
    text = path.read_text(encoding="utf-8")
    assert key not in text
    assert key.rpartition("_")[2] not in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (record,) = read_keys(path)
    assert (record.name, record.admin, record.rate) == ("shop", False, 5.0)
    assert KeyRing([record]).find(key) == record


def test_keys_are_long_random_and_look_like_ours(path):
    keys = {added(path, f"shop-{number}") for number in range(50)}
    assert len(keys) == 50
    for key in keys:
        marker, key_id, secret = key.split("_", 2)
        assert (marker, len(key_id)) == ("vtr", 16)
        assert len(secret) == 43, "256 bits in base64"


def test_only_the_very_key_is_found(path):
    key = added(path, "shop")
    ring = KeyRing(read_keys(path))
    other = added(path, "other")
    swapped = f"{key[:20]}_{other.split('_', 2)[2]}"
    changed = key[:-1] + ("A" if key[-1] != "A" else "B")
    for wrong in (
        other,
        swapped,
        changed,
        key + "A",
        key[:-1],
        key.upper(),
        f" {key}",
        "",
        "é" * 64,
        "\ud800",
    ):
        assert ring.find(wrong) is None
    assert KeyRing([]).find(key) is None


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "é", "x" * 65, "a\n"])
def test_a_bad_name_is_refused(path, name):
    with pytest.raises(InvalidInput, match="is no name for a key"):
        added(path, name)
    assert not path.exists()


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_bad_rate_is_refused(path, rate):
    with pytest.raises(InvalidInput, match="rate: is no rate"):
        added(path, "shop", rate=rate)


def test_names_are_unique_and_revoking_one_leaves_the_others(path):
    added(path, "shop")
    kept = added(path, "search", admin=True)
    with pytest.raises(InvalidInput, match="there is a key of this name"):
        added(path, "shop")
    revoke_key(path, "shop")
    assert [record.name for record in read_keys(path)] == ["search"]
    assert KeyRing(read_keys(path)).find(kept).admin
    with pytest.raises(NotFound, match="no such key"):
        revoke_key(path, "shop")


def test_two_who_add_at_once_lose_nothing(path):
    threads = [threading.Thread(target=added, args=(path, f"shop-{number}")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {record.name for record in read_keys(path)} == {f"shop-{number}" for number in range(8)}
    assert os.listdir(path.parent) == ["keys.json"], "nothing is left lying about"  # noqa: PTH208


def test_a_file_that_others_may_write_to_is_refused_with_the_command_that_mends_it(path):
    added(path, "shop")
    path.chmod(0o620)
    with pytest.raises(InvalidInput, match="others may write to it") as refused:
        read_keys(path)
    assert refused.value.field == "VITRINE_KEY_FILE"
    assert refused.value.fix == f"chmod 600 {path}"


def test_a_missing_file_is_named_with_the_command_that_makes_one(path):
    with pytest.raises(InvalidInput, match="VITRINE_KEY_FILE: cannot be read") as refused:
        read_keys(path)
    assert "vitrine keys add" in refused.value.fix


def twice(content: dict) -> dict:
    return {**content, "keys": content["keys"] * 2}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda text: text[: len(text) // 2],
        lambda text: json.dumps({**json.loads(text), "version": 2}),
        lambda text: json.dumps(twice(json.loads(text))),
        lambda text: text.replace('"admin": false', '"admin": false, "owner": "x"'),
        lambda text: text.replace('"sha256": "', '"sha256": "zz'),
    ],
    ids=["empty", "torn", "of a later version", "a key twice", "a strange field", "no hash"],
)
def test_a_damaged_file_is_refused_as_a_whole(path, spoil):
    added(path, "shop")
    path.write_text(spoil(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(InvalidInput, match="is no file of keys"):
        read_keys(path)
    with pytest.raises(InvalidInput, match="is no file of keys"):
        added(path, "another")
