"""Callers with keys: known, allowed, within their rate; and a file that changes meanwhile."""

import pytest
from structlog.testing import capture_logs
from support.loops import looping, until

from faults import InvalidInput, NotPermitted, Overloaded, Unauthenticated
from retrieval_gateway.security import key_access
from retrieval_gateway.security.access import Caller, OpenAccess
from retrieval_gateway.security.api_keys import make_key
from retrieval_gateway.security.key_access import KeyAccess
from retrieval_gateway.security.key_file import add_key, revoke_key


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self, folder) -> None:
        self.path = folder / "keys.json"
        self.clock = Clock()
        self.shop = self.add("shop", rate=2.0)
        self.admin = self.add("root", admin=True)
        self.access = KeyAccess(self.path, self.clock)

    def add(self, name: str, *, admin: bool = False, rate: float | None = None) -> str:
        record, key = make_key(name, admin=admin, rate=rate)
        add_key(self.path, record)
        return key

    def admit(self, key: str, *, admin: bool = False, scheme: str = "Bearer") -> Caller:
        metadata = [("user-agent", "x"), ("authorization", f"{scheme} {key}"), ("x-bin", b"y")]
        return self.access.admit(metadata, admin=admin)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_a_key_lets_in_and_says_who(bench):
    assert bench.admit(bench.shop) == Caller("shop", admin=False)
    assert bench.admit(bench.admin, admin=True) == Caller("root", admin=True)
    assert bench.admit(bench.shop, scheme="bearer").name == "shop", "schemes have no case (RFC 9110)"


def test_no_key_and_a_wrong_one_are_refused_without_repeating_it(bench):
    metadata = {
        "no API key": [[], [("authorization", "")], [("authorization", f"Basic {bench.shop}")]],
        "not valid here": [
            [("authorization", f"Bearer {bench.shop[:-1]}")],
            [("authorization", "Bearer vtr_x")],
        ],
    }
    for problem, all_of in metadata.items():
        for given in all_of:
            with pytest.raises(Unauthenticated, match=problem) as refused:
                bench.access.admit(given, admin=False)
            assert "vtr_" not in str(refused.value)
            assert "authorization: Bearer KEY" in refused.value.fix


def test_a_searchers_key_does_not_switch_releases(bench):
    with pytest.raises(NotPermitted, match="may not switch releases") as refused:
        bench.admit(bench.shop, admin=True)
    assert "--admin" in refused.value.fix
    assert refused.value.value == "shop"


def test_a_rate_is_kept_key_by_key_and_the_wait_is_exact(bench):
    for _ in range(2):
        bench.admit(bench.shop)
    with pytest.raises(Overloaded, match="shop may ask 2 times a second") as refused:
        bench.admit(bench.shop)
    assert refused.value.retry_after_s == pytest.approx(0.5)
    for _ in range(100):
        bench.admit(bench.admin)
    bench.clock.now += 0.5
    bench.admit(bench.shop)


def test_a_key_that_is_added_or_revoked_counts_from_then_on(bench):
    late = bench.add("late")
    with pytest.raises(Unauthenticated):
        bench.admit(late)
    bench.access.follow()
    assert bench.admit(late).name == "late"
    revoke_key(bench.path, "late")
    bench.access.follow()
    with pytest.raises(Unauthenticated):
        bench.admit(late)
    assert bench.admit(bench.admin)


def test_another_file_does_not_give_a_rate_back(bench):
    for _ in range(2):
        bench.admit(bench.shop)
    bench.add("late")
    bench.access.follow()
    with pytest.raises(Overloaded):
        bench.admit(bench.shop)


@pytest.mark.parametrize(
    "spoil", [lambda path: path.unlink(), lambda path: path.write_text("{"), lambda path: path.chmod(0o666)]
)
def test_a_file_that_is_lost_neither_opens_nor_closes_the_gateway(bench, spoil):
    spoil(bench.path)
    with capture_logs() as lines:
        bench.access.follow()
        bench.access.follow()
    assert [line["log_level"] for line in lines] == ["error"], "once, not at every look"
    assert bench.admit(bench.admin)
    with pytest.raises(Unauthenticated):
        bench.admit("vtr_0000000000000000_" + "A" * 43)


async def test_the_loop_follows_the_file(bench, monkeypatch):
    monkeypatch.setattr(key_access, "_POLL_S", 0.01)

    def gone() -> bool:
        try:
            bench.admit(bench.admin)
        except Unauthenticated:
            return True
        return False

    async with looping(bench.access.run):
        assert not gone()
        revoke_key(bench.path, "root")
        await until(gone)


def test_a_gateway_with_a_bad_file_does_not_start(tmp_path):
    with pytest.raises(InvalidInput, match="VITRINE_KEY_FILE"):
        KeyAccess(tmp_path / "keys.json")


def test_without_keys_everybody_searches_and_nobody_switches_unless_told():
    assert OpenAccess(False).admit([], admin=False) == Caller("", admin=False)
    with pytest.raises(NotPermitted, match="VITRINE_RELEASE_ADMIN"):
        OpenAccess(False).admit([], admin=True)
    assert OpenAccess(True).admit([], admin=True).admin
