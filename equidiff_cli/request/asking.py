"""What is asked: keys and combinations of them that make no sense, told without torch."""

import json

from omegaconf import DictConfig, OmegaConf

from equidiff_cli.checks import number, one_of
from equidiff_cli.pictures.mask import region_of
from equidiff_cli.pictures.read import NOTHING
from equidiff_cli.prior.accepted import QUERY, RANDOM
from equidiff_cli.request.groups import PICTURES, check_group, kind, plain
from equidiff_cli.request.schema import composed

WAYS = ("value", "change", "percentile")
NEEDS_QUERY = ("Invariance", "Counterfactual")
LABELLED = {"Logit": ("label",), "Probability": ("label",), "Margin": ("label", "against")}
TERM_GROUPS = ("target", "objective", "question")
LAWFUL = ("Rejection", "Walk")  # methods whose members have the law of the prior on the set


def check_asking(config: DictConfig):
    """`ValueError` for the first of these that is wrong."""
    check_start(config)
    check_question(config, config.objective, config.question)
    check_diverse(config)
    check_law(config)
    if config.query == NOTHING:
        check_nothing(config)
    if kind(config.objective) == "All":
        check_terms(config)


def check_start(config):
    """The keys `near`, `least_psnr` and those of the region."""
    number("least_psnr", config.least_psnr, minimum=0)
    one_of("region_role", config.region_role, ("free", "evidence"))
    number("region_share", config.region_share, above=0, maximum=0.9)
    if config.near is not None:
        shares(config.near)
    if config.region is not None and config.prior._target_.startswith(PICTURES):
        region_of(plain(config.region), config.query, config.prior.image_size)
    elif config.region is not None and not isinstance(config.prior.get("image_size"), int):
        raise ValueError(f"region={config.region}: is of pictures, which this prior does not make")


def shares(near):
    """(least, most) of `near`, a number or two."""
    pair = plain(near) if OmegaConf.is_list(near) else [near, near]
    if len(pair) != 2 or any(isinstance(one, bool) or not isinstance(one, (int, float)) for one in pair):
        raise ValueError(f"near={near}: must be a number from 0 to 1, or two such as [0,1]")
    for one in pair:
        number("near", one, minimum=0, maximum=1)
    if pair[0] > pair[1]:
        raise ValueError(f"near={near}: the smaller number comes first")
    return tuple(pair)


def check_question(config, objective, question):
    """The keys of a question beside its objective."""
    if kind(question) == "Reach":
        given = [name for name in WAYS if question.get(name) is not None]
        if len(given) != 1:
            found = " and ".join(f"question.{name}" for name in given) or "question=reach"
            raise ValueError(f"{found}: give one of {', '.join(f'question.{name}' for name in WAYS)}")
        if kind(config.distance) == "KL" and given != ["value"]:
            raise ValueError(f"question.{given[0]}: distance=kl needs a distribution to reach; give question.value")
    if kind(objective) == "All" and kind(question) != "Invariance":
        raise ValueError("objective=all: the question is that of each term; leave question=hold, and give it in terms")


def check_diverse(config):
    """The key `diverse`, and what it needs."""
    if not isinstance(config.diverse, bool):
        number("diverse", config.diverse, above=0)
    if config.diverse and (config.batch == "auto" or config.batch < 2):
        raise ValueError(
            f"batch={config.batch}: with diverse={str(config.diverse).lower()} samples of a batch repel each other, so"
            " its size must be a number, at least 2"
        )
    if config.diverse and config.pad:
        raise ValueError(
            f"pad=true: with diverse={str(config.diverse).lower()} samples would be repelled by those that fill"
            " up their batch; leave it out"
        )


def check_law(config):
    """What would give members another law than their method has, and the query's noise where it is none."""
    method, free = kind(config.method), config.region is not None and config.region_role == "free"
    near = "near" if config.near is not None else "region" if free else None
    if kind(config.question) == "Counterfactual":
        near = near or "question"
    besides = near or ("diverse" if config.diverse else None)
    if method == "Rejection" and besides:
        raise ValueError(
            f"{besides}={said(config, besides)}: method=rejection accepts pictures as the prior draws them, by the"
            " value alone; leave it out, or use method=latent"
        )
    if config.prior.get("label") != RANDOM:
        return
    if method in LAWFUL:
        raise ValueError(
            f"prior.label={RANDOM}: each sample would keep the class of its seed, however rare the value is there, and"
            f" method={method.lower()} would not have the law of the prior; give one class, or null"
        )
    if near:
        raise ValueError(
            f"prior.label={RANDOM}: with {near}={said(config, near)} samples begin at the query's own noise, which"
            " depends on the class; give one class, or null"
        )


