"""p(y) and q(y | x): the values and gradients of torch's own, without its (K, B, K) tensor."""

import pyro.distributions as dist
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from toys import tiny

from gmvae.probability.categorical import Categorical

B, K = 5, 4
# Values and the shape of logits that they meet: enumerated, some of them, in a plate of one more
# dimension, one an image, and several draws an image.
CASES = {
    "enumerated": (torch.arange(K).unsqueeze(-1), (B, K)),
    "some": (torch.tensor([2, 0]).unsqueeze(-1), (B, K)),
    "two dimensions": (torch.arange(K).reshape(K, 1, 1), (2, B, K)),
    "without a batch": (torch.arange(K), (K,)),
    "one an image": (torch.tensor([3, 0, 1, 1, 2]), (B, K)),
    "draws": (torch.tensor([[3, 0, 1, 1, 2], [0, 0, 3, 2, 1]]), (B, K)),
    "one for all": (torch.tensor([1]), (B, K)),
}


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_are_those_of_torch(case):
    value, shape = CASES[case]
    logits = torch.randn(shape, dtype=torch.float64)
    answers = []
    for kind in (dist.Categorical, Categorical):
        leaf = logits.clone().requires_grad_()
        log_prob = kind(logits=leaf).log_prob(value)
        torch.manual_seed(1)
        (log_prob * torch.randn(log_prob.shape)).sum().backward()
        answers.append((log_prob.detach(), leaf.grad))
    (expected, slope), (log_prob, gradient) = answers
    assert log_prob.shape == expected.shape
    assert torch.equal(log_prob, expected)
    torch.testing.assert_close(gradient, slope, rtol=1e-12, atol=1e-15)


def test_it_stays_what_it_is_in_a_plate():
    expanded = Categorical(logits=torch.randn(K)).expand([B])
    assert type(expanded) is Categorical
    assert expanded.log_prob(torch.arange(K).unsqueeze(-1)).shape == (K, B)


@pytest.mark.parametrize("value", [torch.tensor([[4]]), torch.tensor([[-1]])])
def test_a_component_that_is_not_there_is_refused(value):
    with pytest.raises(ValueError, match="to be within the support"):
        Categorical(logits=torch.zeros(B, K), validate_args=True).log_prob(value)


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            # An expanded view holds no more than its storage.
            self.elements = max(
                self.elements, result.untyped_storage().nbytes() // result.element_size()
            )
        return result


def test_no_tensor_of_a_step_grows_with_the_square_of_k():
    """Forward and backward of the bound at K = 300: K x B x D, and nowhere K x B x K."""
    gmvae = tiny(n_components=300)
    x = torch.rand(7, *gmvae.config.image_shape)
    with Largest() as largest:
        gmvae.elbo_module()(x, None, size=7).backward()
    assert 300 * 7 <= largest.elements < 300 * 7 * 30
