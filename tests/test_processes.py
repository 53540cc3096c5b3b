"""Two processes that train together, against one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import together
import torch
from torch import nn

from gmvae.support.errors import ArgumentError
from gmvae.training import clustering
from gmvae.training.fitting import fit
from gmvae.training.processes import ALONE, Network, processes_of
from gmvae.training.recipe import EFFORTS

pytest.importorskip("lightning_fabric", reason="gmvae[distributed] is not installed")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two processes has made of `together.py`, which gloo connects."""
    out = tmp_path_factory.mktemp("together")
    script = Path(together.__file__)
    done = subprocess.run(
        [sys.executable, *TORCHRUN, str(script), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(out / f"{number}.pt") for number in (0, 1)]


def furthest(one, other):
    """The largest difference between the values of two dictionaries of tensors."""
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize("kind", together.KINDS)
def test_twenty_steps_are_those_of_one_process(both, kind):
    """Bound and regularisers, uneven parts, the noise of the views and of z among it.

    In float32 as in float64 but for rounding. Where a layer normalises, the biases before it have
    no gradient but rounding, of which Adam makes steps of any size.
    """
    dtype, changes = together.KINDS[kind]
    allowed = 1e-6 if dtype == torch.float32 else 1e-12
    alone = together.trained(ALONE, dtype, changes)
    for of_this in both:
        parameters = of_this[kind]["parameters"]
        exact = 1e-8 if "normalised" in kind else allowed
        assert furthest(parameters, alone["parameters"]) < exact
        assert (of_this[kind]["objectives"] - alone["objectives"]).abs().max() < 100 * exact
    assert furthest(*(of_this[kind]["parameters"] for of_this in both)) == 0


def test_gradients_cross_from_process_to_process(both):
    """Where a row of one network is asked of another row of the next."""
    alone = together.crossed(ALONE)
    assert all(furthest(of_this["crossed"], alone) < 1e-12 for of_this in both)


def test_no_row_is_lost_or_doubled(both):
    one, other = (of_this["rows"] for of_this in both)
    assert one["orders"] == other["orders"] == together.rows_seen(ALONE)["orders"]
    parts = list(zip(one["seen"], other["seen"], strict=True))
    assert [first + second for first, second in parts] == one["orders"]
    assert {(len(first), len(second)) for first, second in parts} == {(6, 7), (5, 6)}


def test_a_whole_run_is_that_of_one_process(both, monkeypatch):
    """Its start is found by the first process, and of its clusters the number."""
    monkeypatch.setitem(EFFORTS, "standard", 0.01)
    monkeypatch.setattr(clustering, "PROMINENT", together.PROMINENT)
    alone = together.whole_run(None)
    one, other = (of_this["runs"]["undisturbed"] for of_this in both)
    assert furthest(one["parameters"], other["parameters"]) == 0
    assert furthest(alone["parameters"], one["parameters"]) < 1e-4
    assert one["history"] == other["history"]
    assert [row["phase"] for row in one["history"]] == [row["phase"] for row in alone["history"]]
    assert one["figures"] == pytest.approx(alone["figures"], rel=1e-3)


def test_only_the_first_process_is_asked_and_told(both):
    one, other = (of_this["runs"] for of_this in both)
    assert one["told"] == len(one["undisturbed"]["history"])
    assert other["told"] == 0
    assert one["asked"][:2] == [10, 8]
    assert other["asked"] == [0, 0, 0]


def test_stopped_and_taken_up_it_ends_as_if_never(both):
    for of_this in both:
        runs = of_this["runs"]
        assert furthest(runs["undisturbed"]["parameters"], runs["resumed"]["parameters"]) == 0
        assert runs["undisturbed"]["history"] == runs["resumed"]["history"]


def test_where_the_callback_ends_it_all_of_them_end(both):
    for of_this in both:
        ended = of_this["runs"]["ended"]
        assert ended["history"][-1]["phase"] == "joint"
        assert (
            "the callback ended the run after epoch 1 of the phase joint" in ended["warnings"][-1]
        )


def test_processes_of_other_images_are_refused_in_all(both):
    for of_this in both:
        assert "`fabric` expected the same images, labels and settings" in of_this["runs"]["error"]


def test_one_alone_divides_nothing():
    module = nn.Linear(2, 1)
    x = torch.ones(3, 2, requires_grad=True)
    with ALONE.divided([Network(module, 1)]) as divided:
        assert divided == []
        assert not module._forward_pre_hooks
        module(x).sum().backward()
    before = module.weight.grad.clone()
    ALONE.sum_gradients(list(module.parameters()), divided)
    assert torch.equal(module.weight.grad, before)
    assert ALONE.rows(3) == slice(0, 3)


def test_what_is_no_fabric_is_refused():
    with pytest.raises(
        ArgumentError, match=r"`fabric` expected a lightning_fabric.Fabric; got str"
    ):
        fit(together.digits(), fabric="ddp")


def test_a_fabric_that_was_not_launched_is_refused():
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    with pytest.raises(ArgumentError, match=r"not launched. Call fabric.launch\(\) first"):
        processes_of(fabric)
