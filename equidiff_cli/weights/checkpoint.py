"""Which tensors of a training checkpoint are the weights: the fields that programs keep them in, the averaged first.

A field is known by the words of its name, so that `model_ema`, `ema_state_dict` and `ModelEMA` need no line each.
"""

import re
from collections.abc import Mapping

import torch

AVERAGED = {"ema", "emas", "swa", "avg", "average", "averaged", "shadow", "polyak"}  # running averages of weights
RAW = {"state", "dict", "model", "net", "network", "module", "weights", "params", "parameters"}  # weights of any kind
FIRST = ("", "state_dict", "model")  # of several fields of raw weights these are taken, in this order, then the others
WRAPPERS = ("module.", "_orig_mod.")  # before every name: of DistributedDataParallel and AveragedModel, torch.compile
POST_HOC = re.compile(r"ema_models\.(\d+)\.ema_model\.(.+)")  # names of a PostHocEMA, which keeps several averages
PREFIXES = (*WRAPPERS, "model.")  # and of Lightning, or the network's own


def weights(content):
    """(tensors by name, the field they were in, other fields of weights) of what a file holds.

    A field is a dotted path such as "model_ema.module", and "" where the content itself is the weights. Averaged ones
    are taken before raw ones; of a PostHocEMA, which follows several averages, the last, as FACM does. Without any such
    field the content is given as it is, whatever it holds.

    Raises `ValueError` ("holds ...") for more than one average.
    """
    found = dict(_fields(content))
    averaged = [field for field in found if is_averaged(field)]
    if len(averaged) > 1:
        raise ValueError(f"holds several averages of the weights, keep one of them: {', '.join(averaged)}")
    field = min(found, key=_rank, default=None)
    if field is None:
        return content, "", []
    return found[field], field, [other for other in found if other != field]


def is_averaged(field):
    """Whether the name of a field, or of a part of a network, says that it holds averaged weights."""
    return any(words(part) & AVERAGED and words(part) <= AVERAGED | RAW | {"models"} for part in field.split("."))


def words(name):
    """The words of a name, in small letters and without numbers: "ModelEMA" and "model_ema_0.999" have the same."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name))
    return {word for word in re.split(r"[^a-z0-9]+", parted.lower()) if word and not word.isdecimal()}


def unwrapped(state):
    """Without the prefixes that wrappers put before every name, and without what `AveragedModel` counts."""
    if len(state) > 1 and all(name == "n_averaged" or name.startswith("module.") for name in state):
        state = {name: tensor for name, tensor in state.items() if name != "n_averaged"}
    while prefix := next((p for p in WRAPPERS if state and all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _fields(content, above=""):
    """(field, tensors by name) of all weights in nested dicts, and in lists of averages."""
    if isinstance(content, (list, tuple)) and is_averaged(above):
        content = {str(i): value for i, value in enumerate(content)}
    if not isinstance(content, Mapping) or not content:
        return
    inner = any(isinstance(value, (Mapping, list, tuple)) for value in content.values())
    if not inner and any(isinstance(value, torch.Tensor) for value in content.values()):
        yield _post_hoc(above, content)
        return
    for name, value in content.items():
        listed = is_averaged(above) and str(name).isdecimal()
        if listed or (words(name) and words(name) <= AVERAGED | RAW):
            yield from _fields(value, f"{above}.{name}" if above else str(name))


def _post_hoc(field, content):
    """(field, tensors) of the last average of a PostHocEMA (Karras et al. 2024, arXiv:2312.02696), which also counts
    its steps; else as they are."""
    found = [(name, match) for name in content if (match := POST_HOC.fullmatch(str(name)))]
    if not found:
        return field, content
    last = max(int(match[1]) for _, match in found)
    chosen = {match[2]: content[name] for name, match in found if int(match[1]) == last}
    return f"{field}.ema_models.{last}" if field else f"ema_models.{last}", chosen


def _rank(field):
    first = field.split(".")[0]
    return not is_averaged(field), FIRST.index(first) if first in FIRST else len(FIRST)
