"""What runs in one process and in several, to be compared: a script for torchrun, and a module."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from toys import SHAPE, seeded, tiny

from gmvae.data import Images, load
from gmvae.data.views import Affine
from gmvae.probability.evidence import Bound
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, InterruptedRunError
from gmvae.training import clustering
from gmvae.training.fitting import fit
from gmvae.training.loop import STOP, Loop, Schedule
from gmvae.training.processes import Network, Processes
from gmvae.training.recipe import EFFORTS
from gmvae.training.regularisers import Agreement, Classification, MutualInformation

# 50 images in batches of 13, 13, 13 and 11, five times: twenty steps, none of which two processes
# can share evenly.
SCHEDULE = Schedule(5, batch_size=13, lr=1e-2)
# So short a training lays the kinds hardly apart: by the standard rule there would be one.
PROMINENT = 3.7
SETTINGS = Settings(n_components=None, epochs=3, warmup_epochs=3, batch_size=30)
KINDS = {
    "float32": (torch.float32, {}),
    "float64": (torch.float64, {}),
    "normalised over the batch": (torch.float64, {"network": "conv", "assigner_network": "conv"}),
    "mixture": (torch.float64, {"guide": "mixture"}),
    "exact": (torch.float64, {"assignment": "exact"}),
}


class Precise(Images):
    """Images whose pixels become float64."""

    def tensor(self, rows=slice(None)):
        return super().tensor(rows).double()


def pixels():
    return np.random.default_rng(0).random((50, *SHAPE), dtype=np.float32)


def trained(processes, dtype, changes):
    """Twenty steps on bound and regularisers: parameters, and the objective of each epoch."""
    images = (Precise if dtype == torch.float64 else Images)(pixels(), None)
    torch.manual_seed(3)
    gmvae, generator, told = tiny(**changes).to(dtype).train(), seeded(), []
    guide, prior = gmvae.guide, gmvae.model.prior
    networks = [Network(guide.encoder, 3), Network(gmvae.model.decoder, 1)]
    regularisers = []
    if guide.assigner is not None:
        networks.append(Network(guide.assigner.features, 3))
        view, few = Affine(), images.tensor(slice(0, 5))
        regularisers = [
            Agreement(5.0, prior, view, generator),
            MutualInformation(5.0, view, generator, prior),
            Classification(1.0, few, torch.arange(5) % 3, view, generator),
        ]
    loop = Loop(
        Bound(gmvae.model, guide),
        guide,
        images,
        SCHEDULE,
        regularisers=regularisers,
        regularised_every=2,
        generator=generator,
        processes=processes,
        networks=networks,
    )
    loop.run(loop.begin(list(gmvae.parameters())), told.append)
    objectives = [progress.metrics["objective"] for progress in told]
    parameters = {name: value.detach() for name, value in gmvae.named_parameters()}
    return {"parameters": parameters, "objectives": torch.tensor(objectives, dtype=dtype)}


def crossed(processes):
    """Two networks, the second asked of the first one's answers in another order of the rows."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Flatten(), nn.Linear(SHAPE[1] * SHAPE[2], 2)).double()
    second = nn.Linear(2, 1).double()
    both = nn.ModuleList([first, second])

    def objective(x, y, size):
        return size * (second(first(x).flip(0)).tanh() - x.mean((1, 2, 3))[:, None]).square().mean()

    loop = Loop(
        objective,
        None,
        Precise(pixels(), None),
        SCHEDULE,
        generator=seeded(),
        processes=processes,
        networks=[Network(first, 3), Network(second, 1)],
    )
    loop.run(loop.begin(both.parameters()))
    return {name: value.detach() for name, value in both.named_parameters()}


def rows_seen(processes):
    """The rows that this process asks a network of, a list a batch, and the order of all."""
    seen, orders, net = [], [], nn.Linear(1, 1)
    whole = Network(nn.Sequential(nn.Flatten(), net), 3)
    net.register_forward_pre_hook(lambda module, x: seen.append(x[0][:, 0].tolist()))
    images = Images(np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1), None)

    def objective(x, y, size):
        orders.append(x.flatten().tolist())
        return size * whole.module(x).square().mean()

    loop = Loop(
        objective, None, images, SCHEDULE, generator=seeded(), processes=processes, networks=[whole]
    )
    loop.run(loop.begin(net.parameters()))
    return {"seen": seen, "orders": orders}


class Asks:
    """Counts how often it is asked, and answers yes at some."""

    def __init__(self, at=0):
        self.at, self.n = at, 0

    def __call__(self):
        self.n += 1
        return self.n == self.at


def digits():
    return load("digits", part="train").only([1, 4, 8]).subset(slice(0, 120))


def whole_run(fabric, folder=None, stop=None, callback=None, images=None):
    """A short fit: all that it has learned, and its history."""
    result = fit(
        digits() if images is None else images,
        SETTINGS,
        fabric=fabric,
        checkpoint=folder,
        stop=stop,
        callback=callback,
    )
    record = {"parameters": dict(result.gmvae.state_dict()), "warnings": result.warnings}
    return record | {"history": result.history, "figures": result.figures}


def runs(fabric, folder):
    """Fits: undisturbed; stopped at two steps and taken up; ended by a callback."""
    told = []
    results = {"undisturbed": whole_run(fabric, callback=told.append), "told": len(told)}
    asks = []
    for at in (10, 8, 0):
        asks.append(Asks(at))
        try:
            results["resumed"] = whole_run(fabric, folder, asks[-1])
        except InterruptedRunError:
            continue
    results["asked"] = [ask.n for ask in asks]
    ended = whole_run(fabric, callback=lambda now: STOP if now.phase == "joint" else None)
    results["ended"] = ended
    others = digits().subset(slice(0, 120 - fabric.global_rank))
    try:
        whole_run(fabric, images=others)
    except ArgumentError as error:
        results["error"] = str(error)
    return results


def main(out):
    from lightning_fabric import Fabric

    EFFORTS["standard"] = 0.01
    clustering.PROMINENT = PROMINENT
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    processes = Processes(fabric)
    results = {kind: trained(processes, *what) for kind, what in KINDS.items()}
    results["rows"] = rows_seen(processes)
    results["crossed"] = crossed(processes)
    results["runs"] = runs(fabric, out / "checkpoints")
    torch.save(results, out / f"{fabric.global_rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
