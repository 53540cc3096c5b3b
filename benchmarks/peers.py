"""Other libraries' steps and epochs of a model of ours, where they are installed.

``pip install '.[benchmark]'`` has them; without, there is nothing to time.
"""

import importlib.util
import io
import os
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

import torch
from torch import Tensor, nn

from gmvae import GMVAE
from gmvae.data import Images
from gmvae.probability.evidence import Bound
from gmvae.training.loop import Loop, Schedule

Step = Callable[[], object]


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def numpyro_step(model: GMVAE, x: Tensor) -> Step:
    """NumPyro's jitted bound and its gradient, of a model with y summed out and diagonal Gaussians.

    Parameters are ours, images a batch (B, 1, H, W) of Bernoulli pixels.
    """
    # Before XLA is loaded: torch has one thread, too.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp
    import numpyro
    from jax.nn import softplus
    from numpyro import distributions as dist

    prior, encoder = model.model.prior, model.guide.encoder
    floor = prior.floor
    parameters = {
        "features": [_linear(layer) for layer in _linears(encoder.features)],
        "loc": _linear(encoder.loc),
        "scale": _linear(encoder.raw_scale),
        "decoder": [_linear(layer) for layer in _linears(model.model.decoder)],
        "prior": tuple(_array(p) for p in (prior.logits, prior.means, prior.raw_scales)),
    }

    def layer(value: Any, weights: Any) -> Any:
        return value @ weights[0].T + weights[1]

    def mixture_model(p: Any, images: Any) -> None:
        logits, means, raw_scales = p["prior"]
        gaussians = dist.Normal(means, floor + softplus(raw_scales)).to_event(1)
        with numpyro.plate("images", len(images)):
            p_z = dist.MixtureSameFamily(dist.Categorical(logits=logits), gaussians)
            h = numpyro.sample("z", p_z)
            for weights in p["decoder"][:-1]:
                h = jax.nn.relu(layer(h, weights))
            # Grey pixels are probabilities of white ones, as in ours.
            p_x = dist.Bernoulli(logits=layer(h, p["decoder"][-1]), validate_args=False)
            numpyro.sample("x", p_x.to_event(1), obs=images)

    def guide(p: Any, images: Any) -> None:
        h = images
        for weights in p["features"]:
            h = jax.nn.relu(layer(h, weights))
        scale = softplus(layer(h, p["scale"])) + 1e-4
        with numpyro.plate("images", len(images)):
            numpyro.sample("z", dist.Normal(layer(h, p["loc"]), scale).to_event(1))

    elbo = numpyro.infer.Trace_ELBO()

    def loss(p: Any, key: Any, images: Any) -> Any:
        return elbo.loss(key, {}, mixture_model, guide, p, images)

    images = jnp.asarray(x.flatten(1).numpy())
    graded = jax.jit(jax.value_and_grad(loss))
    keys = iter(jax.random.split(jax.random.key(0), 10_000))

    def step() -> Any:
        return jax.block_until_ready(graded(parameters, next(keys), images))

    theirs, ours = float(step()[0]), Bound(model.model, model.guide)(x).item()
    # One draw of z an image, by other generators.
    assert abs(theirs - ours) < 0.01 * abs(ours), (theirs, ours)
    return step


def vade_epochs(
    hidden: tuple[int, ...], images: Images, model: GMVAE, batch: int
) -> dict[str, Step]:
    """An epoch of ours, of a model with y summed out and diagonal Gaussians, and of ClustPy's VaDE.

    VaDE is that model; its network has the same layers, its loss binary cross-entropy, too.
    """
    from clustpy.deep import get_dataloader
    from clustpy.deep.neural_networks import VariationalAutoencoder
    from clustpy.deep.vade import _VaDE_Module

    pixels = images.tensor().flatten(1)
    prior = model.model.prior
    layers = [pixels.shape[1], *hidden, prior.latent_dim]
    network = VariationalAutoencoder(layers, activation_fn=nn.ReLU, work_on_copy=False)
    vade = _VaDE_Module(prior.n_components, prior.latent_dim)
    parameters = [*network.parameters(), *vade.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=1e-3)
    loader = get_dataloader(pixels, batch, shuffle=True)

    def theirs() -> None:
        cpu, of_pixels = torch.device("cpu"), nn.BCELoss()
        with redirect_stderr(io.StringIO()):  # A bar of its own.
            vade.fit(network, loader, loader, 1, cpu, optimiser, of_pixels, 1.0, 1.0)

    objective = Bound(model.model, model.guide)
    loop = Loop(objective, model.guide, images, Schedule(1, batch))

    def ours() -> None:
        loop.run(loop.begin(list(objective.parameters())))

    return {"ClustPy's VaDE": theirs, "the bound": ours}


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def _linear(layer: nn.Linear) -> tuple[Any, Any]:
    return _array(layer.weight), _array(layer.bias)


def _array(parameter: Tensor) -> Any:
    return parameter.detach().numpy().copy()
