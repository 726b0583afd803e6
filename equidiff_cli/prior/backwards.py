"""Networks whose time runs from data at 0 to noise at 1, as that of SiT (Ma et al. 2024, arXiv:2401.08740) and REPA."""

from torch import nn


class Backwards(nn.Module):
    """A velocity network of that time s as `Prior` uses one: t = 1 - s, so dz/dt = -dz/ds."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.in_channels, self.input_size, self.num_classes = (
            getattr(network, name) for name in ("in_channels", "input_size", "num_classes")
        )

    def condition(self, t, y):
        return self.network.condition(1 - t, y)

    def velocity(self, z, c):
        return -self.network.velocity(z, c)

    def keep_in(self, dtype):
        self.network.keep_in(dtype)
