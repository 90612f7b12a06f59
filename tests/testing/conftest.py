"""A plugin for tests of the conformance kit."""

import pytest
from unsound import write_unsound

from codecbench.plugins.registry import CODECS


@pytest.fixture
def mine(codec_folder):
    """Imports the plugin ``mine`` with a misdeed."""

    def open_it(**misdeed):
        write_unsound(codec_folder, **misdeed)
        return CODECS.get("mine")()

    return open_it
