"""Code that is not the tool's own gets copies of the tool's tensors: what it does to them in place stays there."""

import torch


class Copied:
    """A function of tensors, or a user's own target, that is handed a fresh copy of every tensor with every call.

    Gradients flow through. All else about it, such as `description` or `classes`, is that of `made`.
    """

    def __init__(self, made):
        self.made = made

    def __getattr__(self, name):
        if name == "made":  # not there yet, as while it is unpickled
            raise AttributeError(name)
        return getattr(self.made, name)

    def __call__(self, *arguments):
        return self.made(*map(_copy, arguments))

    def activations(self, x, layer):
        """As of a target."""
        return self.made.activations(_copy(x), layer)


def copied(made):
    """`made`, handed copies. The package's own classes do without: copies would add up gradients in another order. What
    cannot be called stays as it is, for those to refuse who need it.
    """
    ours = type(made).__module__.partition(".")[0] == "equidiff_cli"
    return Copied(made) if callable(made) and not ours else made


def _copy(argument):
    return argument.clone() if isinstance(argument, torch.Tensor) else argument
