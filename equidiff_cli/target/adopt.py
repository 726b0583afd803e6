"""A user's own network as a `Target`: what it takes and gives is found with the query, and said."""

import torch

from equidiff_cli.target.classes import class_names, numbered
from equidiff_cli.target.copies import copied
from equidiff_cli.target.names import called
from equidiff_cli.target.outputs import rows, taken
from equidiff_cli.target.prepare import Luminance
from equidiff_cli.target.target import Target, freeze

GIVES = "must map pictures (N, 3, H, W) in [0, 1] to logits (N, classes)"


def built(made):
    """What a light object builds, and everything else as it is: a network can be called, a light object cannot."""
    return made.build() if hasattr(made, "build") and not callable(made) else made


def adopt(made, query):
    """What a user's `target._target_` returned, or what that built, as a `Target`: one already, what has the same
    attributes, or a module.

    A module maps pictures (N, 3, H, W) in [0, 1] to logits (N, classes), its preprocessing included; its attribute
    `classes`, if it has one, names them. What `outputs.taken` finds logits in will do, too; weights that are not
    float32 are made so, and a network that takes one channel is given the luminance, where it fails otherwise.
    `Target.uses` says so.

    Args:
        query: the query (1, 3, H, W), to see how many classes there are.
    """
    if isinstance(made, Target):
        return _checked(made, query)
    if isinstance(made, torch.nn.Module):
        return _of_module(made, query)
    if not isinstance(made, type) and callable(made) and all(hasattr(made, one) for one in ("model", "name", "files")):
        return copied(made)
    what = f"the class {made.__name__} itself, not one of it" if isinstance(made, type) else f"a {type(made).__name__}"
    raise ValueError(
        f"target._target_: returned {what}; must return a torch.nn.Module or an equidiff Target, or what can be"
        " called like one and has model, name and files"
    )


def _checked(target, query):
    """A target that takes the query, and gives as many logits as it has classes, if it has any."""
    if target.channels != query.shape[1]:
        raise ValueError(
            f"target={target.name}: takes {target.channels} channels, but the prior makes {query.shape[1]} (pictures"
            " have 3, points of the plane 2); prior=circles and target=circles go together"
        )
    target.model.to(query.device)
    key = f"target={target.name}:"
    output, done = _first(key, target.model, target, query)
    target.uses |= done
    if names := target._classes:
        if not isinstance(output, torch.Tensor) or output.ndim != 2 or len(output) != 1:
            raise ValueError(f"{key} {GIVES}, {_given(output)}; without classes, give []")
        if len(names) != output.shape[1]:
            raise ValueError(f"{key} names {len(names)} classes but gives {output.shape[1]} logits")
    return target


def _of_module(made, query):
    """`adopt` for a module."""
    inner = made.module if isinstance(made, torch.nn.DataParallel) else made
    name = called(getattr(inner, "_orig_mod", inner))
    key = f"target._target_: {name}"
    lazy = [where for where, one in made.named_parameters() if torch.nn.parameter.is_lazy(one)]
    if lazy:
        raise ValueError(f"{key} has layers without weights ({lazy[0]}); load them, or call it once before")
    freeze(made.to(query.device))
    grey = query.shape[1] == 3 and _takes_one_channel(made)
    output, uses = _first(key, made, made, query, grey)
    transform = Luminance() if "input" in uses else torch.nn.Identity()
    values, where = taken(output)
    if values is None:
        raise ValueError(f"{key} {GIVES}, {_given(output)}")
    if where:
        uses["output"] = where
    second, _ = _first(key, made, lambda x: made(transform(x)), torch.cat([query, query]))
    one, two = rows(values, 1), rows(taken(second)[0], 2)
    if one.ndim != 2 or two.shape != (2, one.shape[1]):
        raise ValueError(
            f"{key} {GIVES}, gave {tuple(values.shape)} for one picture and {tuple(taken(second)[0].shape)} for two"
        )
    if not one.is_floating_point():
        raise ValueError(f"{key} gives {str(one.dtype).removeprefix('torch.')}; logits are floating-point numbers")
    if one.isnan().any():
        raise ValueError(f"{key} gives nan for the query; its weights or its preprocessing are wrong")
    return Target(made, transform, _names(key, inner, one.shape[1]), name, channels=query.shape[1], uses=uses)


def _names(key, module, count):
    """Names of `count` classes: of the module's attribute `classes`, where that names any."""
    classes = getattr(module, "classes", None)
    if isinstance(classes, int) and classes != count:
        raise ValueError(f"{key} has classes={classes} but gives {count} logits")
    if classes is None or isinstance(classes, int) or callable(classes):  # a layer may have this name, or a method
        return numbered(count)
    names = class_names(f"{key}.classes", classes) or numbered(count)
    if len(names) != count:
        raise ValueError(f"{key} names {len(names)} classes but gives {count} logits")
    return names


@torch.no_grad()
def _first(key, module, call, pictures, grey=False):
    """(output for pictures, what had to be done for it); `ValueError` in one line for a network that fails on them.

    Args:
        grey: whether the luminance may be tried where the picture fails.
    """
    done, given = {}, pictures
    while True:
        try:
            return call(given.clone()), done
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            kinds = {one.dtype for one in module.parameters() if one.is_floating_point()} - {torch.float32}
            if kinds:
                module.float()
                done["weights"] = f"float32, given as {', '.join(sorted(str(kind)[6:] for kind in kinds))}"
            elif grey and "input" not in done:
                done["input"], given = "luminance, for the network takes one channel", Luminance()(pictures)
            else:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise ValueError(
                    f"{key} fails on pictures {tuple(pictures.shape)}; it {GIVES}, its own resizing and normalisation"
                    f" included; it said {reason[:300]}"
                ) from error


def _takes_one_channel(module):
    """Whether its first convolution has one input channel."""
    first = next((one for one in module.parameters() if one.ndim == 4), None)
    return first is not None and first.shape[1] == 1


def _given(output):
    """What a network gave, in words."""
    if isinstance(output, torch.Tensor):
        return f"gave {tuple(output.shape)}"
    inside = f" of {', '.join(map(str, output))}" if isinstance(output, dict) else ""
    return f"gave a {type(output).__name__}{inside}"
