"""What others do with the same images: from train and test part to the clusters of the test part.

None of them looks at a label; the number of clusters is the number of classes, as it is for us.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from gmvae import GMVAE
from gmvae.config import Config
from gmvae.data import Images
from gmvae.training.loop import Loop, Schedule

Clusters = NDArray[np.int64]
LATENT_DIM = 10


def pca_then_mixture(images: Images, test: Images, seed: int) -> Clusters:
    """scikit-learn's Gaussian mixture on the 20 leading principal axes of the pixels."""
    axes = PCA(20, random_state=seed).fit(_flat(images))
    mixture = GaussianMixture(len(images.classes), n_init=5, random_state=seed)
    mixture.fit(axes.transform(_flat(images)))
    return np.asarray(mixture.predict(axes.transform(_flat(test))))


def vae_then_mixture(images: Images, test: Images, seed: int) -> Clusters:
    """A VAE with a standard normal prior, then a Gaussian mixture on its encoded means."""
    vae = GMVAE(
        Config(
            images.shape,
            n_components=1,
            latent_dim=LATENT_DIM,
            covariance="spherical",
            grey=not images.binary,
            assignment="exact",
        )
    )
    vae.model.prior.set(torch.ones(1), torch.zeros(1, LATENT_DIM), torch.eye(LATENT_DIM)[None])
    networks = [*vae.guide.encoder.parameters(), *vae.model.decoder.parameters()]
    generator = torch.Generator().manual_seed(seed)
    epochs = max(30, 3_000 * 128 // len(images))
    loop = Loop(vae.elbo_module(), vae.guide, images, Schedule(epochs), generator=generator)
    loop.run(loop.begin(networks))
    vae.eval()
    mixture = GaussianMixture(len(images.classes), n_init=5, random_state=seed)
    mixture.fit(vae.encode(images).double().numpy())
    return np.asarray(mixture.predict(vae.encode(test).double().numpy()))


def vade(images: Images, test: Images, seed: int) -> Clusters:
    """ClustPy's VaDE (Jiang et al., IJCAI 2017), with its own default settings."""
    from clustpy.deep import VaDE

    found = VaDE(len(images.classes), random_state=seed).fit(_flat(images))
    return np.asarray(found.predict(_flat(test)), dtype=np.int64)


def _flat(images: Images) -> NDArray[np.float32]:
    return images.tensor().flatten(1).numpy()
