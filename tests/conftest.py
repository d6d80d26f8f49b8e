"""Fixtures that more than one room needs."""

import pytest
from support.triton import RunningTriton


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory):
    """One real tritonserver for the session, without models: write towers into its ``repository``.

    Model versions are the test's own affair (``control.load_versions``, ``control.unload``); a test that
    kills anything starts a server of its own.
    """
    with RunningTriton(tmp_path_factory.mktemp("triton")) as running:
        yield running
