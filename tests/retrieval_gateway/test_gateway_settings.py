"""Settings: a wrong variable is named with its value, before anything starts."""

import os
import subprocess
import sys

import pytest

from faults import InvalidInput
from retrieval_gateway.settings import GatewaySettings, load_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VITRINE_PORT", "ninety"),
        ("VITRINE_PORT", "65536"),
        ("VITRINE_METRICS_PORT", "-1"),
        ("VITRINE_MAX_K", "0"),
        ("VITRINE_DEFAULT_TIMEOUT_S", "0"),
        ("VITRINE_RELEASE_POLL_S", "-0.5"),
        ("VITRINE_GATHER_ROWS", "1.5"),
        ("VITRINE_CACHE_MEMORY_BYTES", "64MB"),
        ("VITRINE_RELEASE_ADMIN", "perhaps"),
        ("VITRINE_INSECURE", "maybe"),
        ("VITRINE_LOG_REQUESTS", "some"),
        ("VITRINE_PICTURE_WORKERS", "0"),
        ("VITRINE_PICTURE_TIME_S", "0"),
        ("VITRINE_PICTURE_FORMATS", "GIF"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput) as refused:
        load_settings()
    assert refused.value.field == name
    assert value in str(refused.value)


def test_variables_are_read(monkeypatch):
    monkeypatch.setenv("VITRINE_MAX_K", "77")
    monkeypatch.setenv("VITRINE_REFLECTION", "false")
    settings = load_settings()
    assert (settings.max_k, settings.reflection) == (77, False)


def test_every_setting_says_why_one_would_change_it():
    for name, field in GatewaySettings.model_fields.items():
        assert field.description, name
        assert len(field.description) > 20, name


def test_a_gateway_with_a_wrong_setting_ends_at_once_with_the_message():
    done = subprocess.run(
        [sys.executable, "-m", "retrieval_gateway"],
        env={**os.environ, "VITRINE_PORT": "ninety"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "VITRINE_PORT" in done.stderr
    assert "'ninety'" in done.stderr
    assert "Traceback" not in done.stderr


def test_formats_are_listed_with_commas(monkeypatch):
    monkeypatch.setenv("VITRINE_PICTURE_FORMATS", "jpeg, PNG")
    assert load_settings().picture_formats == ("JPEG", "PNG")


def test_unless_told_nothing_is_open_and_nothing_typed_is_logged():
    settings = GatewaySettings()
    assert (settings.host, settings.metrics_host) == ("127.0.0.1", "127.0.0.1")
    assert not any((settings.insecure, settings.release_admin, settings.log_queries))


def test_a_picture_that_is_too_large_is_still_received_so_that_we_can_say_so():
    settings = GatewaySettings(max_picture_bytes=1000)
    assert settings.max_message_bytes > 2 * settings.max_picture_bytes


def test_a_gateway_that_would_be_open_ends_at_once_with_the_ways_out():
    done = subprocess.run(
        [sys.executable, "-m", "retrieval_gateway"],
        env={**os.environ, "VITRINE_HOST": "0.0.0.0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "VITRINE_HOST" in done.stderr
    assert "vitrine keys add" in done.stderr
    assert "Traceback" not in done.stderr
