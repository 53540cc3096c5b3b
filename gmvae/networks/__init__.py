"""Encoders, decoders and assignment networks: plain torch, no probability.

Shapes: ``...`` any leading dimensions (a batch, samples before it), ``(C, H, W)`` an image,
``D`` latent dimensions, ``K`` components. Every network takes any number of leading dimensions
and treats their entries one by one, so that it stays right under Pyro's enumeration and
vectorised plates. The one exception is :class:`ConvFeatures` when asked to normalise over the
batch: for a network of x, which never carries an enumeration dimension.
"""

from gmvae.networks.decoders import ConvDecoder, MLPDecoder, build_decoder
from gmvae.networks.encoders import (
    Assigner,
    Encoder,
    Frozen,
    FullEncoder,
    MixtureEncoder,
    build_encoder,
)
from gmvae.networks.features import MLP, ConvFeatures, ImageShape, MLPFeatures, build_features
from gmvae.networks.modes import default_modes, in_eval_mode

__all__ = [
    "MLP",
    "Assigner",
    "ConvDecoder",
    "ConvFeatures",
    "Encoder",
    "Frozen",
    "FullEncoder",
    "ImageShape",
    "MLPDecoder",
    "MLPFeatures",
    "MixtureEncoder",
    "build_decoder",
    "build_encoder",
    "build_features",
    "default_modes",
    "in_eval_mode",
]
