"""What networks give, read as logits: a tensor, an object or a dict that has logits, a tuple that begins with them."""

from collections.abc import Mapping

import torch


def logits_of(output, count):
    """Logits (N, classes) in what a network gave for N = `count` pictures; what holds none is given back as it is."""
    values, _ = taken(output)
    return output if values is None else rows(values, count)


def taken(output):
    """(the tensor that holds the logits, where it is in words); (None, "") if there is none to be sure of."""
    if isinstance(output, torch.Tensor):
        return output, ""
    if isinstance(getattr(output, "logits", None), torch.Tensor):
        return output.logits, f"logits of its {type(output).__name__}"
    if isinstance(output, Mapping):
        names = ["logits"] if "logits" in output else [name for name in output if len(output) == 1]
        if names and isinstance(output[names[0]], torch.Tensor):
            return output[names[0]], f"{names[0]} of its dict"
    if isinstance(output, (tuple, list)) and output and isinstance(output[0], torch.Tensor):
        return output[0], f"the first of its {type(output).__name__} of {len(output)}"
    return None, ""


def rows(values, count):
    """(N, classes) of that shape with sides of length 1 more or less: of (N,) from a head with one output, (N, C, 1, 1)
    before flattening, or what `squeeze()` leaves of one picture. Half precision becomes float32; all else stays as it
    is.
    """
    if values.dtype in (torch.float16, torch.bfloat16):
        values = values.float()
    if values.ndim == 2 and len(values) == count:
        return values
    kept = [side for side in values.shape if side != 1]
    if count > 1 and kept[:1] != [count]:
        return values
    return values.reshape(count, -1) if len(kept) <= (1 if count == 1 else 2) else values
