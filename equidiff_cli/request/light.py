"""Light objects of priors and targets: as a configuration names them, their weights found, and made ready."""

import logging

from omegaconf import DictConfig, OmegaConf, open_dict

from equidiff_cli.engine.trial import pictures
from equidiff_cli.request.guard import untouched
from equidiff_cli.request.part import parameters, part
from equidiff_cli.target import probabilities
from equidiff_cli.target.adopt import adopt, built
from equidiff_cli.weights.hub import find
from equidiff_cli.weights.modules import Modules

log = logging.getLogger(__name__)


def light_prior(config: DictConfig):
    """The light object of the group `prior`. One of a user's own that takes no label draws without a class."""
    taken = parameters(config, "prior")
    if taken is not None and "label" not in taken and config.prior.get("label", "") is None:
        config = config.copy()
        with open_dict(config):
            del config.prior.label
    return part(config, "prior")


def bring(*light, say):
    """See that every file of weights of light objects is there, downloading what is published; `ValueError` for what is
    nowhere.

    Args:
        say: called with a line before every download.
    """
    find([source for one in light for source in sources(one)], say)


def sources(light):
    """Where the weights of a light object come from; nothing for what ships with the package and for a user's own."""
    return light.sources() if hasattr(light, "sources") else []


def prior_of(prior_source, device, autocast, compiled):
    """The prior of a light object, with its velocity compiled if that is asked."""
    prior = prior_source.build(device=device, autocast=autocast)
    if compiled:
        prior.compile()
    return prior


def ready(target_source, query):
    """The `Target` of a light object, or of what a user's `target._target_` returned, on the device of the query.

    What it was found to be is kept with it: `states`, the SHA-256 of networks whose weights are in no file that is
    known for sure, and `gives_probabilities`.
    """
    with untouched("target"):
        made = built(target_source)
        target = adopt(made, query)
    target.model.to(query.device)
    ours = made is not target_source and type(target_source).__module__.startswith("equidiff_cli.")
    target.states = {} if ours else Modules().digests(made)
    target.gives_probabilities = probabilities.are_given(target, pictures(query))
    return target


def target_of_term(node, query):
    """The target of a term that names its own, ready."""
    source = part(OmegaConf.create({"target": node}), "target")
    bring(source, say=log.info)
    return ready(source, query)
