"""Who uses a release is known, among threads and processes alike, and a used release stays."""

import errno
import fcntl
import subprocess
import sys
import textwrap
import threading

import pytest
from release_builders import publish
from support.processes import eventually

import faults
from releases import in_use
from releases.store import ReleaseStore


@pytest.fixture
def store(tmp_path):
    return ReleaseStore(tmp_path / "store")


@pytest.fixture
def ids(store):
    return sorted(publish(store, bytes([number])).release_id for number in range(4))


def test_a_used_release_is_not_retired_until_it_is_let_go(store, ids):
    store.activate(ids[3])
    with store.hold(ids[0]), store.hold(ids[0]):
        assert store.in_use() == [ids[0]]
        assert store.retire(1) == [ids[1], ids[2]]
        assert store.retire(1) == []
    assert store.in_use() == []
    assert store.retire(1) == [ids[0]]


def test_the_oldest_that_nobody_uses_go_first(store, ids):
    store.activate(ids[3])
    with store.hold(ids[0]):
        assert store.retire(3) == [ids[1]]


def test_a_claim_is_exclusive_and_holds_wait_for_it(store, ids):
    claimed = store.claim(ids[0])
    assert claimed is not None
    assert store.claim(ids[0], within_s=0.05) is None
    held = []
    waiting = threading.Thread(target=lambda: held.append(store.hold(ids[0])))
    waiting.start()
    assert not eventually(lambda: held, within_s=0.1)
    claimed.close()
    waiting.join()
    assert store.claim(ids[0]) is None
    held[0].close()
    held[0].close()
    with store.claim(ids[0], within_s=1.0) as again:
        assert again is not None


def test_a_claim_outlasts_those_who_only_look(store, ids):
    looking = store.claim(ids[0])
    threading.Timer(0.05, looking.close).start()
    claimed = store.claim(ids[0], within_s=10.0)
    assert claimed is not None
    claimed.close()


def test_a_killed_process_uses_nothing(store, ids):
    program = f"""
        import sys, time
        from pathlib import Path
        from releases.store import ReleaseStore
        held = ReleaseStore(Path({str(store.root)!r})).hold({ids[1]!r})
        print("held", flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout.readline() == "held\n"
        assert store.in_use() == [ids[1]]
        user.kill()
    assert store.in_use() == []


def test_whoever_waited_for_a_release_that_went_is_told(store, ids):
    store.activate(ids[3])
    claimed = store.claim(ids[0])
    outcome = []

    def wait() -> None:
        try:
            outcome.append(store.hold(ids[0]))
        except faults.NotFound as error:
            outcome.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not eventually(lambda: outcome, within_s=0.1)
    store.path(ids[0]).rename(store.root / ".staging-gone")
    claimed.close()
    waiting.join()
    assert isinstance(outcome[0], faults.NotFound)


@pytest.mark.parametrize("method", ["hold", "claim"])
def test_a_release_that_is_not_there_is_named(store, method):
    with pytest.raises(faults.NotFound, match="20200101T000000Z-abcdef"):
        getattr(store, method)("20200101T000000Z-abcdef")


def test_without_locks_releases_can_be_served_and_retired(store, ids, monkeypatch):
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    store.activate(ids[3])
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", no_locks)
        with store.hold(ids[0]):
            assert store.in_use() == []


def test_reading_rights_are_enough_to_use_a_release(store, ids):
    folder = store.path(ids[0])
    folder.chmod(0o555)
    with store.hold(ids[0]):
        assert store.in_use() == [ids[0]]
    folder.chmod(0o755)


def test_changes_of_the_engines_take_turns(store, ids, monkeypatch):
    assert ids
    with store.engine_turn():
        monkeypatch.setattr(in_use, "_ENGINE_TURN_S", 0.05)
        with store.engine_turn() as turn:
            assert turn is None, "a process that hangs must not stop the others for ever"
        monkeypatch.setattr(in_use, "_ENGINE_TURN_S", 10.0)
        entered = []
        waiting = threading.Thread(target=lambda: entered.append(store.engine_turn()))
        waiting.start()
        assert not eventually(lambda: entered, within_s=0.1)
    waiting.join()
    with entered[0] as turn:
        assert turn is not None
        assert store.in_use() == [], "a turn uses no release"


def test_without_a_store_there_is_nobody_to_wait_for(tmp_path):
    with ReleaseStore(tmp_path / "nowhere").engine_turn() as turn:
        assert turn is None
