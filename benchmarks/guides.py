"""Which q(z | x): guides of each kind, with and without the phase that widens them to cover.

    python benchmarks/guides.py --seeds 3

The digits 1, 4 and 8 of scikit-learn as ``gmvae train`` takes them, five labels a class; each guide
is trained to the end of the joint phase, measured, and measured again after the phase `covering`,
for each widening that is named. Figures are of the test part, of 500 draws an image: ``certified``
is the share of images with k-hat below its limit and an effective sample size of at least 100,
``of black and white`` the same where pixels are made black or white at random.
"""

import argparse
import copy
import json
import statistics
import time
from dataclasses import replace

import numpy as np
import torch
from runs import RESULTS, circumstances

import gmvae
from gmvae.data import Images
from gmvae.diagnostics import calibration, simulation
from gmvae.diagnostics.draws import Draws, draw
from gmvae.diagnostics.evaluation import evaluate
from gmvae.diagnostics.model_checks import binarised
from gmvae.diagnostics.verdict import khat_threshold
from gmvae.posterior.pareto import effective_size
from gmvae.posterior.resampling import systematic
from gmvae.training.phases import Covering
from gmvae.training.recipe import recipe
from gmvae.training.state import begin

DRAWS, ENOUGH = 500, 100
Figures = dict[str, float]


def main() -> None:
    """Run what has not run, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--guides", nargs="+", default=["diagonal", "full", "mixture"])
    parser.add_argument("--widenings", nargs="+", type=float, default=[1.0, 1.15, 1.25])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(arguments.seeds):
        for kind in arguments.guides:
            path = RESULTS / "guides" / f"{kind}-seed-{seed}.json"
            if not path.exists():
                rows = compared(kind, seed, arguments.widenings)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({**rows, **circumstances()}, indent=2) + "\n", "utf-8")
    write_table()


def compared(kind: str, seed: int, widenings: list[float]) -> dict[str, Figures]:
    """Figures without the last phase, and with it by widening."""
    train, test = (gmvae.load("digits", part=part).only([1, 4, 8]) for part in ("train", "test"))
    settings = gmvae.Settings(n_components=3, guide=kind, seed=seed)
    observed = five_labels(train, seed)
    phases = recipe(settings, len(train), labels_lead=True)
    began = time.process_time()
    model = gmvae.fit(train, settings, observed=observed, phases=phases[:-1]).gmvae
    before = time.process_time() - began
    rows = {"without": {**measured(model, train, test), "cpu_seconds": before}}
    for widening in widenings:
        one = copy.deepcopy(model)
        began = time.process_time()
        cover(one, train, settings, widening)
        spent = before + time.process_time() - began
        rows[f"{widening:g}"] = {**measured(one, train, test), "cpu_seconds": spent}
    return rows


def five_labels(images: Images, seed: int) -> np.ndarray:
    """The classes of five images a class, -1 elsewhere."""
    rng = np.random.default_rng(seed)
    observed = np.full(len(images), -1)
    for value in images.classes:
        rows = rng.choice(np.flatnonzero(images.labels == value), 5, replace=False)
        observed[rows] = value
    return observed


def cover(model: gmvae.GMVAE, images: Images, settings: gmvae.Settings, widening: float) -> None:
    """The last phase alone."""
    torch.manual_seed(settings.seed)
    state = begin(model.train(), settings, np.full(len(images), -1), None)
    replace(Covering(), widening=widening).run(state, images)
    model.guide.assigner.to(memory_format=torch.contiguous_format)
    model.eval()


def measured(model: gmvae.GMVAE, train: Images, test: Images) -> Figures:
    """Every figure of one model."""
    generator = torch.Generator().manual_seed(0)
    found = evaluate(model, test, generator=generator)
    pair = model.model, model.guide
    x = test.tensor()
    torch.manual_seed(0)
    draws = [draw(*pair, images, DRAWS) for images in (x, binarised(model.model, x))]
    simulated = simulation.simulate(*pair, 1_000)
    weighted = draw(*pair, simulated.x, DRAWS)
    curve = calibration.reliability(weighted.p_y, simulated.y.numpy())
    return {
        "accuracy": found["acc"],
        "accuracy_latent": found["acc_latent"],
        "one_minus_mse": found["one_minus_mse"],
        "ssim": found["ssim"],
        "minus_elbo_train": -float(model.elbo(train, 20, generator).elbo.mean()),
        "minus_elbo_test": -float(model.elbo(test, 20, generator).elbo.mean()),
        "log_p": float(draws[0].log_evidence.mean()),
        "gap_z": float(draws[0].gap_z.mean()),
        "gap_y": float(draws[0].gap_y.mean()),
        "total_variation_y": float(draws[0].total_variation.mean()),
        "khat_good": float((draws[0].khat <= khat_threshold(DRAWS)).mean()),
        "certified": certified(draws[0]),
        "certified_binarised": certified(draws[1]),
        "calibration_p": simulation.ranks_among(resampled(weighted), simulated).p_value,
        "calibration_error_simulated": curve.ece,
        "step_ms": step_ms(model, train),
    }


def resampled(draws: Draws) -> np.ndarray:
    """99 draws of equal weight an image, (N, 99, D), by the weights of the guide's draws."""
    rows = systematic(np.exp(draws.smoothed.T), 99, np.random.default_rng(1))
    return draws.z[rows, np.arange(len(rows))[:, None]]


def certified(draws: Draws) -> float:
    """The share of images whose draws make a reliable estimate."""
    enough = effective_size(draws.smoothed.T) >= ENOUGH
    return float(((draws.khat <= khat_threshold(len(draws.z))) & enough).mean())


def step_ms(model: gmvae.GMVAE, images: Images, n: int = 30) -> float:
    """CPU milliseconds of one step on the bound, 128 images, without the optimiser's."""
    objective, x = model.elbo_module(), images.tensor(slice(128))
    objective(x, None, size=len(images)).backward()
    began = time.process_time()
    for _ in range(n):
        objective(x, None, size=len(images)).backward()
    spent = (time.process_time() - began) / n
    model.zero_grad()
    return 1_000 * spent


def write_table() -> None:
    """Means over the seeds, a line a guide and widening."""
    files = sorted((RESULTS / "guides").glob("*-seed-*.json"))
    kinds = list(dict.fromkeys(path.name.split("-seed-")[0] for path in files))
    lines: list[str] = []
    for kind in kinds:
        runs = [json.loads(p.read_text("utf-8")) for p in files if p.name.startswith(f"{kind}-")]
        for way in [key for key, value in runs[0].items() if isinstance(value, dict)]:
            rows = [run[way] for run in runs if way in run]
            if not lines:
                names = list(rows[0])
                lines = ["| guide, widening | seeds | " + " | ".join(names) + " |"]
                lines.append("|---" * (len(names) + 2) + "|")
            cells = [f"{statistics.mean(row[name] for row in rows):.4g}" for name in names]
            lines.append(f"| {kind}, {way} | {len(rows)} | " + " | ".join(cells) + " |")
    (RESULTS / "guides.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
