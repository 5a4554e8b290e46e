"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Triton's kernels run on the CPU here, in its interpreter; it has to know before anything imports it.
os.environ.setdefault("TRITON_INTERPRET", "1")

DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    root = Path(os.environ.get("COKE_EDGE_DATA", DEFAULT_DATA))
    if not root.is_dir():
        pytest.skip("no real data: set COKE_EDGE_DATA to the folder that holds lsp/, PASCAL3D+_release1.1/ …")
    return root
