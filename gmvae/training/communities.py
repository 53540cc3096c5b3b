"""Clusters as communities of a graph: how good they are, and moves that make them better.

Shapes: N nodes or points, W dimensions, K components.
"""

import numpy as np
from scipy import sparse
from sklearn.cluster import KMeans

from gmvae.training.arrays import Array, Indices
from gmvae.training.neighbours import N_NEIGHBORS, extended, neighbour_graph


def modularity(graph: sparse.csr_array, components: Indices) -> float:
    r"""The share of edges within components, beyond what their degrees alone would give.

    .. math:: \sum_y \Big[\frac{m_y}{m} - \Big(\frac{d_y}{2m}\Big)^2\Big]

    with :math:`m` the edges, :math:`m_y` those within a component and :math:`d_y` the sum of its
    degrees (Newman and Girvan, *Finding and evaluating community structure in networks*, 2004).

    Args:
        graph: weights of edges between nodes, symmetric, (N, N).
        components: of the nodes, (N,).
    """
    member = np.eye(components.max() + 1)[components]
    within = np.einsum("nk,nk->k", member, graph @ member)
    degrees = member.T @ graph.sum(axis=1)
    total = degrees.sum()
    return float((within / total - (degrees / total) ** 2).sum())


def moved(graph: sparse.csr_array, components: Indices, n_components: int) -> Indices:
    """Move one node after the other to the component where the modularity is largest.

    Until none gains by it. No component loses more than half of its edges, so none is emptied.

    Args:
        graph: weights of edges between nodes, symmetric, (N, N).
        components: where each node starts, (N,).
        n_components: K.
    """
    components = components.copy()
    degree = np.asarray(graph.sum(axis=1))
    self_loop = graph.diagonal()
    total = degree.sum()
    in_component = np.bincount(components, degree, n_components)
    # Half: a piece may go over, and what is left still has a name. By convention.
    at_least = in_component / 2
    changing = True
    while changing:
        changing = False
        for node, current in enumerate(components):
            if in_component[current] - degree[node] < at_least[current]:
                continue
            edges = slice(graph.indptr[node], graph.indptr[node + 1])
            gain = np.bincount(components[graph.indices[edges]], graph.data[edges], n_components)
            gain -= degree[node] * in_component / total
            # What the node itself adds to its own component, it adds to any.
            gain[current] += degree[node] ** 2 / total - self_loop[node]
            best = int(gain.argmax())
            # Above the rounding of sums of some thousand edges: a tie must not move for ever.
            if gain[best] > gain[current] + 1e-9:
                components[node] = best
                in_component[current] -= degree[node]
                in_component[best] += degree[node]
                changing = True
    return components


# Of 4,000 that were clustered an island may go to the wrong side; among three times as many it is
# large enough to come back. A move looks at every node, so the time grows with their number.
N_REFINED = 12_000
# Cells a component: islands of a fifth to a fortieth of a cluster, by doubling. By convention.
CELLS = (5, 10, 20, 40)


def refined(points: Array, components: Indices, rng: np.random.Generator) -> Indices:
    """Clusters (N,), their borders moved to where the modularity is larger.

    A clustering of a few thousand images may give a small island, say the crossed 7s, to the
    wrong side of a gap: it holds together, so no image of it leaves alone. So whole cells of
    k-means are moved first, then single images. Cells of several sizes are tried, and of what
    comes of them the clusters of the largest modularity are kept.

    Local moves on a coarse and then a fine graph are the method of Louvain (Blondel et al., *Fast
    unfolding of communities in large networks*, 2008), with the number of clusters held. Only up
    to 12,000 images take part; each other one follows its 15 nearest neighbours among them.

    Args:
        points: (N, W).
        components: the clusters, (N,).
        rng: chooses those images.
    """
    order, seed = rng.permutation(len(points)), int(rng.integers(2**31))
    part, before = points[order[:N_REFINED]], components[order[:N_REFINED]]
    n, k = len(part), components.max() + 1
    graph = neighbour_graph(part)
    tried = [before]
    # Of fewer points than its neighbours, a cell would be no coarser than they are.
    for n_cells in (cells * k for cells in CELLS if cells * k <= n / N_NEIGHBORS):
        # Cells need not be the best ones, only small and round: 20 steps are enough.
        cell = KMeans(n_cells, max_iter=20, random_state=seed).fit_predict(part)
        member = sparse.csr_array((np.ones(n), (np.arange(n), cell)), shape=(n, n_cells))
        majority = (member.T @ np.eye(k)[before]).argmax(axis=1)
        of_cells = moved(sparse.csr_array(member.T @ graph @ member), majority, k)
        tried.append(moved(graph, of_cells[cell], k))
    best = max(tried, key=lambda components: modularity(graph, components))
    return extended(best, points, order)