def said(config, key):
    """How a key was given, as far as one line takes it."""
    return kind(config[key]).lower() if OmegaConf.is_dict(config[key]) else plain(config[key])


def check_nothing(config):
    """What cannot be asked without a query."""
    if kind(config.question) in NEEDS_QUERY and kind(config.objective) != "All":
        raise ValueError(f"query={NOTHING}: this question is about a query; use question=reach, raise or lower")
    if kind(config.question) == "Reach" and config.question.change is not None:
        raise ValueError(f"question.change: is counted from the query's value, and query={NOTHING}; use question.value")
    if config.prior.get("label") == QUERY:
        raise ValueError(f"prior.label={QUERY}: is a class of the query, and query={NOTHING}; name the class")
    for key in ("near", "region"):
        if config[key] is not None:
            raise ValueError(f"{key}={config[key]}: needs a query, and query={NOTHING}")
    unlabelled(config.objective, "objective")


def unlabelled(objective, key):
    """`ValueError` for classes that only a query could tell."""
    for name in LABELLED.get(kind(objective), ()):
        if objective.get(name) is None:
            raise ValueError(f"{key}.{name}: null is a class of the query, and query={NOTHING}; name the class")


def check_terms(config):
    """`ValueError` in one line for a term of `objective=all` that is wrong, and for two that ask of the same value."""
    seen = {}
    for i, (target, objective, question, _) in enumerate(composed_terms(plain(config.objective.terms))):
        where = f"objective.terms[{i}]"
        check_question(config, objective, question)
        if config.query == NOTHING:
            check_nothing(OmegaConf.merge(config, {"objective": objective, "question": question}))
        same = json.dumps([plain(config.target if target is None else target), plain(objective)], sort_keys=True)
        if same in seen:
            raise ValueError(f"{where}: asks of the same value as objective.terms[{seen[same]}]; they would contradict")
        seen[same] = i


def composed_terms(terms):
    """The terms of `objective=all`, a list of dicts, as configurations: (target, objective, question, weight) of each.

    The target is None where it is that of the run. `ValueError` for what is no such list.
    """
    if not isinstance(terms, list) or len(terms) < 2 or not all(isinstance(term, dict) for term in terms):
        raise ValueError(f"objective.terms={terms}: must be a list of at least two, such as [{{objective: logit}},...]")
    return [composed_term(term, f"objective.terms[{i}]") for i, term in enumerate(terms)]


def composed_term(term, where):
    """One of them, whose keys are groups or dotted."""
    from hydra.errors import HydraException

    weight = number(f"{where}.weight", term.get("weight", 1.0), above=0)
    words = [f"{key}={word(value)}" for key, value in term.items() if key != "weight"]
    groups = [str(key).partition(".")[0] for key in term if key != "weight"]
    if unknown := [group for group in groups if group not in TERM_GROUPS]:
        raise ValueError(f"{where}.{unknown[0]}: no such key; use {', '.join(TERM_GROUPS)}, their keys, or weight")
    if "target" in groups and "target" not in term:
        raise ValueError(f"{where}: has keys of a target and no target; give target, too")
    try:
        part = composed(*words)
    except HydraException as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ValueError(f"{where}: {' '.join(words)}: {reason}") from error
    missing = [name for name in sorted(OmegaConf.missing_keys(part)) if name.partition(".")[0] in TERM_GROUPS]
    if missing:
        raise ValueError(f"{where}: {missing[0]} has no default, give it in the term")
    for group in TERM_GROUPS:
        check_group(part, group)
    if kind(part.objective) == "All" or kind(part.question) == "Counterfactual":
        raise ValueError(f"{where}: objective=all and question=counterfactual are no terms")
    return part.target if "target" in term else None, part.objective, part.question, float(weight)


def word(value):
    """A value as Hydra's grammar takes it."""
    return (
        value if isinstance(value, str) and value.replace("_", "a").replace(".", "a").isalnum() else json.dumps(value)
    )
