"""The words that a setting may take, and bounds that several parts share. Imports nothing heavy.

Each stands in the docstring of what it chooses: the mixture, the networks, the likelihood, the
guide, the model, the views.
"""

from typing import Literal

Covariance = Literal["spherical", "diagonal", "full"]
Network = Literal["mlp", "conv"]
LikelihoodName = Literal["bernoulli", "continuous-bernoulli", "gaussian"]
GuideKind = Literal["diagonal", "full", "mixture"]
Assignment = Literal["amortised", "exact"]
Augmentation = Literal["affine", "photo", "none"]
Effort = Literal["quick", "standard", "thorough"]

# Sets of images that have a name: scikit-learn's, and the MNIST family.
NAMED = ("digits", "mnist", "fashion-mnist", "kmnist")

# Of the latent: a full covariance of more has 10^8 entries a component.
MOST_DIMENSIONS = 10_000
