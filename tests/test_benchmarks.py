"""The benchmarks can begin: what they import is there."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
# Others need what the extra `benchmark` installs.
NAMES = [
    "baselines",
    "clustering",
    "continuing",
    "cost",
    "kills",
    "likelihoods",
    "peers",
    "posterior",
    "runs",
    "scoring",
    "semi_supervised",
    "shop_window",
    "speed",
    "training_memory",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_imports(name, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = import_module(name)
    assert Path(module.__file__).parent == BENCHMARKS
    for other in NAMES:
        sys.modules.pop(other, None)
