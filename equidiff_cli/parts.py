"""What a configuration names, made ready to use: shared by the commands that run a model."""

from equidiff_cli import config as configuration
from equidiff_cli.prior.hub import find
from equidiff_cli.prior.weights import sha256
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


def prior_weights(prior):
    """SHA-256 of the files of a prior's weights, by `prior/` and the file's name: a target's may have the same name."""
    return {f"prior/{name}": digest for name, digest in prior.weights.items()}


def target_weights(target, digest=sha256):
    """The same of a target, by `target/` and the file's name; `digest` gives the SHA-256 of a file."""
    return {f"target/{file.name}": digest(file) for file in target.files}
