"""The distribution of a component: Categorical, at the cost of the sum over y written by hand.

B images, K components.
"""

import pyro.distributions as dist
from torch import Tensor


class Categorical(dist.Categorical):  # type: ignore[misc]
    r"""A categorical distribution whose log-density at all K values costs K x B, not K x B x K.

    Under parallel enumeration y has shape (K, 1): one value an entry, whatever the image. torch
    repeats the logits (B, K) once for each value and then picks one of each K; here the columns are
    picked first:

    .. math:: \ln p(y = k_m \mid x_b) = \ell_{b, k_m},\quad m = 1 \dots M

    The values, and so the gradients, are the same numbers.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Log p(y) at component indices that broadcast against the batch shape."""
        n_batch = len(self.batch_shape)
        alike = value.dim() > n_batch and value.shape[value.dim() - n_batch :].numel() == 1
        if not alike:
            log_prob: Tensor = super().log_prob(value)
            return log_prob
        if self._validate_args:
            self._validate_sample(value)
        columns = self.logits.index_select(-1, value.reshape(-1).long())
        shape = (*value.shape[: value.dim() - n_batch], *self.batch_shape)
        picked: Tensor = columns.movedim(-1, 0)
        if 0 in self.logits.stride()[:-1]:
            # One row for all images, as of p(y). The order in memory is then that of torch's own
            # answer, and of q(y | x) that of Pyro's: sums over either round as they did.
            picked = picked.contiguous()
        return picked.reshape(shape)
