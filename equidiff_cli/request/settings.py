"""What may not be set of Hydra itself."""

from dataclasses import fields, is_dataclass

from omegaconf import DictConfig, OmegaConf

from equidiff_cli.checks import choices

UNTYPED = ("hydra.env",)  # a group of Hydra's that its schema does not name


def refused(hydra: DictConfig):
    """What to say of the first setting of Hydra that there is none of, or that this program cannot work with."""
    if hydra.job.chdir:
        return "hydra.job.chdir=true: paths are those of the directory the command was called in; leave it false"
    return unknown(hydra, "hydra.")


def unknown(node, above):
    """What to say of the first key that a typed node or one below it does not have."""
    kind = OmegaConf.get_type(node)
    if not is_dataclass(kind):  # a plugin's, or names of one's own, such as of environment variables
        return None
    names = [field.name for field in fields(kind)]
    for name in node:
        if name not in names and above + name not in UNTYPED:
            return f"{above}{name}: no such key; {choices(name, [above + other for other in names])}"
        if OmegaConf.is_missing(node, name) or OmegaConf.is_interpolation(node, name):
            continue
        if isinstance(node[name], DictConfig) and (text := unknown(node[name], f"{above}{name}.")):
            return text
    return None
