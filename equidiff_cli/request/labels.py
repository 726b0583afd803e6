"""Which class the samples of a prior are drawn as: what `prior.label` says, as a number, and in words."""

from dataclasses import dataclass

from equidiff_cli.prior.accepted import QUERY, RANDOM
from equidiff_cli.target.classes import class_names, index_of, numbered, read_names
from equidiff_cli.target.small import CIFAR10
from equidiff_cli.target.target import top_class

UNTRAINED = {
    "no": "was not trained to draw without a class, its pictures may be no pictures",
    "not known": "may not have been trained to draw without a class, which its authors do not say",
}


@dataclass(frozen=True)
class Label:
    """How the class of a sample is chosen.

    Args:
        asked: as `prior.label` has it: None, the index or name of a class, "query" or "random".
        index: the class of every sample; None for none, and where each has its own.
        names: of the prior's classes.
        null_trained: whether the prior was trained to draw without a class: "yes", "no", "not known"; None for a prior
            that knows no classes.
    """

    asked: int | str | None
    index: int | None
    names: tuple
    null_trained: str | None

    @property
    def rule(self):
        """What `Prior` takes: the class of every sample, None, or "random"."""
        return RANDOM if self.asked == RANDOM else self.index

    @property
    def summary(self):
        """For the record of a run; None for a prior that knows no classes."""
        if self.null_trained is None:
            return None
        return {"asked": self.asked, "class": self.of(self.index), "null_trained": self.null_trained}

    def of(self, index):
        """For the record of a sample of class `index`; None without one."""
        return None if index is None else {"index": index, "name": self.names[index].split(", ")[0]}

    def warnings(self, prior):
        """A line where samples are drawn without a class by a prior that never was trained to."""
        if self.asked is not None or self.null_trained not in UNTRAINED:
            return []
        return [
            f"prior.label=null: {prior} {UNTRAINED[self.null_trained]}; prior.label={RANDOM} draws each sample as a"
            f" class of its own, prior.label={QUERY} as what the target sees in the query"
        ]


def label_of(source):
    """The `Label` that a light prior asks for, with the index of a class that is given; `ValueError` for a class that
    there is not. Of "query" the index is still to be found, by `settled`.
    """
    asked, null_trained = getattr(source, "label", None), getattr(source, "null_trained", None)
    if null_trained is None or not source.num_classes:
        if asked is not None:
            raise ValueError(f"prior.label={asked}: this prior knows no classes; leave it null")
        return Label(None, None, (), None)
    names = names_of(source)
    if asked is None and null_trained == "none":
        raise ValueError(
            f"prior.label=null: this prior always draws a class; give one of its {len(names)} classes by index or"
            f" name, {QUERY} or {RANDOM}"
        )
    given = asked not in (None, QUERY, RANDOM)
    name = getattr(source, "name", "the prior")
    return Label(asked, index_of("prior.label", asked, names, name) if given else None, names, null_trained)


def names_of(source):
    """The names of a light prior's classes, a tuple; their indices where it gives none."""
    classes, count = source.classes, source.num_classes
    classes = getattr(source, "known", None) if classes is None else classes
    if classes is None:
        return numbered(count)
    if classes == "cifar10":
        names = CIFAR10
    elif classes == "imagenet":
        from equidiff_cli.target.timm_models import imagenet  # timm takes longer to import than torch

        names = imagenet(1000)
    elif isinstance(classes, str):
        names = read_names("prior.classes", classes)
    else:
        names = class_names("prior.classes", classes)
    if len(names) != count:
        raise ValueError(f"prior.classes: names {len(names)} classes, the prior has {count}")
    return names


def settled(label, target, query):
    """The `Label` with what "query" means: the top class of the query (1, 3, H, W) for the target.

    `ValueError` unless target and prior know the same classes by the same names.
    """
    if label.asked != QUERY:
        return label
    classes = tuple(getattr(target, "_classes", ()))
    if classes != label.names or classes == numbered(len(classes)):
        raise ValueError(
            f"prior.label={QUERY}: the classes of {target.name} are not those of the prior, as far as their names tell;"
            f" give a class by its index or name, or {RANDOM}"
        )
    return Label(QUERY, top_class(target, query), label.names, label.null_trained)
