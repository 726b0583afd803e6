"""A user's code runs without changing what is everybody's: torch's global settings, and the end of the program."""

from contextlib import contextmanager

import torch


@contextmanager
def untouched(key):
    """Gradients, the default type and the default device are as before afterwards; `SystemExit` becomes a `ValueError`.

    Args:
        key: whose code it is, for the error.
    """
    grad, kind, device = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_default_device()
    try:
        yield
    except SystemExit as error:
        raise ValueError(f"{key}: ended the program with sys.exit({error.code}) instead of returning") from error
    finally:
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(kind)
        if torch.get_default_device() != device:
            torch.set_default_device(None)
