"""How many posteriors are certified, and what a certificate is worth.

``python benchmarks/posterior.py NAME RUN [DATA]`` takes a trained run and writes
``benchmarks/results/posterior/NAME.json``. Certified shares are of the images; coverage and
calibration of images that the model itself draws, whose z and y are known; in two dimensions
log p(x) and p(y | x) are compared with a sum over a grid.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gmvae_cli.run_folder import images_for, open_run
from runs import RESULTS, circumstances

from gmvae import GMVAE
from gmvae.diagnostics.calibration import reliability
from gmvae.diagnostics.certified import coverage
from gmvae.diagnostics.simulation import simulate
from gmvae.posterior import Posterior
from gmvae.posterior.pareto import khat_threshold
from gmvae.posterior.routes import LEAST_ESS

N_DRAWS = 500
# Beyond so many standard deviations of a component there is no mass that a figure shows.
WIDTHS = 6.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("run", type=Path)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--images", type=int, default=1_000, help="of the data, at most")
    parser.add_argument("--simulated", type=int, default=1_000)
    parser.add_argument("--grid", type=int, default=50, help="images compared with a grid")
    parser.add_argument("--points", type=int, default=700, help="of the grid, on each axis")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    run = open_run(given.run, "cpu")
    images, words = images_for(run, given.data, None, scored=False)
    x = images.tensor(slice(0, given.images))
    figures: dict[str, Any] = {
        "data": Path(words).name,
        "seed": given.seed,
        **circumstances(),
    }
    figures |= on_images(run.gmvae, x, given.seed)
    figures |= on_simulated(run.gmvae, given.simulated, given.seed)
    if run.gmvae.config.latent_dim == 2:
        figures |= on_grid(run.gmvae, x[: given.grid], given.seed, given.points)
    text = json.dumps(figures, indent=2)
    folder = RESULTS / "posterior"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{given.name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def drawn(gmvae: GMVAE, x: torch.Tensor, seed: int) -> Posterior:
    return gmvae.posterior(x, N_DRAWS, generator=torch.Generator().manual_seed(seed))


def stat(posterior: Posterior, name: str) -> Any:
    return posterior.tree["sample_stats"][name].to_numpy()


def on_images(gmvae: GMVAE, x: torch.Tensor, seed: int) -> dict[str, Any]:
    """Shares of the images by way, and what an image costs."""
    wall, cpu = time.perf_counter(), time.process_time()
    posterior = drawn(gmvae, x, seed)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    limit = khat_threshold(N_DRAWS)
    alone = (stat(posterior, "guide_khat") <= limit) & (stat(posterior, "guide_ess") >= LEAST_ESS)
    return {
        "images": len(x),
        "certified": float(posterior.certified.mean()),
        "routes": posterior.routes,
        "unresolved": np.flatnonzero(~posterior.certified).tolist(),
        "guide_alone_by_khat_and_size": float(alone.mean()),
        "largest_khat": float(stat(posterior, "khat").max()),
        "smallest_ess": float(stat(posterior, "ess").min()),
        "log_evidence": float(posterior.log_evidence.mean()),
        "largest_log_evidence_mcse": float(stat(posterior, "log_evidence_mcse").max()),
        "cpu_ms_an_image": round(1e3 * cpu / len(x), 1),
        "wall_ms_an_image": round(1e3 * wall / len(x), 1),
    }


def on_simulated(gmvae: GMVAE, n: int, seed: int) -> dict[str, Any]:
    """Coverage of central intervals of each latent, and calibration of p(y | x)."""
    truth = simulate(gmvae.model, gmvae.guide, n, seed + 1)
    posterior = drawn(gmvae, truth.x, seed)
    covered = {
        f"coverage_{level}": (100 * coverage(posterior.z, truth.z.numpy(), level / 100))
        .round(1)
        .tolist()
        for level in (50, 90)
    }
    q_y = gmvae.classify(truth.x).numpy()
    y = truth.y.numpy()
    return {
        "simulated": n,
        "simulated_certified": float(posterior.certified.mean()),
        **covered,
        "calibration_of_p_y": round(reliability(posterior.p_y, y).ece, 4),
        "calibration_of_q_y": round(reliability(q_y, y).ece, 4),
    }


@torch.no_grad()
def on_grid(gmvae: GMVAE, x: torch.Tensor, seed: int, n: int) -> dict[str, Any]:
    """Log p(x) and p(y | x) beside a sum over n x n points of the plane."""
    prior, likelihood = gmvae.model.prior, gmvae.model.likelihood
    spread = WIDTHS * prior.full_covariances.diagonal(dim1=1, dim2=2).sqrt()
    low, high = (prior.means - spread).amin(0).tolist(), (prior.means + spread).amax(0).tolist()
    axes = [torch.linspace(a, b, n) for a, b in zip(low, high, strict=True)]
    cell = float(np.prod([(axis[1] - axis[0]).item() for axis in axes]))
    joint = torch.full((len(x), prior.n_components), -torch.inf, dtype=torch.float64)
    for z in torch.cartesian_prod(*axes).split(2_000):
        log_x = likelihood(gmvae.model.decoder(z).unsqueeze(1)).log_prob(x).double()
        part = log_x.unsqueeze(-1) + prior.log_joint(z).double().unsqueeze(1)
        joint = torch.logaddexp(joint, part.logsumexp(0))
    posterior = drawn(gmvae, x, seed)
    error = stat(posterior, "log_evidence_mcse")
    off = posterior.log_evidence - (joint.logsumexp(-1).numpy() + np.log(cell))
    variation = np.abs(posterior.p_y - joint.softmax(-1).numpy()).sum(-1) / 2
    return {
        "grid": len(x),
        "smallest_sd_in_cells": round(float(stat(posterior, "sd").min() / cell**0.5), 1),
        "log_evidence_off": round(float(off.mean()), 4),
        "its_standard_error": round(float(np.sqrt((error**2).sum()) / len(x)), 4),
        "largest_off_in_standard_errors": round(float(np.abs(off / error).max()), 2),
        "total_variation_of_p_y": round(float(variation.mean()), 4),
        "largest_total_variation": round(float(variation.max()), 4),
    }


if __name__ == "__main__":
    main()
