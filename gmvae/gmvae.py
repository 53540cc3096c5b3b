"""Model and guide together: what one does with a trained pair."""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyro import poutine
from pyro.infer import ELBO, SVI
from pyro.optim import PyroOptim
from safetensors.torch import save
from torch import Generator, Tensor, nn

from gmvae.config import (
    CLASS_NAMES,
    FORMAT,
    MODULES,
    NAMES_BY_HAND,
    TRAINING,
    WEIGHTS_SHA256,
    Config,
    read_config,
)
from gmvae.data import Images
from gmvae.data.images import let_go, rows_at_once
from gmvae.networks import (
    Assigner,
    build_decoder,
    build_encoder,
    build_features,
    default_modes,
    in_eval_mode,
)
from gmvae.posterior.block import Block
from gmvae.posterior.effort import Effort
from gmvae.posterior.pareto import FEWEST_DRAWS
from gmvae.posterior.result import Pace, Posterior
from gmvae.posterior.routes import Plan
from gmvae.posterior.target import Points
from gmvae.posterior.work import batch_size, blocks_of
from gmvae.probability.dry_run import check_shapes
from gmvae.probability.evidence import Parts, elbo_parts, log_evidence
from gmvae.probability.guide import SAMPLED_RIGHTLY, Guide
from gmvae.probability.likelihood import Likelihood, check_support, named_likelihood
from gmvae.probability.model import Model
from gmvae.probability.objectives import check_module, check_svi, default_objective, samples_y
from gmvae.probability.prior import MixturePrior
from gmvae.streaming import Batch, batches_of
from gmvae.support import checks
from gmvae.support.card import CARD_FILE, card_text
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import CONFIG_FILE, WEIGHTS_FILE, replacing
from gmvae.support.html import html_table
from gmvae.support.hub import download, upload
from gmvae.support.weights import digest, read_weights, weights_file

# Images at a time. A CPU's cache holds what a network makes of so many: of 4,096 convolutions take
# more than twice as long an image, of 64 all networks a quarter (benchmarks/results/scoring).
ROWS = 1024

# What components are called: a class's word, or its number; None for one without a name.
Names = tuple[int | str | None, ...]


