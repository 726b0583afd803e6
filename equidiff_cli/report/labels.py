"""What sets several runs apart: the settings that differ, and labels that say which run is which."""

from pathlib import PurePath

from equidiff_cli.report.words import SILENT, given, setting

QUERY = "query"  # stands for what the picture shows, not for what its file is called
MOST = 4  # settings in a label


def differing(runs):
    """The keys in which runs differ, the query first; what asks no other question comes last.

    A key is a dotted setting, or a group such as `optimizer` where the options that were chosen explain all of them.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    keys = [key for key in keys if key != QUERY and not key.endswith(("SHA-256)", "pixels)", "coordinates)"))]
    keys = [key for key in keys if len({repr(run.settings.get(key)) for run in runs if _settled(run, key)}) > 1]
    if len({_shown(run) for run in runs if not run.failure}) > 1:
        keys.insert(0, QUERY)
    for group in dict.fromkeys(key.partition(".")[0] for key in keys if "." in key):
        mine = [key for key in keys if key.startswith(f"{group}.")]
        if _explained(runs, group, mine):
            keys[keys.index(mine[0])] = group
            keys = [key for key in keys if key not in mine]
    return sorted(keys, key=lambda key: key in SILENT)


def asking(keys):
    """Those of differing keys that ask another question."""
    return [key for key in keys if key not in SILENT]


def value(run, key):
    """What `key` of `differing` is for a run; None where it is not known."""
    if key == QUERY:
        return given(run)
    return run.settings[key] if key in run.settings else _chosen(run).get(key)


def texts(runs, key):
    """What `key` is for each of the runs, in a few letters; "" where it is not known.

    Of an absolute path the file's name is enough, with as many folders as tell it from another, and of a `_target_`,
    such as `equidiff_cli.parts.filters.Gaussian`, the last part.
    """
    values = [value(run, key) for run in runs]
    known = [key == QUERY or key in run.settings or key in _chosen(run) for run in runs]
    if key.endswith("_target_"):
        return [setting(v).rpartition(".")[2] if k else "" for v, k in zip(values, known, strict=True)]
    paths = {v: PurePath(v).parts for v in values if isinstance(v, str) and PurePath(v).is_absolute()}
    depth = next((n for n in range(1, 9) if len({parts[-n:] for parts in paths.values()}) == len(paths)), 9)
    short = {v: str(PurePath(*parts[-depth:])) if len(parts) > depth else v for v, parts in paths.items()}
    return [
        (short[v] if isinstance(v, str) and v in short else setting(v)) if k else ""
        for v, k in zip(values, known, strict=True)
    ]


def labels(runs, keys):
    """The name of each run, with the settings that set it apart."""
    columns = [texts(runs, key) for key in asking(keys)]
    found = []
    for i, run in enumerate(runs):
        words = [
            f"{key.removesuffix('._target_')}={column[i]}"
            for key, column in zip(asking(keys), columns, strict=True)
            if column[i]
        ]
        more = ", …" if len(words) > MOST else ""
        found.append(f"{run.name}: {', '.join(words[:MOST])}{more}" if words else run.name)
    return found


def _settled(run, key):
    """Whether a setting is what counted: a run that failed before it began has some as they were given, others not."""
    return not run.failure or (key in run.settings and key not in ("device", "precision"))


def _shown(run):
    """What tells one query from another: its pixels or coordinates where they are known, else its name."""
    return next((repr(v) for key, v in run.settings.items() if key.startswith(f"{QUERY} (")), given(run))


def _chosen(run):
    """The option that was chosen of each group."""
    return (run.hydra.get("runtime") or {}).get("choices") or {}


def _explained(runs, group, keys):
    """Whether the options of `group` differ and runs with the same option have the same values of `keys`."""
    options = {}
    for run in (run for run in runs if not run.failure):
        options.setdefault(_chosen(run).get(group), set()).add(repr([run.settings.get(key) for key in keys]))
    return None not in options and len(options) > 1 and all(len(values) == 1 for values in options.values())
