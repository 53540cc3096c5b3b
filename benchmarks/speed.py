"""Where the time of a training step goes, as ratios within one process on one thread.

    python benchmarks/speed.py            # some half a minute
    python benchmarks/speed.py --check    # exit 1 where a ratio is above what is asked

Each row is the median of interleaved repeats of forward and backward. ``by hand`` is the same
bound in plain PyTorch, its formulas written out for one diagonal Gaussian q(z | x) and diagonal
components; ``by hand, compiled`` that function under ``torch.compile``; ``networks`` the encoder
and the decoder alone. With NumPyro and ClustPy at hand (``pip install '.[benchmark]'``), their
steps and epochs of the same model are timed, too: y is summed out there. Times are of one
process's CPU, which another one on the machine disturbs least.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from peers import installed, numpyro_step, vade_epochs
from runs import RESULTS, circumstances
from torch import Tensor, nn
from torch.nn import functional as F

import gmvae
from gmvae.config import Config
from gmvae.data import Images
from gmvae.networks import MLPFeatures
from gmvae.probability.evidence import Bound
from gmvae.training.phases import Joint
from gmvae.training.phases.phase import frozen_features, with_features_at_hand
from gmvae.training.regularisers import Batch
from gmvae.training.state import begin

Step = Callable[[], object]
# Of each, after three that are not counted.
REPEATS = 25
# What is asked of a ratio, by the name of its row.
MOST = {
    "small: the bound / by hand": 1.0,
    "large: the bound / by hand, compiled": 1.05,
    "large: the bound / networks": 1.35,
    "components: 1,000 / 10": 1.3,
    "jitted: the bound / NumPyro's": 1.1,
}
LEAST = {"epoch: ClustPy's VaDE / the bound": 2.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit 1 where a ratio is too large")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ratios: dict[str, float] = {}
    lines = ["| what | CPU ms a step |", "|---|---|"]
    for title, cases in all_cases():
        name = title.partition(":")[0]
        times = interleaved(cases)
        lines += [f"| {title}: {case} | {value:.2f} |" for case, value in times.items()]
        first, *others = times
        ratios |= {f"{name}: {first} / {other}": times[first] / times[other] for other in others}
    lines += ["", "| ratio | | asked |", "|---|---|---|"]
    lines += [f"| {name} | {value:.2f} | {asked(name)} |" for name, value in ratios.items()]
    lines += ["", ", ".join(f"{name}: {value}" for name, value in circumstances().items())]
    text = "\n".join(lines)
    (RESULTS / "speed.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    short = [
        f"{name}: {value:.2f}, asked {asked(name)}"
        for name, value in ratios.items()
        if not LEAST.get(name, 0) <= value <= MOST.get(name, math.inf)
    ]
    if given.check and short:
        print(*short, sep="\n", file=sys.stderr)
        return 1
    return 0


def asked(name: str) -> str:
    """What is asked of the ratio of that name, in words."""
    if name in LEAST:
        return f"at least {LEAST[name]}"
    return f"at most {MOST[name]}" if name in MOST else ""


def all_cases() -> Iterator[tuple[str, dict[str, Step]]]:
    """What is timed together, under its title."""
    yield "small: 784-256-128-2, K 3, batch 128", bounds((256, 128), 2, 3, 128)
    yield "large: 784-500-500-2000-10, K 10, batch 256", bounds((500, 500, 2000), 10, 10, 256)
    full = "784-256-128-10, full covariances, batch 256"
    for name, cases in components((10, 1_000)).items():
        yield f"{name}: {full}", cases
    with joint() as cases:
        yield "joint: the default step on MNIST's shape, 10-D, K 10, batch 128", cases
    if installed("jax", "numpyro"):
        yield "jitted: 784-256-128-2, K 3, batch 128", jitted()
    if installed("clustpy"):
        title = "epoch: 2,048 images, 784-500-500-2000-10, K 10, batch 256"
        images = Images(np.random.default_rng(0).integers(0, 256, (2_048, 1, 28, 28), np.uint8))
        yield (
            title,
            vade_epochs((500, 500, 2000), images, summed_out((500, 500, 2000), 10, 10), 256),
        )


def interleaved(cases: Mapping[str, Step]) -> dict[str, float]:
    """The median CPU milliseconds of each, one after the other in turn."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(REPEATS + 3):
        for name, step in cases.items():
            began = time.process_time()
            step()
            if repeat >= 3:
                times[name].append(1e3 * (time.process_time() - began))
    return {name: statistics.median(values) for name, values in times.items()}


