"""From a model and its images to one page of HTML."""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from gmvae.data import Images
from gmvae.explore.decoder import check_dimensions, program
from gmvae.explore.numbers import packed
from gmvae.explore.points import groups, points
from gmvae.gmvae import GMVAE
from gmvae.plots import Told
from gmvae.plots.plane import Plane, gaussians, limits
from gmvae.plots.style import array, even_share
from gmvae.report.page import environment
from gmvae.support import checks
from gmvae.support.errors import ArgumentError
from gmvae.support.version import VERSION

# More points only hide each other, and a browser has to draw all of them at each step.
MOST_POINTS = 20_000
# Of the page's script, in this order: one scope.
SCRIPTS = (
    *("numbers", "decoder", "mixture", "marks", "state", "plot", "panels", "path", "finding"),
    *("gestures", "main"),
)
PACKAGE = "gmvae.explore"


def page(model: GMVAE, images: Images, title: str | None = None, *, served: bool = False) -> str:
    """A page to explore the latent space of a model, as HTML: it is whole and loads nothing.

    It shows the encoded images, of more than 20,000 an even share, and the mixture over them; the
    decoder, its weights inside, runs in the browser. Above two latent dimensions it shows the plane
    in which the components lie apart most.

    Args:
        model: a trained model.
        images: to show, (C, H, W) each, as the model takes them.
        title: of the page; by default the name of the images.
        served: whether the page leaves the decoder to the server that it comes from, see
            :func:`gmvae.explore.server`.

    Raises:
        ArgumentError: more than 64 latent dimensions; and where the page is not served, a decoder
            or a likelihood of the user's own, or a model too large for a page: more than 8,388,608
            numbers or 134,217,728 multiplications an image.
        ContentError: images that do not fit the model.
    """
    checks.instance("model", model, GMVAE, "a gmvae.GMVAE")
    checks.instance("images", images, Images, "gmvae.Images", "Make them by gmvae.load.")
    if not len(images):
        raise ArgumentError("`images` expected at least one; got none. Give some.")
    check_dimensions(model)
    decoder = None if served else program(model)
    rows = even_share(len(images), MOST_POINTS)
    told = Told(model, images if len(rows) == len(images) else images.subset(rows))
    plane = Plane.parting(model, told.latents)
    means, covariances = gaussians(model, plane)
    data = {
        "image": list(images.shape),
        "decoder": decoder and {**vars(decoder), "weights": packed(decoder.weights, "f4")},
        "mixture": _mixture(model),
        "plane": {
            "origin": plane.origin.tolist(),
            "axes": plane.axes.tolist(),
            "means": means.tolist(),
            "covariances": covariances.tolist(),
            "limits": limits(plane.project(told.latents), means, covariances).tolist(),
        },
        "groups": groups(told),
        "points": points(told, rows),
    }
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        environment(PACKAGE)
        .get_template("explore.html")
        .render(
            page={"title": f"Latent space of {images.name}" if title is None else title},
            version=VERSION,
            data=data,
            served=served,
            plane=plane,
            n_images=len(images),
            n_points=len(rows),
            n_dimensions=model.config.latent_dim,
            script=Markup(script),
            script_hash=digest,
        )
    )


def _mixture(model: GMVAE) -> dict[str, Any]:
    r"""What p(y | z) is worked out from.

    .. math:: \ln \pi_k + \ln p(z \mid k) = c_k - \tfrac12 \|L_k^{-1} (z - \mu_k)\|^2,\quad
              c_k = \ln \pi_k - \ln |L_k|

    up to what all components share.
    """
    prior = model.model.prior
    constants, whitening = prior.whitened()
    return {
        "constants": packed(array(constants), "f8"),
        "means": packed(array(prior.means), "f8"),
        "whitening": packed(array(whitening), "f8"),
    }


def _script() -> str:
    """The page's script, which is run in one scope of its own."""
    folder = files(PACKAGE) / "templates"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join(['"use strict";', "(() => {", *parts, "})();"])
