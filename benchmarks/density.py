"""How good a density: MNIST made black and white anew in every step, log p(x) by 5,000 draws.

    python benchmarks/density.py --minutes 360

One stochastic layer, two layers of 300 in encoder and decoder (Burda, Grosse and Salakhutdinov,
*Importance weighted autoencoders*, ICLR 2016), no views and no clusters: the bound alone. The rows
differ in the prior and in q(z | x), and are trained for the same time each, in turns. MNIST is
taken from the data root GMVAE_DATA_ROOT; the test images are made black and white once, by seed 0.
"""

import argparse
import time
from dataclasses import dataclass

import torch
from runs import circumstances
from torch import Generator, Tensor

import gmvae
from gmvae.config import Config
from gmvae.data import load
from gmvae.probability.evidence import Bound, log_evidence

LATENT_DIM, HIDDEN = 40, (300, 300)
BATCH_SIZE, N_DRAWS = 128, 5_000
# Adam's rate, over the last third of the time a tenth of it.
LR, LATE_LR = 1e-3, 1e-4
# Steps, some seconds, before it is the next row's turn.
TURN = 200
# Test images at once: their draws are 150 MB of pixels.
AT_ONCE = 10


@dataclass(frozen=True)
class Row:
    """A prior of so many components, N(0, I) of one, and a kind of guide."""

    n_components: int
    guide: str

    @property
    def title(self) -> str:
        """In words."""
        prior = "N(0, I)" if self.n_components == 1 else f"{self.n_components} Gaussians, learned"
        return f"{prior} | {self.guide}"

    def model(self) -> gmvae.GMVAE:
        """Of y summed out, so that the bound needs no q(y | x)."""
        config = Config(
            (1, 28, 28),
            self.n_components,
            latent_dim=LATENT_DIM,
            covariance="diagonal",
            hidden=HIDDEN,
            guide=self.guide,
            assignment="exact",
            grey=False,
        )
        model = gmvae.GMVAE(config)
        if self.n_components == 1:
            one = torch.ones(1)
            model.model.prior.set(one, torch.zeros(1, LATENT_DIM), torch.eye(LATENT_DIM)[None])
            model.model.prior.requires_grad_(False)
        return model


ROWS = [Row(1, "diagonal"), Row(100, "diagonal"), Row(1, "mixture"), Row(100, "mixture")]


class Training:
    """One row's model, trained a turn at a time."""

    def __init__(self, row: Row) -> None:
        torch.manual_seed(0)
        self.row, self.model = row, row.model()
        self.generator = Generator().manual_seed(0)
        self.bound = Bound(self.model.model, self.model.guide)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, LR)
        self.seconds, self.steps = 0.0, 0

    def turn(self, images: Tensor, late: bool) -> None:
        """So many steps, and the seconds of the CPU that they took."""
        began = time.process_time()
        for group in self.optimizer.param_groups:
            group["lr"] = LATE_LR if late else LR
        for _ in range(TURN):
            rows = torch.randint(len(images), (BATCH_SIZE,), generator=self.generator)
            loss = self.bound(torch.bernoulli(images[rows] / 255, generator=self.generator))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.steps += TURN
        self.seconds += time.process_time() - began

    @torch.no_grad()
    def score(self, images: Tensor) -> tuple[float, float]:
        """The mean of -log p(x), in nats, and its standard error."""
        self.model.eval()
        generator = Generator().manual_seed(0)
        parts = [
            log_evidence(self.model.model, self.model.guide, x, N_DRAWS, generator)
            for x in images.split(AT_ONCE)
        ]
        values = torch.cat(parts)
        return -values.mean().item(), values.std().item() / len(values) ** 0.5


def main() -> None:
    """Train all rows, and print their table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=90.0, help="of the CPU, a row")
    parser.add_argument("--images", type=int, default=500, help="of the test part, that are scored")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 2, 3, 4], help="of the table")
    arguments = parser.parse_args()
    images = torch.as_tensor(load("mnist", part="train").pixels).float()
    test = load("mnist", part="test").subset(slice(0, arguments.images)).tensor()
    test = torch.bernoulli(test, generator=Generator().manual_seed(0))
    trainings = [Training(ROWS[number - 1]) for number in arguments.rows]
    most = 60 * arguments.minutes
    while unfinished := [t for t in trainings if t.seconds < most]:
        for training in unfinished:
            training.turn(images, late=training.seconds > 2 / 3 * most)
    print(
        f"| prior | q(z given x) | -log p(x), {len(test)} test images | standard error | epochs |"
    )
    print("|---|---|---|---|---|")
    for training in trainings:
        mean, error = training.score(test)
        epochs = training.steps * BATCH_SIZE / len(images)
        print(f"| {training.row.title} | {mean:.2f} | {error:.2f} | {epochs:.0f} |", flush=True)
    print(f"{arguments.minutes:g} minutes a row; {circumstances()}")


if __name__ == "__main__":
    main()
