"""Weights into a model of timm, which makes many of other shapes fit by interpolation or drops them: not here."""

import math

import timm
import torch

from equidiff_cli.weights.fit import fitted, form, misfit

UNFIT = (LookupError, AttributeError, AssertionError, TypeError, ValueError, RuntimeError)  # of filters for other names


def into(name, state, overlay, key, file, own):
    """(model, what was done with the names) of timm's model `name` with the tensors of a file.

    Args:
        state: tensors by name, in timm's layout or in one that timm knows how to rename.
        overlay: `num_classes` and `input_size` in place of those published.
        key, file: where `state` came from, for errors.
        own: whether weights or size are not those published; then no tensor may have another shape than the model's.
    """
    bare = make(name, overlay)
    wanted = bare.state_dict()
    state, taken = fitted(state, wanted)
    if own:
        refuse_other_classes(bare, state, wanted, key, file)
        refuse_other_shapes(name, overlay, bare, state, wanted, key, file)
    try:
        model = _loaded(name, state, overlay)
    except UNFIT as error:
        reason = misfit(state, wanted) or " ".join(str(error).split())[:300]
        raise ValueError(f"{key}={file}: {reason}") from None
    lost = [one for one in wanted if one not in state]
    if lost and _is_random(lost, model, lambda: _loaded(name, state, overlay)):
        raise ValueError(f"{key}={file}: {misfit(state, wanted)}")
    return model, taken


def make(name, overlay, **options):
    """The model without values."""
    with torch.device("meta"):
        return timm.create_model(name, pretrained_cfg_overlay=overlay, **options)


def _loaded(name, state, overlay):
    model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay | {"state_dict": dict(state)})
    model.pretrained_cfg.pop("state_dict")  # a second copy
    return model


def _is_random(names, model, again):
    """Whether tensors of these names are another every time: timm loads some models without asking for all."""
    first, second = model.state_dict(), again().state_dict()
    return any(not torch.equal(first[name], second[name]) for name in names)


def refuse_other_classes(bare, state, wanted, key, file):
    """`ValueError` for a classifier with another number of classes, which says how many the file has."""
    heads = bare.pretrained_cfg.get("classifier") or ()
    for head in [heads] if isinstance(heads, str) else heads:
        for name in (f"{head}.weight", f"{head}.bias"):
            if name in state and len(state[name]) != (len(wanted[name]) if name in wanted else 0):
                has = len(wanted[name]) if name in wanted else "no"
                raise ValueError(
                    f"{key}={file}: is of {len(state[name])} classes ({name} is {tuple(state[name].shape)}), the model"
                    f" has {has}; give target.num_classes={len(state[name])}"
                )


def refuse_other_shapes(name, overlay, bare, state, wanted, key, file):
    """`ValueError` for the first tensor whose shape is another than the model's, with the size that fits, if any does.

    As many numbers in another shape are left to timm: they are rearranged, not interpolated.
    """
    other = [one for one in wanted if one in state and state[one].numel() != wanted[one].numel()]
    if not other:
        return
    first = other[0]
    conv = bare.pretrained_cfg.get("first_conv")
    pixels = state[f"{conv}.weight"] if isinstance(conv, str) and f"{conv}.weight" in other else None
    channels = pixels.shape[1] if pixels is not None and pixels.ndim == 4 else None
    size = bare.pretrained_cfg["input_size"]
    offer = "choose in target.name the model that the file is of"
    if channels is not None and channels != size[0]:
        first = conv + ".weight"
        offer = f"the file is of {channels} channels and pictures have 3 or, as luminance, 1"
        if channels in (1, 3):
            offer = f"give target.input_size=[{channels},{size[1]},{size[2]}]"
            offer += " with target.mean and target.std" if channels == 1 else ""
    else:
        sides = [side for side in _sides(bare, state, wanted, other) if _fits(name, overlay, state, other, side)]
        if sides:
            offer = f"the file is of pictures of {sides[0]} pixels, give target.input_size={sides[0]}"
        elif not wanted.keys() <= state.keys():  # of another network
            raise ValueError(f"{key}={file}: {misfit(state, wanted)}")
    more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
    raise ValueError(
        f"{key}={file}: {first} is {form(state[first])}, in the model {form(wanted[first])}{more}; weights of another"
        f" size would be interpolated, so they are not taken; {offer}"
    )


def _sides(bare, state, wanted, other):
    """Sides of square pictures that tensors of these shapes may be of: tables of positions, and of relative ones."""
    patches = getattr(getattr(bare, "patch_embed", None), "patch_size", None)
    strides = [patches[0] if isinstance(patches, (tuple, list)) else patches] if patches else []
    found = {}
    for name in other:
        lengths, now = state[name].shape, wanted[name].shape
        for length in (one for one, was in zip(lengths, now, strict=False) if one != was):
            squares = [length - more for more in (0, 1, 2, 3, 4, 5, 8)]  # class tokens, registers, special distances
            roots = [math.isqrt(one) for one in squares if one > 0 and math.isqrt(one) ** 2 == one]
            grids = [*roots, *((root + 1) // 2 for root in roots), (length + 1) // 2, length]
            found |= dict.fromkeys(grid * stride for grid in grids for stride in (*strides, 32))
    return [side for side in found if side <= 2048]


def _fits(name, overlay, state, other, side):
    """Whether the model for pictures of that side has the file's shapes."""
    size = (overlay.get("input_size") or (3,))[0], side, side
    try:
        wanted = make(name, overlay | {"input_size": size}).state_dict()
    except UNFIT:
        return False
    return all(one in wanted and state[one].numel() == wanted[one].numel() for one in other)
