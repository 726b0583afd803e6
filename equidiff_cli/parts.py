"""What a configuration names, made ready to use: shared by the commands that run a model."""

from equidiff_cli import config as configuration
from equidiff_cli.prior.hub import find
from equidiff_cli.target import adopt


def bring(config, say):
    """See that every file of weights is there, downloading what is published; `ValueError` for what is nowhere.

    Args:
        say: called with a line before every download.
    """
    find([source for group in ("target", "prior") for source in configuration.sources(config, group)], say)


def build_target(config, query):
    """The `Target` of the group `target`, on the device of the query (1, 3, H, W)."""
    target = adopt(configuration.build(config, "target"), query)
    target.model.to(query.device)
    return target
