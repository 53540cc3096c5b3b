"""Adam is torch's Adam, to the bit, and does not import torch's compiler."""

import subprocess
import sys

import torch
from torch.optim.lr_scheduler import LambdaLR

from gmvae.training.optimiser import Adam


def steps(kind):
    """Where five steps of a falling rate lead, a second group of parameters among them."""
    torch.manual_seed(0)
    p, other = (torch.nn.Parameter(torch.randn(7)) for _ in range(2))
    optimiser = kind([p], lr=0.1, fused=True)
    optimiser.add_param_group({"params": [other], "lr": 0.01})
    rate = LambdaLR(optimiser, lambda step: 1 / (1 + step))
    for _ in range(5):
        optimiser.zero_grad()
        ((p - 1).square() * other.exp()).sum().backward()
        optimiser.step()
        rate.step()
    assert not p.grad.requires_grad
    return p.detach(), other.detach(), optimiser.state_dict()["state"][0]["exp_avg"]


def test_every_step_is_torchs():
    assert all(map(torch.equal, steps(Adam), steps(torch.optim.Adam)))


def test_the_compiler_is_not_imported():
    code = """
import sys, torch
from gmvae.training.optimiser import Adam
p = torch.nn.Parameter(torch.zeros(2))
optimiser = Adam([p], lr=0.1, fused=True)
torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)
optimiser.zero_grad()
p.sum().backward()
optimiser.step()
assert p.tolist() != [0, 0]
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
