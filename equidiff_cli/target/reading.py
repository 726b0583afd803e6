"""A named layer, read for every picture: samples first, channels last, positions in between."""

import torch

from equidiff_cli.checks import number, one_of
from equidiff_cli.target import axes, layers, tokens

WHERE = ("auto", "first", "last")


class Reading:
    """Activations (N, C), (N, L, C) or (N, H, W, C) of a layer for pictures (N, 3, H, W) in [0, 1].

    Args:
        target: a `Target`, or what can be used like one.
        query: (1, 3, H, W); what the layer gives for it tells all that is the same for every picture.
        layer: a name of `target.layers`.
        channels: where they are in (N, C, ...): "first" or "last" of what follows the samples; "auto" asks the layer's
            type, then the operations behind its output, then the shape of a map; `ValueError` where none of them tells.
        call: which of several calls of the layer, from 0 on or from -1 back; None: the only one.
    """

    def __init__(self, target, query, layer, channels, call):
        if not target.layers:
            raise ValueError(f"objective.layer={layer}: {target.name} has no layers that can be named")
        self.target, self.layer = target, one_of("objective.layer", layer, target.layers)
        one_of("objective.channels", channels, WHERE)
        self.call, self.batch, self.axis = 0, 0, -1
        with torch.no_grad():
            found = self._outputs(query)
            self.call = self._pick(call, len(found))
            calls = f" (call {self.call} of 0 to {len(found) - 1})" if len(found) > 1 else ""
            alone, two = self._checked(found), self._tensor(query.expand(2, *query.shape[1:]).clone())
            self.batch = self._samples(alone, two)
            alone = alone.movedim(self.batch, 0)
            vector, self.note = alone.ndim == 2, ""
            if not vector:
                self.axis, how = self._channels(query, alone.shape, channels)
                self.note = f", channels {'last' if self.axis == -1 else 'first'}{how}"
            self.name, self.space = layer + calls, tuple(alone.movedim(self.axis, -1).shape[1:-1])
            self.channels = alone.shape[self.axis]
            self.attention = alone.ndim == 4 and self.axis == 1 and _sums_to_one(alone)

    def __call__(self, x):
        values = self._tensor(x).movedim(self.batch, 0)
        if len(values) != len(x):
            raise ValueError(f"objective.layer={self.layer}: gives {len(values)} rows for {len(x)} pictures")
        return values.movedim(self.axis, -1)

    def prefix(self, wanted):
        """How many of the first positions show no place of the picture, and what to say of it.

        Args:
            wanted: their number, or "auto".
        """
        way = layers.path(self.target.model, self.layer) if self._known else []
        there = tokens.prefix(way, self.space[0]) if len(self.space) == 1 else 0
        if wanted != "auto":
            most = self.space[0] - 1 if len(self.space) == 1 else 0
            count = number("objective.prefix", wanted, minimum=0, maximum=most, whole=True)
        elif there is None:
            some, _ = tokens.number(way)
            raise ValueError(
                f"objective.prefix=auto: {self.target.name} has {some} class and register tokens, but it is not clear"
                f" whether they are among the {self.space[0]} of {self.layer}; give objective.prefix={some} to leave"
                " out so many at the beginning, 0 for none"
            )
        else:
            count = there
        if count:
            return count, f" without the first {count} of {self.space[0]} tokens"
        return 0, f" and {there} class or register token{'s' * (there > 1)}" if there else ""

    def _outputs(self, x):
        return self.target.outputs(x, self.layer) if self._known else [self.target.activations(x, self.layer)]

    def _pick(self, call, count):
        if call is None and count > 1:
            raise ValueError(
                f"objective.layer={self.layer}: {self.target.name} calls this layer {count} times in a forward pass;"
                f" objective.call=0 to {count - 1} says which of them is meant, -1 the last"
            )
        call = 0 if call is None else call
        return number("objective.call", call, minimum=-count, maximum=count - 1, whole=True) % count

    def _tensor(self, x):
        return self._checked(self._outputs(x))

    def _checked(self, calls):
        """The output of the call as the layer gives it, a tensor of floats."""
        output = calls[self.call]
        if isinstance(output, tuple) and isinstance(self._module, torch.nn.MultiheadAttention):
            output = output[0]  # beside it the weights, or None
        if not isinstance(output, torch.Tensor) or not output.is_floating_point() or output.ndim not in (2, 3, 4):
            raise ValueError(self._refused(f"gives {layers.described(output)}"))
        return output

    def _refused(self, what):
        return f"objective.layer={self.layer}: its output is not a map, a sequence or a vector of numbers; it {what}"

    def _samples(self, alone, two):
        """The axis of the samples, by what the layer gives for one picture and for two."""
        differ = [i for i, sizes in enumerate(zip(alone.shape, two.shape, strict=False)) if sizes != (sizes[0],) * 2]
        if alone.ndim == two.ndim and len(differ) == 1:
            (axis,) = differ
            if (alone.shape[axis], two.shape[axis]) == (1, 2):
                return axis
        raise ValueError(
            self._refused(
                f"gives {tuple(alone.shape)} for one picture and {tuple(two.shape)} for two: no row a picture"
            )
        )

    def _channels(self, query, shape, wanted):
        """The axis of the channels in (N, ...), 1 or -1, and what it is known by if that is no more than a shape."""
        if wanted != "auto":
            return 1 if wanted == "first" else -1, ""
        if not self._known:
            own = getattr(self.target, "channel_axis", lambda layer, shape: 1)
            return own(self.layer, shape) if len(shape) == 4 else -1, ""
        axis = axes.by_type(self._module)
        axis = self._by_operations(query) if axis is None else axis
        if axis in (1, -1):
            return axis, ""
        if len(shape) == 4 and (shape[1] == shape[2]) != (shape[2] == shape[3]):  # maps of square pictures are square
            return -1 if shape[1] == shape[2] else 1, " by its shape"
        raise ValueError(
            f"objective.channels=auto: nothing tells which axis of {self.layer}, {shape_of(shape)}, holds the channels;"
            " objective.channels=first or last says it"
        )

    def _by_operations(self, query):
        """1 or -1, or None where the operations behind the output do not tell."""
        try:
            with axes.noted():
                output = self._tensor(query.detach().clone().requires_grad_() + 0)
        except (RuntimeError, TypeError):  # a network that cannot be differentiated
            return None
        axis = axes.by_operations(output)
        left = [i for i in range(output.ndim) if i != self.batch]
        return None if axis not in (left[0], left[-1]) else 1 if axis == left[0] else -1

    @property
    def _known(self):
        """Whether the layer is a module that can be looked at; a user's own target may be no `Target`."""
        return hasattr(self.target, "outputs")

    @property
    def _module(self):
        return layers.path(self.target.model, self.layer)[-1] if self._known else None


def shape_of(shape):
    """(N, 3, 4): the shape for N pictures."""
    return f"(N, {', '.join(map(str, shape[1:]))})"


def _sums_to_one(values):
    """Whether it holds attention weights: rows that are shares of one."""
    rows = values.sum(-1)
    return bool(values.shape[-1] > 1 and (values >= 0).all() and torch.allclose(rows, torch.ones_like(rows), atol=1e-3))
