"""Which weights are kept in half precision: each network names its parts in a method `keep_in(dtype)`."""

from torch import nn


def keep_in(dtype, *modules):
    """Keep the weights of products in `dtype`. Autocast would cast them to it at every call, as it remembers only those
    that ask for gradients; results are the same."""
    for module in modules:
        for part in module.modules():
            if isinstance(part, (nn.Linear, nn.Conv2d)):
                part.to(dtype)
