"""Clusters as communities of graphs: found in them, and how well they are told apart there.

Shapes: N nodes, K components.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.cluster import SpectralClustering

from gmvae.training.arrays import Indices


def assortativity(graph: sparse.csr_array, components: Indices) -> float:
    r"""How much more often than by chance neighbours are of one component: 1 if always.

    .. math:: \frac{\sum_y e_{yy} - \sum_y a_y^2}{1 - \sum_y a_y^2}

    with :math:`e_{yy}` the share of edges within component y and :math:`a_y` that of edge ends in
    it (Newman, *Mixing patterns in networks*, Physical Review E 2003, equation 2). The numerator
    is the modularity, which is largest where all are of one size and so prefers an even cut
    through one kind to the gap between two of different sizes (digits, 170 of 0 and 20 of 6: .46
    for the cut, .19 for the gap); this is its share of what components of these sizes can reach.

    Args:
        graph: weights of edges between nodes, symmetric, (N, N).
        components: of the nodes, (N,).
    """
    member = np.eye(components.max() + 1)[components]
    degrees = member.T @ graph.sum(axis=1)
    total = degrees.sum()
    within = np.einsum("nk,nk->", member, graph @ member) / total
    by_chance = ((degrees / total) ** 2).sum()
    # One component alone: no neighbour could be of another.
    return 0.0 if by_chance >= 1 else float((within - by_chance) / (1 - by_chance))


def spectral_clusters(graphs: Sequence[sparse.csr_array], n_components: int, seed: int) -> Indices:
    """Spectral clusters of graphs of the same nodes, each of which counts as much, (N,).

    Args:
        graphs: weights of edges between nodes, symmetric, (N, N) each.
        n_components: K, at most half of N: it needs as many eigenvectors.
        seed: of the method.
    """
    affinity = sum(graph / graph.sum() for graph in graphs)
    spectral = SpectralClustering(n_components, affinity="precomputed", random_state=seed)
    with warnings.catch_warnings():
        # Where no edge joins two clusters, all the better.
        warnings.filterwarnings("ignore", "Graph is not fully connected")
        # Of mean weight 1 a pair of neighbours, whatever their number.
        clusters: Indices = spectral.fit_predict(affinity.shape[0] * affinity.toarray())
    return clusters
