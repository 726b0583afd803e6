"""What the groups hold, checked without importing what they name, which may take seconds.

A value that only a network or a user's own code can judge is checked where that is loaded, from `build.py`.
"""

import logging
import re
from contextlib import contextmanager

import yaml
from omegaconf import DictConfig, OmegaConf

from equidiff_cli.checks import choices
from equidiff_cli.parts.accepted import ACCEPTED as OF_PARTS
from equidiff_cli.pictures.read import NOTHING, load
from equidiff_cli.prior.accepted import ACCEPTED as OF_PRIORS
from equidiff_cli.request.schema import configs
from equidiff_cli.shipped import QUERIES

GROUPS = ("method", "prior", "target", "question", "objective", "distance", "filter", "robust", "optimizer")
ACCEPTED = OF_PARTS | OF_PRIORS
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
PICTURES = "equidiff_cli.prior."  # what makes pictures, and so takes one as its query


def check_group(config: DictConfig, group: str):
    """`ValueError` for a group that names nothing, and for keys and values that a shipped option does not take."""
    node = config[group]
    if not OmegaConf.is_dict(node):
        raise ValueError(
            f"{group}={node}: must hold keys; in a file, another option is chosen in defaults: - override /{group}:"
            f" {node}"
        )
    if "_target_" not in node:
        raise ValueError(f"{group}._target_: has no default, give a value ({group}._target_=module.name)")
    target = node._target_
    if not isinstance(target, str) or not DOTTED.fullmatch(target):
        raise ValueError(f"{group}._target_={target}: must name a function or a class, as in module.name")
    taken = shipped_keys(group, target)
    if taken is None:  # a user's own says itself what it accepts
        return
    for name in node:
        if name not in taken:
            raise ValueError(no_such_key(group, name, [key for key in taken if not key.startswith("_")]))
        if check := ACCEPTED.get(f"{group}.{name}"):
            check(f"{group}.{name}", node[name])


def kind(node):
    """The name of the class or function that a group's option names, such as `Invariance`."""
    return str(node.get("_target_")).rpartition(".")[2]


def no_such_key(group, name, names):
    """What to say of a key that an option with the keys `names` does not take."""
    return f"{group}.{name}: no such key; " + (choices(name, names) if names else f"this {group} takes none")


def shipped_keys(group: str, target: str):
    """The keys of the shipped options of a group that name `target`; None if none does."""
    files = [file.read_text(encoding="utf-8") for file in sorted((configs() / group).glob("*.yaml"))]
    found = [yaml.safe_load(text) for text in files if re.search(rf"^_target_: {re.escape(target)}$", text, re.M)]
    return set().union(*found) if found else None


def check_query(config: DictConfig):
    """`ValueError` for a query that is no picture, where the prior is known to make pictures."""
    if config.prior._target_.startswith(PICTURES) and config.query != NOTHING:
        with silent("equidiff_cli.pictures.read"):  # what it has to remark is said when it is read for good
            load(config.query, config.prior.image_size, QUERIES)


@contextmanager
def silent(name):
    """Let the logger `name` say nothing."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def plain(node):
    """A node as plain Python."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
