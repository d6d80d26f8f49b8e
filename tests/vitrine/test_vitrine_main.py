import sys
from pathlib import Path

import pytest

import faults
from vitrine import main, search
from vitrine.terminal import command_line

CODES = {
    faults.InvalidInput: 2,
    faults.NotFound: 2,
    faults.CatalogueError: 2,
    faults.GateFailed: 2,
    faults.Occupied: 2,
    faults.Unavailable: 3,
    faults.Overloaded: 3,
    faults.DeadlineExceeded: 3,
    faults.StorageFailed: 3,
    faults.InternalError: 1,
}


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def client(_: str) -> None:
        raise error

    monkeypatch.setattr(search, "RetrievalClient", client)


@pytest.mark.parametrize(("kind", "code"), CODES.items(), ids=lambda value: getattr(value, "__name__", value))
def test_each_error_has_its_exit_code_and_one_plain_message(
    vitrine, monkeypatch: pytest.MonkeyPatch, kind: type[faults.VitrineError], code: int
) -> None:
    failing(monkeypatch, kind("It went wrong [so to say].", field="some[part]", value=["a"], fix="Mend it."))
    done = vitrine("search", "mug")
    assert done.code == code
    assert done.out == ""
    # One line, brackets and all: rich would take them for markup.
    assert done.err == "vitrine: some[part]: It went wrong [so to say]. (got ['a']) Fix: Mend it.\n"


def test_a_mismatch_is_the_callers_to_mend() -> None:
    assert main.exit_code(faults.Mismatch("dim", expected=1, found=2, fix="x")) == 2


def test_ctrl_c_and_sigterm_end_with_their_own_code(vitrine, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    done = vitrine("search", "mug")
    assert done.code == 130
    assert "Traceback" not in done.err


def test_our_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError())
    monkeypatch.setattr(sys, "argv", ["vitrine", "search", "mug"])
    with pytest.raises(ZeroDivisionError):
        main.run()


def test_the_commands_of_the_contract_are_there(vitrine) -> None:
    done = vitrine("--help")
    assert done.code == 0
    words = done.out.split()
    for name in (
        "sample-shop",
        "train",
        "export",
        "index",
        "releases",
        "serve",
        "search",
        "evaluate",
        "demo",
    ):
        assert name in words
    done = vitrine("releases", "--help")
    assert {"list", "show", "activate", "rollback", "retire"} <= set(done.out.split())


@pytest.mark.parametrize("arguments", [("no-such-command",), ("search", "--no-such-option"), ("train",)])
def test_wrong_usage_is_the_callers_to_mend(vitrine, arguments: tuple[str, ...]) -> None:
    assert vitrine(*arguments).code == 2


@pytest.mark.parametrize(("variable", "value"), [("VITRINE_PORT", "many"), ("VITRINE_CACHE_MEMORY_MB", "0")])
def test_a_wrong_setting_is_named(
    vitrine, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    done = vitrine("releases", "list")
    assert done.code == 2
    assert variable in done.err
    assert f"'{value}'" in done.err


def test_the_command_line_can_be_typed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [str(Path("/opt/venv/bin/vitrine")), "index", "--catalog", "my shop", "--activate"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert command_line() == "vitrine index --catalog 'my shop' --activate"
