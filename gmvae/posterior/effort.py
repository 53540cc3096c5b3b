"""How much is done for an image."""

from dataclasses import dataclass

from gmvae.support import checks

# Draws of a proposal at a time: k-hat of fewer says little.
LEAST_DRAWS = 500


def proposed(n_draws: int) -> int:
    """Draws of a proposal at a time, where so many are kept."""
    return max(n_draws, LEAST_DRAWS)


@dataclass(frozen=True)
class Effort:
    """The most that is done for an image that the guide alone does not explain.

    Attributes:
        starts: climbs to the modes, of every image, the guide's mean among them; 0: none, and
            where no draw of the guide lies there is nobody who sees it.
        rounds: of proposals around the modes, each fitted to the weighted draws so far; 0, or no
            ``starts``: none.
        hmc_draws: of each of four chains of Hamiltonian Monte Carlo, after the rounds; 0, or no
            rounds: none. Where they do not agree, once more and twice as long.
    """

    starts: int = 6
    rounds: int = 10
    hmc_draws: int = 500

    def __post_init__(self) -> None:
        for name, least in (("starts", 0), ("rounds", 0), ("hmc_draws", 0)):
            checks.whole(name, getattr(self, name), least=least)