class Assigner(nn.Module):
    """q(y | x) by an MLP."""

    def __init__(self, n_components: int) -> None:
        super().__init__()
        self.features = MLPFeatures((1, 28, 28), (256,))
        self.logits = nn.Linear(256, n_components)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, H, W)."""
        logits: Tensor = self.logits(self.features(x))
        return logits


def made(hidden: tuple[int, ...], latent_dim: int, n_components: int) -> gmvae.GMVAE:
    """A model whose bound is short to write down."""
    config = Config(
        (1, 28, 28),
        n_components,
        latent_dim=latent_dim,
        covariance="diagonal",
        hidden=hidden,
        guide="diagonal",
    )
    return gmvae.GMVAE(config, assigner=Assigner(n_components))


def bounds(
    hidden: tuple[int, ...], latent_dim: int, n_components: int, batch_size: int
) -> dict[str, Step]:
    """The bound of the library, and the same by hand."""
    model, x = made(hidden, latent_dim, n_components), torch.rand(batch_size, 1, 28, 28)
    bound = Bound(model.model, model.guide)
    torch.manual_seed(1)
    by_library = bound(x)
    torch.manual_seed(1)
    torch.testing.assert_close(by_library, by_hand(model, x), rtol=1e-4, atol=1e-2)
    compiled = torch.compile(by_hand, dynamic=False)

    return {
        "the bound": stepping(model, lambda: bound(x)),
        "by hand": stepping(model, lambda: by_hand(model, x)),
        "by hand, compiled": stepping(model, lambda: compiled(model, x)),
        "networks": stepping(model, lambda: networks(model, x)),
        "by Pyro's TraceEnum_ELBO": stepping(model, lambda: model.elbo_module()(x)),
    }


def networks(model: gmvae.GMVAE, x: Tensor) -> Tensor:
    """The sums of what encoder, decoder and, where there is one, the assigner answer."""
    loc, scale = model.guide.encoder(x)
    answers = [scale, model.model.decoder(loc)]
    if model.guide.assigner is not None:
        answers.append(model.guide.assigner(x))
    return torch.stack([answer.sum() for answer in answers]).sum()


def by_hand(model: gmvae.GMVAE, x: Tensor) -> Tensor:
    """Minus the bound, every formula written out."""
    prior, guide = model.model.prior, model.guide
    loc, scale = guide.encoder(x)
    noise = torch.randn(1, *loc.shape)[0]
    z = loc + scale * noise
    half = 0.5 * math.log(2 * math.pi)
    log_q_z = (-0.5 * noise.square() - scale.log() - half).sum(-1)
    log_q_y = guide.assigner(x).log_softmax(-1)
    scales = prior.floor + F.softplus(prior.raw_scales)
    standard = (z.unsqueeze(1) - prior.means) / scales
    log_p_z = (-0.5 * standard.square() - scales.log() - half).sum(-1)
    log_joint = log_p_z + prior.logits.log_softmax(-1)
    about_y = (log_q_y.exp() * (log_joint - log_q_y)).sum(-1)
    logits = model.model.decoder(z)
    log_p_x = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
    return -(log_p_x + about_y - log_q_z).sum()


def components(numbers: tuple[int, ...]) -> dict[str, dict[str, Step]]:
    """The bound of full covariances with few components and with many, the latter first.

    With q(y | x) from a network, whose last layer grows, too; with y summed out; and the networks
    of the first alone.
    """
    x = torch.rand(256, 1, 28, 28)
    cases: dict[str, dict[str, Step]] = {"components": {}, "summed out": {}, "networks": {}}
    for n in sorted(numbers, reverse=True):
        settings: dict[str, Any] = {"latent_dim": 10, "hidden": (256, 128), "guide": "full"}
        amortised = gmvae.GMVAE(Config((1, 28, 28), n, **settings), assigner=Assigner(n))
        exact = gmvae.GMVAE(Config((1, 28, 28), n, assignment="exact", **settings))
        for name, model in (("components", amortised), ("summed out", exact)):
            bound = Bound(model.model, model.guide)
            cases[name][f"{n:,}"] = stepping(model, partial(bound, x))
        cases["networks"][f"{n:,}"] = stepping(amortised, partial(networks, amortised, x))
    return cases


def summed_out(hidden: tuple[int, ...], latent_dim: int, n_components: int) -> gmvae.GMVAE:
    """A model without q(y | x), as others have it."""
    kind: dict[str, Any] = {"covariance": "diagonal", "guide": "diagonal", "assignment": "exact"}
    size: dict[str, Any] = {"latent_dim": latent_dim, "hidden": hidden}
    return gmvae.GMVAE(Config((1, 28, 28), n_components, **size, **kind))


def jitted() -> dict[str, Step]:
    """The bound with y summed out, and NumPyro's."""
    model, x = summed_out((256, 128), 2, 3), torch.rand(128, 1, 28, 28)
    bound = Bound(model.model, model.guide)
    return {
        "the bound": stepping(model, lambda: bound(x)),
        "NumPyro's": numpyro_step(model, x),
        "networks": stepping(model, lambda: networks(model, x)),
    }


@contextmanager
def joint() -> Iterator[dict[str, Step]]:
    """The bound of the default model, and with the terms that train beside it.

    Within it the features of q(y | x) are frozen and at hand, as in the joint phase.
    """
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (1_024, 1, 28, 28), dtype=np.uint8))
    settings = gmvae.Settings(latent_dim=10, n_components=10)
    model = gmvae.GMVAE(Config(images.shape, 10, latent_dim=10))
    state = begin(model, settings, np.full(len(images), -1), None)
    terms = Joint().regularisers(state, images)
    rows = torch.arange(128)
    bound, by_pyro = Bound(model.model, model.guide), model.elbo_module()
    with frozen_features(state.assigner) as frozen:
        before_step = with_features_at_hand(frozen, images, state.device)
        assert before_step is not None

        def batch() -> Batch:
            drawn = Batch(images.tensor(slice(0, len(rows))))
            before_step(drawn.x, rows)
            return drawn

        def whole() -> Tensor:
            drawn = batch()
            loss: Tensor = bound(drawn.x) / len(rows)
            for term in terms:
                loss = loss - term(model.guide, drawn)
            return loss

        yield {
            "the bound": stepping(model, lambda: bound(batch().x)),
            "by Pyro's TraceEnum_ELBO": stepping(model, lambda: by_pyro(batch().x)),
            "with the terms beside it": stepping(model, whole),
        }


def stepping(model: gmvae.GMVAE, loss: Callable[[], Tensor]) -> Step:
    """Forward and backward."""

    def step() -> None:
        model.zero_grad()
        loss().backward()

    return step


if __name__ == "__main__":
    sys.exit(main())
