"""A plugin for tests of the conformance kit."""

import pytest
from unsound import use_folder, write_unsound

from codecbench.plugins.registry import CODECS


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Imports the plugin ``mine`` with a misdeed, and forgets it after the test."""
    use_folder(tmp_path, monkeypatch)

    def open_it(**misdeed):
        write_unsound(tmp_path, **misdeed)
        return CODECS.get("mine")()

    yield open_it
    CODECS.forget("mine")
