"""One opened run for all tests of this folder."""

from pathlib import Path

import pytest

from experiments.open.run import OpenRun
from tests.support.open_run import write_open_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path) -> Path:
    """A run folder whose adapters lie in a store of their own; not to be changed."""
    return write_open_run(tmp_path_factory.mktemp("open"), llama_folder)


@pytest.fixture(scope="session")
def opened(run_folder: Path) -> OpenRun:
    """The run with its model."""
    return OpenRun.load(run_folder, device="cpu")
