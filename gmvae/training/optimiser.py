"""Adam, ready at once."""

import inspect

import torch


class Adam(torch.optim.Adam):
    """torch's Adam without the two seconds in which torch imports its compiler for it.

    Three of its methods are wrapped in functions that tell ``torch._dynamo`` to leave them alone,
    and import it to say so, even where nothing is compiled. Here they are what they wrap.
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
