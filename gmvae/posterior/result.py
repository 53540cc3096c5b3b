"""The posteriors of N images.

N images, S draws, D latent dimensions, K components.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gmvae.posterior.block import ROUTES, Block
from gmvae.posterior.pareto import Array
from gmvae.posterior.schema import GROUPS, VARIABLES, laid_out

if TYPE_CHECKING:
    import xarray as xr


class Pace(NamedTuple):
    """How far the work has come.

    Attributes:
        done: images that have their posterior.
        total: images in all.
        seconds: since the first began.
        routes: how many got theirs by which way.
    """

    done: int
    total: int
    seconds: float
    routes: dict[str, int]

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.done / max(self.seconds, 1e-9)


class Posterior:
    """p(z, y | x) of N images: draws, figures, and by which way each got them.

    Attributes:
        tree: all of it in ArviZ's schema, groups ``posterior`` (``z``, draws of equal weight) and
            ``sample_stats`` (the rest), over ``chain``, ``draw``, ``image``, ``latent``,
            ``component`` and ``pixel``. Each variable says in ``attrs["about"]`` what it is.
    """

    def __init__(self, tree: "xr.DataTree") -> None:
        self.tree = tree

    @classmethod
    def joined(cls, blocks: Iterable[Block]) -> "Posterior":
        """Of the blocks, in their order."""
        laid = [laid_out(block) for block in blocks]
        # A third of a second, which every command would wait for.
        import xarray as xr

        groups: dict[str, dict[str, xr.Variable]] = {name: {} for name in GROUPS}
        for name in laid[0]:
            group, dims, about = VARIABLES[name]
            array = np.concatenate([arrays[name] for arrays in laid], axis=dims.index("image"))
            groups[group][name] = xr.Variable(dims, array, {"about": about})
        datasets = {}
        for name, variables in groups.items():
            dataset = xr.Dataset(variables, attrs={"about": GROUPS[name]})
            coords = {dim: np.arange(size) for dim, size in dataset.sizes.items()}
            datasets[name] = dataset.assign_coords(coords)
        tree = xr.DataTree.from_dict(datasets)
        tree.attrs["inference_library"] = "gmvae"
        return cls(tree)

    def __repr__(self) -> str:
        """Sizes, and how many images got their draws by which way."""
        sizes = self.tree["posterior"].sizes
        return (
            f"Posterior({sizes['image']:,} images, {sizes['draw']:,} draws of "
            f"{sizes['latent']} latent dimensions; {words_of(self.routes)})"
        )

    def __len__(self) -> int:
        return int(self.tree["posterior"].sizes["image"])

    @property
    def z(self) -> Array:
        """Draws of equal weight, (N, S, D)."""
        return np.moveaxis(self.tree["posterior"]["z"].to_numpy()[0], 0, 1)

    @property
    def p_y(self) -> Array:
        """p(y | x), (N, K)."""
        return self._stat("p_y")

    @property
    def log_evidence(self) -> Array:
        """Log p(x), (N,) nats."""
        return self._stat("log_evidence")

    @property
    def pixels(self) -> Array:
        """Expected pixels of a replicate, (N, C H W)."""
        return self._stat("pixels")

    @property
    def route(self) -> Array:
        """``guide``, ``refined``, ``hmc`` or ``unresolved``, (N,)."""
        return self._stat("route")

    @property
    def certified(self) -> Array:
        """Whether the draws are good, (N,): not where they are ``unresolved``."""
        return np.asarray(self.route != "unresolved")

    @property
    def routes(self) -> dict[str, int]:
        """How many images got their draws by which way."""
        route = self.route
        return {name: int((route == name).sum()) for name in ROUTES}

    def _stat(self, name: str) -> Array:
        return np.asarray(self.tree["sample_stats"][name].to_numpy())


class Tally:
    """What is known of blocks that are not kept.

    Attributes:
        routes: how many images got their draws by which way.
        unresolved: the numbers of those without a certificate.
        khats: k-hats of the weights of each, but of those by ``hmc``, whose are of no account.
        sizes: the effective sample size of each.
    """

    def __init__(self) -> None:
        self.routes = dict.fromkeys(ROUTES, 0)
        self.unresolved: list[int] = []
        self.khats: list[float] = []
        self.sizes: list[float] = []
        self._sum = self._variance = 0.0

    def add(self, block: Block) -> None:
        """Count the next block."""
        last = ROUTES.index("unresolved")
        before = self.n_images
        self.unresolved += (before + np.flatnonzero(block.route == last)).tolist()
        self.khats += block.khat[block.route != ROUTES.index("hmc")].tolist()
        self.sizes += block.ess.tolist()
        counts = np.bincount(block.route, minlength=len(ROUTES)).tolist()
        for name, count in zip(ROUTES, counts, strict=True):
            self.routes[name] += count
        self._sum += float(block.log_evidence.sum())
        self._variance += float((block.log_evidence_mcse**2).sum())

    @property
    def n_images(self) -> int:
        """N so far."""
        return sum(self.routes.values())

    @property
    def log_evidence(self) -> float:
        """The mean of log p(x), nats."""
        return self._sum / self.n_images

    @property
    def log_evidence_mcse(self) -> float:
        """Its Monte Carlo standard error: by the draws, not by the choice of images."""
        return math.sqrt(self._variance) / self.n_images

    @property
    def certified(self) -> float:
        """The share of the images whose draws are good."""
        return 1 - self.routes["unresolved"] / self.n_images

    def record(self) -> dict[str, Any]:
        """All of it, ready for JSON; no k-hats where all images have chains."""
        khats, sizes = np.array(self.khats), np.array(self.sizes)
        return {
            "routes": self.routes,
            "certified": self.certified,
            "unresolved": self.unresolved,
            "khat": {"median": float(np.median(khats)), "largest": float(khats.max())}
            if len(khats)
            else None,
            "ess": {"median": float(np.median(sizes)), "smallest": float(sizes.min())},
            "log_evidence": self.log_evidence,
            "log_evidence_mcse": self.log_evidence_mcse,
        }


def words_of(routes: dict[str, int]) -> str:
    """``133 certified (42 guide, 91 refined), 1 unresolved``."""
    ways = ", ".join(f"{n:,} {way}" for way, n in routes.items() if n and way != "unresolved")
    unresolved = routes["unresolved"]
    certified = sum(routes.values()) - unresolved
    line = f"{certified:,} certified" + (f" ({ways})" if ways else "")
    return line + (f", {unresolved:,} unresolved" if unresolved else "")
