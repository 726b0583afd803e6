"""Which classes of two networks are the same, by their names: only those can be compared."""

import functools

from equidiff_cli.target.classes import plain


@functools.cache
def matches(mine, other):
    """Pairs (i, j) of the indices of classes that two tuples of names share, by i.

    Names count as `Target.class_index` takes them, and of several names of a class one is enough. A name that two
    classes of one network have matches nothing. Numbers are no names: networks that only number their classes match
    if they number equally many.
    """
    if mine == other:
        return [(i, i) for i in range(len(mine))]
    if nameless(mine) or nameless(other):
        return []
    found = {}
    for spelled in (whole, each):  # the whole name first: "maillot" is not "maillot, tank suit"
        ours, theirs = by_name(mine, spelled, found.keys()), by_name(other, spelled, found.values())
        pairs = {(ours[name], theirs[name]) for name in ours.keys() & theirs.keys()}
        left, right = ([pair[side] for pair in pairs] for side in (0, 1))
        found |= {i: j for i, j in pairs if left.count(i) == right.count(j) == 1}
    return sorted(found.items())


def by_name(classes, spelled, done):
    """name -> index, of the names that one class alone has; `done` are the indices of classes to leave out."""
    indices = {}
    for i, text in enumerate(classes):
        for name in spelled(text):
            indices.setdefault(name, []).append(i)
    return {name: found[0] for name, found in indices.items() if len(found) == 1 and found[0] not in done}


def whole(names):
    return {plain(names)}


def each(names):
    return {plain(name) for name in names.split(", ")}


def nameless(classes):
    """Whether classes have numbers in place of names."""
    return list(classes) == [str(i) for i in range(len(classes))]


def names_of(target):
    """The names (a tuple) of a target's classes, None for a network that gives features."""
    try:
        return tuple(target.classes)
    except ValueError:
        return None


def incomparable(target, other):
    """Why what two networks say cannot be compared, or None; where one has no classes, nothing is compared."""
    mine, theirs = names_of(target), names_of(other)
    if mine is None or theirs is None or len(matches(mine, theirs)) >= 2:
        return None
    ours, them = (f"{len(names)} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})" for names in (mine, theirs))
    shared = len(matches(mine, theirs)) or "none"
    return f"its classes, {them}, are others than those of {target.name}, {ours}: {shared} of them have the same name"
