"""What the results of a run depend on: settings, the query and the weights of every network, by their SHA-256."""

import hashlib

from equidiff_cli.prior.accepted import QUERY
from equidiff_cli.request.cluster import PLACES
from equidiff_cli.target.copies import Copied
from equidiff_cli.weights.modules import Modules
from equidiff_cli.weights.read import sha256


def identity_of(settings, weights, of_query, label, mask, method):
    """All of it by name; a run goes on only with the same.

    Args:
        settings: every value of the configuration by dotted key, as it was settled.
        weights: SHA-256 of every network, by name.
        of_query: what tells the query from others.
        label: `Label`, how the class of a sample is chosen.
        mask: (1, 1, H, W), the region; None without one.
        method: its `identity`, where it has one, counts as well.
    """
    found = {name: value for name, value in settings.items() if name.partition(".")[0] not in PLACES}
    found |= of_query | {"weights (SHA-256)": weights}
    if settings["shard"] is not None:
        found["shard"] = f"{settings['shard']} of {settings['shards']}"
    if label.asked == QUERY:
        found["prior.label (class of the query)"] = label.index
    if mask is not None:
        found["region"] = "a mask" if isinstance(settings["region"], str) else settings["region"]
        found["region (SHA-256 of its pixels)"] = hashlib.sha256(mask.bool().cpu().numpy().tobytes()).hexdigest()
    found |= getattr(method, "identity", {})
    if settings["diverse"]:  # members of a batch repel each other, so which share one counts
        found["diverse (batch)"] = settings["batch"]
    return found


def prior_weights(prior):
    """SHA-256 of the files of a prior's weights, by `prior/` and the file's name: a target's may have the same name."""
    return {f"prior/{name}": digest for name, digest in prior.weights.items()}


def target_weights(target, digest=sha256):
    """The same of a target, by `target/` and the file's name; `digest` gives the SHA-256 of a file."""
    files = {f"target/{file.name}": digest(file) for file in target.files}
    return files | {f"target/{name}": state for name, state in target.states.items()}


def own_weights(target, **parts):
    """SHA-256 of the networks in a user's own parts but for those of the target, by group, kind and place."""
    modules, found = Modules(), {}
    for _ in modules.of(bare(target)):
        pass  # now they are known
    for group, made in parts.items():
        found |= {f"{group}/{name}": state for name, state in modules.digests(bare(made)).items()}
    return found


def bare(made):
    """What was made, without the wrapper that hands it copies."""
    return made.made if isinstance(made, Copied) else made