class GMVAE(nn.Module):
    """A :class:`~gmvae.Model` and its :class:`~gmvae.Guide`.

    Every query takes images as a tensor (N, C, H, W) in [0, 1] or as
    :class:`~gmvae.data.Images`, works in chunks (memory flat in N), needs no gradients and
    answers on the CPU.

    Args:
        config: sizes and kinds.
        encoder: a module of your own from (B, C, H, W) to location and scale, (B, D) each, or to
            the parameters of another q(z | x) (:mod:`gmvae.probability.families`).
        decoder: from (..., D) to the likelihood's parameters, (..., C, H, W).
        assigner: from (B, C, H, W) to logits of y, (B, K).
        likelihood: from the decoder's output to p(x | z); its ``normalised`` is taken at its word.

    Attributes:
        component_classes: the class that names each component, None for a component without a
            name; None as a whole where no label was observed.
        class_names: what a class stands for in words, where the classes came as words.
        names_by_hand: words for components, by their number; they go before the classes'.
        training_record: what it was trained on and how: ``data``, ``settings``, ``version`` and
            more, ready for JSON; None for a model that no ``fit`` made.
    """

    def __init__(
        self,
        config: Config,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        assigner: nn.Module | None = None,
        likelihood: Likelihood | None = None,
    ) -> None:
        super().__init__()
        checks.instance("config", config, Config, "a gmvae.Config")
        given = dict(zip(MODULES, (encoder, decoder, assigner, likelihood), strict=True))
        for name, module in given.items():
            if module is not None:
                checks.instance(name, module, nn.Module, "a torch.nn.Module")
        custom = tuple(name for name, module in given.items() if module is not None)
        if config.custom and set(config.custom) != set(custom):
            raise ArgumentError(
                f"`config` expected no module to be the user's but those given; got "
                f"custom={config.custom}. Give them, or leave `custom` out."
            )
        if config.assignment == "exact" and assigner is not None:
            raise ArgumentError(
                "`assigner` expected None with the exact assignment, where p(y | z) takes its "
                "place; got a module. Leave it out."
            )
        if likelihood is None:
            likelihood = named_likelihood(config.likelihood, config.grey)
        checks.instance(
            "likelihood",
            likelihood,
            Likelihood,
            "a gmvae.probability.Likelihood",
            "Derive it from that class.",
        )
        self.config = replace(config, custom=custom)
        self.component_classes: tuple[int | None, ...] | None = None
        self.class_names: dict[int, str] = {}
        self.names_by_hand: dict[int, str] = {}
        self.training_record: dict[str, Any] | None = None
        shape, d, k = config.image_shape, config.latent_dim, config.n_components
        prior = MixturePrior(k, d, config.covariance)
        if encoder is None:
            sizes = config.hidden, config.channels
            features = build_features(config.network, shape, *sizes)
            encoder = build_encoder(features, d, config.guide)
        if decoder is None:
            decoder = build_decoder(config.network, d, shape, config.hidden, config.channels)
        if assigner is None and config.assignment == "amortised":
            assigner = build_assigner(config)
        self.model = Model(decoder, prior, likelihood, config.assignment)
        self.guide = Guide(encoder, assigner, prior if assigner is None else None)
        if custom:
            with torch.no_grad(), in_eval_mode(self):
                check_shapes(self.model, self.guide, shape)

    def __repr__(self) -> str:
        """Image, mixture and kinds in a line; ``print(model.model)`` shows the networks."""
        c = self.config
        names = self.component_names
        named = "" if names is None else f", {sum(n is not None for n in names)} of them named"
        return (
            f"GMVAE({' x '.join(map(str, c.image_shape))} images, {c.n_components} components"
            f"{named}, {c.latent_dim} latent dimensions, {c.covariance} covariance, {c.network}, "
            f"{c.likelihood}, {c.assignment})"
        )

    def _repr_html_(self) -> str:
        """The same, with a row a component, for notebooks."""
        weights = self.model.prior.weights.tolist()
        rows = [
            (component_name(self.component_names, k), f"{weight:.3f}")
            for k, weight in enumerate(weights)
        ]
        return html_table(repr(self), rows, ("component", "weight"))

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.model.prior.means.device

    @property
    def component_names(self) -> Names | None:
        """What each component is called: its name by hand, else its class, in words or a number.

        None for a component without a name; None as a whole where none has one.
        """
        k = self.config.n_components
        classes = self.component_classes or (None,) * k
        words = (None if c is None else self.class_names.get(c, c) for c in classes)
        names = tuple(self.names_by_hand.get(i, word) for i, word in enumerate(words))
        return None if set(names) == {None} else names

    @property
    def own_modules(self) -> dict[str, Any]:
        """The networks and the likelihood that are the user's, by the names of the arguments."""
        modules = {
            "encoder": self.guide.encoder,
            "decoder": self.model.decoder,
            "assigner": self.guide.assigner,
            "likelihood": self.model.likelihood,
        }
        return {name: modules[name] for name in self.config.custom}

    def elbo_module(self, elbo: ELBO | None = None) -> nn.Module:
        """Pyro's ELBO as a module: (x, y, size) to minus the bound, summed over ``size``.

        Its parameters are those of model and guide together.

        Args:
            elbo: one with a differentiable loss; by default ``TraceEnum_ELBO``, or
                ``Trace_ELBO`` with the exact assignment. The page on Pyro objectives has a table.

        Raises:
            ArgumentError: an objective that would fail, or not train all of the guide.
        """
        assignment = self.config.assignment
        elbo = default_objective(assignment) if elbo is None else elbo
        check_module(elbo, assignment)
        module: nn.Module = elbo(self.model, self.guide)
        return module

    def svi(self, optimiser: PyroOptim, elbo: ELBO | None = None) -> SVI:
        """Pyro's SVI of the pair, whose ``step`` takes (x, y, size).

        Args:
            optimiser: of ``pyro.optim``.
            elbo: any that the table on the page on Pyro objectives has; y is sampled where it does
                not enumerate. The default is that of :meth:`elbo_module`.

        Raises:
            ArgumentError: an objective that would fail, or leave q(y | x) untrained in silence;
                parameters that are not contiguous, of which Pyro would train a copy.
        """
        assignment = self.config.assignment
        elbo = default_objective(assignment) if elbo is None else elbo
        check_svi(elbo, assignment)
        for name, parameter in self.named_parameters():
            if not parameter.is_contiguous():
                raise ArgumentError(
                    f"`svi` expected contiguous parameters; got others in {name}, of which Pyro "
                    "would train a copy. Call to(memory_format=torch.contiguous_format)."
                )
        expected = "an optimiser of pyro.optim (torch's own go with elbo_module)"
        checks.instance("optimiser", optimiser, PyroOptim, expected)
        guide = self.guide
        if assignment == "amortised" and samples_y(elbo):
            guide = poutine.infer_config(guide, _sampled)
        return SVI(self.model, guide, optimiser, elbo)

    @property
    def batch_length(self) -> int:
        """Images of a batch of :meth:`batches`, of which the last one may have fewer."""
        return rows_at_once(self.config.image_shape, ROWS)

    def batches(self, x: Tensor | Images, first: int = 0) -> Iterator[Batch]:
        """What it says of the images a batch at a time, in order: memory flat in N.

        Each answer of a batch is worked out when it is first asked for, and stays on the model's
        device. The networks are copied at the first batch, to answer faster: to rounding the
        answers are those of the other queries.

        Args:
            x: the images.
            first: the row to begin with; a multiple of a batch's length gives the batches that a
                pass from the start would have had from there on.
        """
        like = self.model.prior.means
        chunks = self._chunks(x, self.batch_length, first)
        return batches_of(self.model, self.guide, (chunk.to(like) for chunk in chunks), first)

    def encode(self, x: Tensor | Images) -> Tensor:
        """The encoded images, (N, D): means of q(z | x), or of its heaviest Gaussian."""
        return self._in_chunks(x, self.guide.location)

    def classify(self, x: Tensor | Images) -> Tensor:
        """Probabilities of the components, (N, K), without any sampling.

        The amortised q(y | x), or with the exact assignment p(y | z) at the encoded image.
        """
        return self._in_chunks(x, lambda batch: self.guide.y_dist(batch).probs)

    def responsibilities(self, x: Tensor | Images) -> Tensor:
        """p(y | z) of the mixture at the encoded image, (N, K)."""
        prior = self.model.prior
        return self._in_chunks(x, lambda b: prior.responsibilities(self.guide.location(b)))

    def predict(self, x: Tensor | Images) -> np.ndarray:
        """The class that names the most probable component, (N,) int64.

        Where components have names, only named ones are candidates; without names the
        component's number is the answer.
        """
        probabilities = self.classify(x).numpy()
        if self.component_classes is None:
            return np.asarray(probabilities.argmax(-1))
        named = [k for k, name in enumerate(self.component_classes) if name is not None]
        names = np.array([self.component_classes[k] for k in named], dtype=np.int64)
        return np.asarray(names[probabilities[:, named].argmax(-1)])

    def reconstruct(self, x: Tensor | Images) -> Tensor:
        """E(x | z) at the encoded image, (N, C, H, W) in [0, 1]."""
        return self._in_chunks(x, lambda batch: self._decode(self.guide.location(batch)))

    def decode(self, z: Tensor) -> Tensor:
        """E(x | z), (..., C, H, W) in [0, 1], at latents (..., D)."""
        checks.instance("z", z, Tensor, "a tensor (..., D)")
        like = self.model.prior.means
        if z.dim() == 0 or z.shape[-1] != like.shape[-1] or not z.is_floating_point():
            raise ArgumentError(
                f"`z` expected floats (..., {like.shape[-1]}); got {tuple(z.shape)} of "
                f"{checks.precision(z)}. Give latents of this model."
            )
        with default_modes(), torch.no_grad(), in_eval_mode(self):
            return self._decode(z.to(like)).cpu()

    @default_modes()
    @torch.no_grad()
    def sample(
        self, n: int, component: int | None = None, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw y and z from the prior and decode them.

        Args:
            n: number of images, at least 1.
            component: the one to draw from; None for all, by their weights.
            generator: the source of the draws, on the CPU; torch's own by default.

        Returns:
            E(x | z), (n, C, H, W) in [0, 1], and the components, (n,).

        Raises:
            ArgumentError: a number out of its range, or no such generator.
        """
        prior = self.model.prior
        k, d = prior.means.shape
        n = checks.whole("n", n, least=1)
        checks.generator(generator, torch.device("cpu"))
        if component is None:
            y = torch.multinomial(prior.weights.cpu(), n, replacement=True, generator=generator)
        else:
            y = torch.full((n,), checks.whole("component", component, least=0, most=k - 1))
        noise = torch.randn(n, d, 1, generator=generator, dtype=prior.means.dtype)
        z = prior.means.cpu()[y] + (prior.scale_tril.cpu()[y] @ noise).squeeze(-1)
        return torch.cat([self.decode(part) for part in z.split(1024)]), y

    def log_prob(
        self, x: Tensor | Images, n_samples: int = 100, generator: Generator | None = None
    ) -> Tensor:
        """Importance-weighted log p(x) an image, (N,) nats, from below.

        No normalised density where ``model.likelihood.normalised`` is False.

        Args:
            x: the images.
            n_samples: draws of z an image; the bound rises with them.
            generator: the source of the draws, on the model's device.
        """

        def bound(batch: Tensor) -> Tensor:
            self._check_support(batch)
            return log_evidence(self.model, self.guide, batch, n_samples, generator)

        n_samples = checks.whole("n_samples", n_samples, least=1)
        # The decoder sees n_samples latents an image; more at a time take longer, out of the cache.
        at_once = rows_at_once(self.config.image_shape, 2_500)
        return self._in_chunks(x, bound, rows=max(1, at_once // n_samples))

    def log_joint(self, x: Tensor | Images) -> Tensor:
        """Log p(x, z) at the encoded image z, (N,) nats: how well an image is explained.

        Without draws, so that the same image always has the same.
        """

        def explained(batch: Tensor) -> Tensor:
            self._check_support(batch)
            z = self.guide.location(batch)
            log_likelihood: Tensor = self.model.likelihood(self.model.decoder(z)).log_prob(batch)
            return log_likelihood + self.model.prior.log_joint(z).logsumexp(-1)

        return self._in_chunks(x, explained)

    def elbo(
        self, x: Tensor | Images, n_samples: int = 1, generator: Generator | None = None
    ) -> Parts:
        """The evidence lower bound an image and its parts, (N,) nats each, no labels used.

        Args:
            x: the images.
            n_samples: draws of z an image.
            generator: the source of the draws, on the model's device.
        """

        def parts(batch: Tensor) -> Tensor:
            self._check_support(batch)
            found = elbo_parts(self.model, self.guide, batch, None, n_samples, generator)
            return torch.stack(found, dim=-1)

        return Parts(*self._in_chunks(x, parts).unbind(-1))

    def posterior(
        self,
        x: Tensor | Images,
        n_draws: int = 500,
        *,
        effort: Effort | None = None,
        weights: bool = False,
        generator: Generator | None = None,
        callback: Callable[[Pace], None] | None = None,
    ) -> Posterior:
        """Draws from p(z, y | x) of every image, and how good they are.

        See :mod:`gmvae.posterior` for the ways by which an image gets them. Of images so many that
        their draws do not fit into memory there is :meth:`posterior_blocks`.

        Args:
            x: the images.
            n_draws: kept of each, at least 25.
            effort: the most that is done for an image; the defaults for None.
            weights: whether draws of the proposals and their weights are kept, too.
            generator: the source of chance, on the CPU.
            callback: told after each batch how far the work has come.

        Raises:
            ArgumentError: a number out of its range, or no such generator.
        """
        return Posterior.joined(
            self.posterior_blocks(
                x,
                n_draws,
                effort=effort,
                weights=weights,
                generator=generator,
                callback=callback,
            )
        )

    def posterior_blocks(
        self,
        x: Tensor | Images,
        n_draws: int = 500,
        *,
        effort: Effort | None = None,
        weights: bool = False,
        generator: Generator | None = None,
        callback: Callable[[Pace], None] | None = None,
        shared: Points | None = None,
        first: int = 0,
    ) -> Iterator[Block]:
        """The same a batch of images at a time, memory flat in their number.

        Args:
            x: the images.
            n_draws: kept of each, at least 25.
            effort: the most that is done for an image; the defaults for None.
            weights: whether draws of the proposals and their weights are kept, too.
            generator: the source of chance, on the CPU.
            callback: told after each batch how far the work has come.
            shared: draws of the mixture that all images share, as of
                :func:`gmvae.posterior.work.shared_points`; the generator's first by default.
            first: the row to begin with; that after a block, with the same ``shared`` and the state
                that the generator had then, gives the blocks that would have followed.

        Raises:
            ArgumentError: a number out of its range, or no such generator.
        """
        effort = Effort() if effort is None else effort
        checks.instance("effort", effort, Effort, "a gmvae.posterior.Effort, or None")
        plan = Plan(checks.whole("n_draws", n_draws, least=FEWEST_DRAWS), effort, weights)
        checks.generator(generator, torch.device("cpu"))
        like = self.model.prior.means
        batches = self._chunks(x, batch_size(self.config.image_shape, plan), first)

        def checked(batch: Tensor) -> Tensor:
            self._check_support(batch)
            return batch.to(like)

        batches = map(checked, batches)
        n_images = len(x) - first
        return blocks_of(
            self.model, self.guide, batches, n_images, plan, generator, callback, shared
        )

    def save(self, folder: str | Path, extra: dict[str, Any] | None = None) -> None:
        """Write ``config.json`` and ``model.safetensors``, each whole or not at all.

        Args:
            folder: made where it does not exist; of a model saved there before, the two files are
                overwritten.
            extra: more for ``config.json``, ready for JSON, beside the keys used here;
                ``training`` in it takes the place of the model's ``training_record``.

        Raises:
            ArgumentError: ``extra`` has a key that is used here, or what JSON cannot hold; what
                the folder held stays.
            NotADirectoryError: ``folder`` is a file.
            PermissionError: ``folder`` cannot be written.
        """
        folder = Path(checks.instance("folder", folder, (str, os.PathLike), "a path"))
        # Copies: two modules of a user's may share what a file holds twice.
        weights = save({name: t.contiguous().clone() for name, t in self.state_dict().items()})
        config = {
            "format": FORMAT,
            "model": asdict(self.config),
            "component_classes": self.component_classes,
            WEIGHTS_SHA256: digest(weights),
        }
        extra = checks.instance("extra", {} if extra is None else extra, dict, "a dict")
        words = {CLASS_NAMES: self.class_names, NAMES_BY_HAND: self.names_by_hand}
        taken = sorted((config.keys() | words.keys()) & extra.keys())
        if taken:
            raise ArgumentError(
                f"`extra` expected other keys than {', '.join(config)}; got {', '.join(taken)}. "
                "Rename them."
            )
        # As JSON has them, whose keys are words.
        config |= {key: {str(n): w for n, w in of.items()} for key, of in words.items() if of}
        if self.training_record is not None:
            config[TRAINING] = self.training_record
        config |= extra
        # Before anything is written: what JSON cannot hold must not cost the folder its model.
        try:
            text = json.dumps(config, indent=2) + "\n"
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"`extra` expected what JSON can hold; got more ({error}). Convert it to numbers "
                "and strings."
            ) from error
        # The configuration is moved first: it names the weights, which a killed save leaves whole.
        with replacing(folder / WEIGHTS_FILE) as new, replacing(folder / CONFIG_FILE) as new_config:
            new.write_bytes(weights)
            new_config.write_text(text, encoding="utf-8")

    @classmethod
    @default_modes()
    def load(
        cls,
        folder: str | Path,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        assigner: nn.Module | None = None,
        likelihood: Likelihood | None = None,
        device: str | torch.device = "cpu",
    ) -> "GMVAE":
        """Read what :meth:`save` wrote. Nothing is unpickled.

        Args:
            folder: the folder given to ``save``.
            encoder: your own encoder, where the model was saved with one; its weights are
                overwritten by the saved ones.
            decoder: likewise.
            assigner: likewise.
            likelihood: likewise.
            device: where to put the parameters.

        Raises:
            FileNotFoundError: no such folder, or one of the two files is not in it.
            ArgumentError: a module of your own is missing, or was not asked for.
            ContentError: a file that does not hold what it should.
        """
        folder = Path(checks.instance("folder", folder, (str, os.PathLike), "a path"))
        device = checks.device(device)
        written = read_config(folder)
        config = written.config
        modules = dict(zip(MODULES, (encoder, decoder, assigner, likelihood), strict=True))
        for name, module in modules.items():
            if (name in config.custom) != (module is not None):
                had, do = (
                    ("a module of the user's own", f"Call load(folder, {name}=...).")
                    if name in config.custom
                    else ("none", "Leave it out.")
                )
                raise ArgumentError(f"`{name}`: {folder} was saved with {had}. {do}")
        weights = weights_file(folder, written.weights_sha256)
        if not weights.exists():
            raise FileNotFoundError(
                f"{weights} does not exist, though {CONFIG_FILE} does. Restore it, or train again."
            )
        remedy = (
            f"Give the {', '.join(config.custom)} that it was saved with"
            if config.custom
            else "Restore the two files of one run"
        )
        expected = _expected_weights(config, modules, folder)
        tensors = read_weights(weights, expected, written.weights_sha256, remedy)
        with torch.random.fork_rng(devices=[]):
            gmvae = cls(config, encoder, decoder, assigner, likelihood)
        gmvae.component_classes = written.component_classes
        gmvae.class_names = written.class_names
        gmvae.names_by_hand = written.names_by_hand
        gmvae.load_state_dict(tensors)
        gmvae.training_record = written.training
        return gmvae.to(device).eval()

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, **arguments: Any
    ) -> "GMVAE":
        """Read a model from a folder, or from the Hugging Face Hub. Nothing is unpickled.

        Args:
            name: a folder that `save` wrote, or ``owner/name`` of a repository of the Hub, of which
                ``config.json`` and ``model.safetensors`` alone are read (``gmvae[hub]``).
            revision: of the repository: a branch, a tag or a commit.
            arguments: as `load` takes them: modules of your own, and the device.

        Raises:
            ArgumentError: huggingface_hub is missing, or what `load` raises.
            ContentError: as `load`.
            FileNotFoundError: there is no such folder, and no such repository.
        """
        checks.instance("name", name, (str, os.PathLike), "a path or a word")
        folder = Path(name)
        # One slash at most, between two plain words: the name of a repository.
        if not folder.exists() and re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", str(name)):
            folder = download(str(name), (CONFIG_FILE, WEIGHTS_FILE), revision)
        return cls.load(folder, **arguments)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool | None = None,
        message: str = "A model of gmvae",
        card: str | None = None,
    ) -> str:
        """Save the model to the Hugging Face Hub (``gmvae[hub]``): its two files and a card.

        What the training record says goes along: where the data lay, too.

        Args:
            repo: ``owner/name``.
            private: whether others cannot see a new repository; None for what its owner has set.
            message: of the commit.
            card: in Markdown, in place of the one that `model_card` makes.

        Returns:
            The address of the commit.

        Raises:
            ArgumentError: huggingface_hub is missing.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save(folder)
            text = self.model_card() if card is None else card
            (Path(folder) / CARD_FILE).write_text(text, encoding="utf-8")
            return upload(Path(folder), repo, private, message)

    def model_card(self, figures: Iterable[tuple[str, str]] = (), scored_on: str = "") -> str:
        """The card of the model, ``README.md`` of its folder, in Markdown.

        Args:
            figures: what was measured: names and values in words.
            scored_on: of which images.
        """
        record, c = self.training_record or {}, self.config
        facts = [
            ("image (C, H, W)", " x ".join(map(str, c.image_shape))),
            ("components", f"{c.n_components}, {c.covariance} covariance"),
            ("latent dimensions", str(c.latent_dim)),
            ("networks", f"{c.network}, {c.likelihood} likelihood, {c.assignment} assignment"),
        ]
        known = {"n_images": "images in training", "labels_observed": "labels observed"}
        facts += [(words, f"{record[key]:,}") for key, words in known.items() if key in record]
        facts += [("version", f"gmvae {record['version']}")] if "version" in record else []
        names, weights = self.component_names, self.model.prior.weights.tolist()
        data = Path(str(record.get("data", "images"))).name
        return card_text(
            f"Clusters of {data}",
            facts,
            [(component_name(names, k), f"{weight:.3f}") for k, weight in enumerate(weights)],
            figures=figures,
            scored_on=scored_on,
            warnings=record.get("warnings") or (),
        )

    def _decode(self, z: Tensor) -> Tensor:
        return self.model.likelihood.mean(self.model.decoder(z))

    def _check_support(self, batch: Tensor) -> None:
        """Refuse grey pixels where the likelihood gives them no probability."""
        check_support(self.model.likelihood, bool(((batch == 0) | (batch == 1)).all()))

    def _in_chunks(self, x: Tensor | Images, query: Any, rows: int = ROWS) -> Tensor:
        like = self.model.prior.means
        rows = rows_at_once(self.config.image_shape, rows)
        with default_modes(), torch.no_grad(), in_eval_mode(self):
            return torch.cat([query(batch.to(like)).cpu() for batch in self._chunks(x, rows)])

    def _chunks(self, x: Tensor | Images, rows: int, first: int = 0) -> Iterator[Tensor]:
        checks.instance(
            "x",
            x,
            (Tensor, Images),
            "a tensor (N, C, H, W) or gmvae.Images",
            "For an array there is gmvae.data.from_arrays.",
        )
        shape = tuple(x.shape) if isinstance(x, Images) else tuple(x.shape[1:])
        if shape != self.config.image_shape or len(x) == 0:
            raise ContentError(
                f"`x` expected images of shape {self.config.image_shape}, at least one; "
                f"got {len(x)} of shape {shape}. The model was trained on the former."
            )
        # Bytes are pixels, whatever they are; a float may be any number.
        known = isinstance(x, Images) and x.pixels.dtype == np.uint8
        for start in range(first, len(x), rows):
            part = slice(start, start + rows)
            if isinstance(x, Images):
                batch = x.tensor(part, self.device)
                let_go(x.pixels)
            else:
                batch = x[part]
            if not known and not (
                batch.is_floating_point() and batch.min() >= 0 and batch.max() <= 1
            ):
                finite = bool(batch.isfinite().all())
                raise ContentError(
                    "`x` expected floats between 0 and 1; got "
                    f"{checks.precision(batch)} between {batch.min().item():g} and "
                    f"{batch.max().item():g}. {'Scale' if finite else 'Repair'} the pixels."
                )
            yield batch


def component_name(names: Names | None, k: int) -> str:
    """``2: class 8``, ``2: cat``, or ``component 2`` without a name: for a list of them."""
    name = None if names is None else names[k]
    return f"component {k}" if name is None else f"{k}: {class_title(name)}"


def component_title(names: Names | None, k: int) -> str:
    """``component 2 (class 8)``, ``component 2 (cat)`` or ``component 2``: for a sentence."""
    name = None if names is None else names[k]
    return f"component {k}" if name is None else f"component {k} ({class_title(name)})"


def component_word(names: Names | None, k: int) -> str:
    """``class 8``, ``cat``, or the bare number of a component without a name: for a label."""
    name = None if names is None else names[k]
    return str(k) if name is None else class_title(name)


def class_title(name: int | str) -> str:
    """``class 8``, or a word as it is."""
    return name if isinstance(name, str) else f"class {name}"


def build_assigner(config: Config) -> Assigner:
    """The network of q(y | x)."""
    features = build_features(
        config.assigner_network,
        config.image_shape,
        config.assigner_hidden,
        config.assigner_channels,
        batch_norm=True,
    )
    return Assigner(features, config.n_components)


def _sampled(site: dict[str, Any]) -> dict[str, Any]:
    """The settings by which y is drawn, not enumerated."""
    return {"enumerate": None, SAMPLED_RIGHTLY: True} if site["name"] == "y" else {}


# Where a module of the user's own stands among the weights.
PLACES = {
    "encoder": "guide.encoder.",
    "decoder": "model.decoder.",
    "assigner": "guide.assigner.",
    "likelihood": "model.likelihood.",
}


def _expected_weights(
    config: Config, modules: Mapping[str, nn.Module | None], folder: Path
) -> dict[str, Tensor]:
    """The weights of a configuration by name: shapes and types, with no memory behind them.

    Raises:
        ContentError: sizes that torch cannot count.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            expected = GMVAE(replace(config, custom=())).state_dict()
    except (RuntimeError, OverflowError, TypeError) as error:
        raise ContentError(
            f"{folder / CONFIG_FILE} expected a network that memory can hold; got sizes whose "
            "product torch cannot count. Restore it, or train again."
        ) from error
    for name in config.custom:
        place, module = PLACES[name], modules[name]
        expected = {key: t for key, t in expected.items() if not key.startswith(place)}
        if module is not None:
            expected |= {place + key: t for key, t in module.state_dict().items()}
    return expected
