"""Real, small processes: what matters here is what the kernel does."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from support.processes import eventually, running, shared_memory

import faults
from runtime.process import ManagedProcess

FAMILY = """
    import os, signal, subprocess, sys, time
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if {stubborn} else ""
    sleeper = "import signal, time; " + stubborn + "time.sleep(60)"
    argv = [sys.executable, "-c", sleeper]
    children = [subprocess.Popen(argv, start_new_session=own) for own in (False, True)]
    if {stubborn}: signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("pids", *(child.pid for child in children), flush=True)
    time.sleep(60)
"""
"""A server with two children, one of which has left its process group."""


def process(tmp_path, *argv, **options):
    return ManagedProcess("thing", argv, dict(os.environ), tmp_path / "logs" / "thing.log", **options)


def family(tmp_path, *, stubborn=False, **options):
    code = textwrap.dedent(FAMILY.format(stubborn=stubborn))
    started = process(tmp_path, sys.executable, "-c", code, **options)
    started.start()
    line = eventually(lambda: [x for x in started.log_tail().splitlines() if x.startswith("pids")])
    return started, [int(word) for word in line[0].split()[1:]]


def test_a_process_runs_with_its_environment_folder_and_log(tmp_path):
    started = ManagedProcess(
        "thing",
        ["sh", "-c", "echo $WORD; pwd; exit 3"],
        {"WORD": "hello", "PATH": os.defpath},
        tmp_path / "x.log",
        tmp_path,
    )
    started.start()
    assert eventually(lambda: started.poll() is not None)
    assert started.poll() == 3
    assert started.pid is None
    assert started.log_tail(2).splitlines() == ["hello", str(tmp_path)]


def test_stop_ends_the_process_and_is_idempotent(tmp_path):
    started = process(tmp_path, "sleep", "60")
    assert started.stop(1) is None
    started.start()
    pid = started.pid
    assert running(pid)
    assert started.stop(5) == -signal.SIGTERM
    assert started.stop(5) == -signal.SIGTERM
    assert not Path(f"/proc/{pid}").exists(), "a zombie is left"


def test_stop_kills_what_ignores_the_polite_signal_children_included(tmp_path):
    started, children = family(tmp_path, stubborn=True)
    pid = started.pid
    assert started.stop(0.1) == -signal.SIGKILL
    assert not [left for left in (pid, *children) if Path(f"/proc/{left}").exists()]


def test_children_of_a_crashed_process_are_killed_and_its_memory_removed(tmp_path):
    prefix = f"vitrine-test-{os.getpid()}-"
    (Path("/dev/shm") / f"{prefix}region").write_bytes(b"x")
    started, children = family(tmp_path, shared_memory_prefix=prefix)
    os.kill(started.pid, signal.SIGKILL)
    assert eventually(lambda: started.poll() is not None)
    assert started.poll() == -signal.SIGKILL
    assert not [left for left in children if Path(f"/proc/{left}").exists()]
    assert not shared_memory(prefix)


def test_a_killed_guardian_takes_the_process_with_it(tmp_path):
    prefix = f"vitrine-test-{os.getpid()}-"
    (Path("/dev/shm") / f"{prefix}region").write_bytes(b"x")
    started, children = family(tmp_path, shared_memory_prefix=prefix)
    pid = started.pid
    guardian = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(guardian, signal.SIGKILL)
    assert eventually(lambda: started.poll() is not None)
    assert eventually(lambda: not running(pid) and not running(children[0]))
    assert not shared_memory(prefix)
    os.kill(children[1], signal.SIGKILL)  # it left the group: nobody can know it any more


def test_it_can_be_started_again_after_its_end(tmp_path):
    started = process(tmp_path, "sleep", "60")
    started.start()
    first = started.pid
    started.stop(5)
    started.start()
    assert started.pid not in (None, first)
    assert started.poll() is None
    with pytest.raises(faults.InternalError, match="twice"):
        started.start()
    started.stop(5)


def test_it_outlives_the_thread_that_started_it(tmp_path):
    started = process(tmp_path, "sleep", "60")
    thread = threading.Thread(target=started.start)
    thread.start()
    thread.join()
    pid = started.pid
    assert not eventually(lambda: not running(pid), within_s=0.5)
    started.stop(5)


def test_a_killed_parent_takes_everything_with_it(tmp_path):
    code = f"""
        import os, sys, time
        from pathlib import Path
        from runtime.process import ManagedProcess
        started = ManagedProcess("thing", ["sleep", "60"], dict(os.environ), Path({str(tmp_path)!r}) / "log")
        started.start()
        print(started.pid, flush=True)
        time.sleep(60)
    """
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        pid = int(parent.stdout.readline())
        assert running(pid)
        parent.kill()
    assert eventually(lambda: not running(pid))


def test_a_program_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(faults.Unavailable, match="No such file or directory: /no/such/program"):
        process(tmp_path, "/no/such/program").start()


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "logs").write_text("a file where a folder should be")
    with pytest.raises(faults.StorageFailed, match=r"thing\.log"):
        process(tmp_path, "true").start()


def test_the_tail_of_a_long_log_is_short_and_of_a_missing_one_empty(tmp_path):
    started = process(tmp_path, "true")
    assert started.log_tail() == ""
    started.log_path.parent.mkdir()
    started.log_path.write_text("\n".join(f"line   {n}   " for n in range(100_000)))
    assert started.log_tail(2).splitlines() == ["line 99998", "line 99999"]
