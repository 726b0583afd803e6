"""A user's own attributes: the classes of a network, a function of pictures, or labels of real pictures in a CSV."""

import csv
import pkgutil
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from equidiff_cli.audit.attributes.attribute import Attribute, pictured
from equidiff_cli.audit.attributes.networks import of_classes
from equidiff_cli.request.guard import untouched
from equidiff_cli.study.sets import Network, each

FEWEST = 20  # labelled pictures
FOLDS = 5
PENALTIES = np.logspace(-2, 4, 13)


def own(case, word, network_of):
    """The `Attribute`s that one word of `attribute` stands for; `ValueError` if it stands for none.

    Args:
        network_of: the name of an option of the group target -> the network.
    """
    if word.endswith(".csv"):
        return of_labels(case, word)
    if "." in word:
        return [of_function(case, word)]
    target = network_of(word)
    try:
        classes = tuple(target.classes)
    except ValueError:
        raise ValueError(f"attribute={word}: gives features and has no classes; use a classifier") from None
    return of_classes(case, Network(word, target.name, f"the network {target.name}", classes, target))


def of_function(case, word):
    """The `Attribute` of a function `module.name` of pictures (N, 3, H, W) in [0, 1] -> (N,), tried on the query."""
    try:
        with untouched(f"attribute={word}"):
            function = pkgutil.resolve_name(word)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"attribute={word}: cannot be had: {error}") from error

    def called(x):
        with untouched(f"attribute={word}"):
            found = function(x.float())
        if not isinstance(found, torch.Tensor) or found.shape != (len(x),):
            got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(f"attribute={word}: gave {got} for {len(x)} pictures; must give a tensor ({len(x)},)")
        return found

    called(case.query.pictures)
    title = word.rpartition(".")[2].replace("_", " ")
    return pictured(word, title, f"little {title}", f"much {title}", called, f"your function {word}")


def of_labels(case, file):
    """An `Attribute` for each column of a CSV of labels but `file`: ridge regression on features of the last network,
    fitted to the real pictures that are labelled. `ValueError` where it cannot be learned."""
    if case.real is None:
        raise ValueError(f"attribute={file}: labels are of real pictures; give their folder, real=FOLDER")
    try:
        with open(file, newline="", encoding="utf-8") as opened:
            table = list(csv.DictReader(opened))
    except OSError as error:
        raise ValueError(f"attribute={file}: cannot be read: {error.strerror}") from error
    if not table or "file" not in table[0] or len(table[0]) < 2:
        raise ValueError(f"attribute={file}: must have a column file and at least one column of numbers")
    rows = {Path(row["file"]).name: row for row in table}
    return [learned(case, file, name, rows) for name in table[0] if name != "file"]


def learned(case, file, name, rows):
    """The `Attribute` of one column."""
    known = [(i, rows[path.name][name]) for i, path in enumerate(case.real_files) if path.name in rows]
    try:
        labels = np.array([float(value) for _, value in known])
    except ValueError:
        raise ValueError(f"attribute={file}: column {name} holds something that is no number") from None
    if len(known) < FEWEST or labels.std() == 0:
        raise ValueError(
            f"attribute={file}: column {name} labels {len(known)} pictures of real={case.options.real} with"
            f" {len(set(labels))} values; at least {FEWEST} pictures and 2 values are needed"
        )
    network = case.networks[-1]
    features = case.real.features(network)[[i for i, _ in known]].double().numpy()
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    order = np.random.default_rng(case.options.seed).permutation(len(labels))
    score = cross_val_score(model, features[order], labels[order], cv=FOLDS, scoring="r2").mean()
    model.fit(features, labels)

    @each
    def values(set):
        return torch.from_numpy(model.predict(set.features(network).double().numpy()))

    source = f"ridge on features of {network.name}, {len(labels)} labels, cross-validated R2 {score:.2f}"
    return Attribute(name, name.replace("_", " "), f"little {name}", f"much {name}", values, source)
