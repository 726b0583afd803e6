"""Tensors by name beside those that a module has: which names differ only in what stands before them, what is wrong."""

from collections import Counter

from equidiff_cli.weights.checkpoint import PREFIXES, is_averaged, unwrapped

LAYOUTS = {  # a name that only this kind of file has
    "blocks.0.adaLN_modulation.1.weight": "a LightningDiT transformer",
    "decoder.mid.block_1.conv1.weight": "an autoencoder with the names of VA-VAE",
    "decoder.mid_block.resnets.0.conv1.weight": "an autoencoder with the names of diffusers",
    "mean": "the statistics of the latents",
}


def fitted(state, wanted):
    """(tensors, what was done) with the names of `wanted` where `state` has them all, and nothing else, but for a part
    of averaged weights, which is taken, or for one of `PREFIXES` before every name; else (state, "").
    """
    if state.keys() == wanted.keys():
        return state, ""
    parts = dict.fromkeys(name.split(".")[0] for name in state if "." in name)
    for part in filter(is_averaged, parts):
        inner = {name.removeprefix(f"{part}."): tensor for name, tensor in state.items() if name.startswith(f"{part}.")}
        for variant, _ in _variants(unwrapped(inner)):
            if variant.keys() == wanted.keys():
                return variant, f"the averaged weights, {part}"
    for variant, done in _variants(state):
        if variant.keys() == wanted.keys():
            return variant, done
    return state, ""


def _variants(state):
    """`state` with names as they are, without a prefix that all have, and with one more."""
    yield state, ""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            yield {name.removeprefix(prefix): tensor for name, tensor in state.items()}, f"names without {prefix}"
    for prefix in PREFIXES:
        yield {prefix + name: tensor for name, tensor in state.items()}, f"names with {prefix}"


def misfit(state, wanted):
    """Everything that keeps `state` from being the tensors of `wanted`, in words; "" if nothing does."""
    faults = {
        "missing": [name for name in wanted if name not in state],
        "unexpected": [name for name in state if name not in wanted],
        "wrong": [
            f"{name} is {form(state[name])} instead of {form(tensor)}"
            for name, tensor in wanted.items()
            if name in state and not _fits(state[name], tensor)
        ],
    }
    if not any(faults.values()):
        return ""
    most = {"wrong": 3}  # each of these is long
    faults = "; ".join(f"{kind}: {some(names, most.get(kind, 8))}" for kind, names in faults.items() if names)
    return f"does not fit, {faults}{_prefix(state, wanted)}{_kind(state, wanted)}"


def _fits(tensor, wanted):
    return tensor.shape == wanted.shape and tensor.is_floating_point() == wanted.is_floating_point()


def _prefix(state, wanted):
    """What stands before most of the missing names in the file, or before those that the file has."""
    missing, extra = ([name for name in one if name not in other] for one, other in ((wanted, state), (state, wanted)))
    for short, long, said in (
        (missing, extra, "the file has them with {} before"),
        (extra, missing, "the file has them without {} before"),
    ):
        named, before = set(short), Counter()
        for name in long:
            parts = name.split(".")
            before.update(".".join(parts[:i]) + "." for i in range(1, len(parts)) if ".".join(parts[i:]) in named)
        ((prefix, count),) = before.most_common(1) or [("", 0)]
        if count and 2 * count >= len(missing):
            most = "" if count == len(missing) else f"{count} of "
            return f"; {said.replace('them', most + 'them').format(prefix)}"
    return ""


def _kind(state, wanted):
    """What the file seems to be, when that is another kind than the module."""
    kinds = [next((kind for name, kind in LAYOUTS.items() if name in names), None) for names in (state, wanted)]
    return f"; the file looks like {kinds[0]}" if kinds[0] and kinds[0] != kinds[1] else ""


def form(tensor):
    """Shape and type of a tensor."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def some(names, most=8):
    """The first names, and how many more there are."""
    more = f", ... and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + more
