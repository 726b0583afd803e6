"""Do the samples still look like what the prior makes? Their noise, their likelihood, and sets of features."""

import torch

from equidiff_cli.methods.onepass import OnePass
from equidiff_cli.metrics import frechet as distances
from equidiff_cli.metrics import typicality as white
from equidiff_cli.metrics.likelihood import bits_per_dimension, standard_error
from equidiff_cli.metrics.saturation import BRIGHT, DARK, saturation
from equidiff_cli.request.question import resolved
from equidiff_cli.runs.reader import noiseless
from equidiff_cli.study.findings import Section, words_beside
from equidiff_cli.study.metric import MEAN, SHARE, Statistic, apart, as_many, metric
from equidiff_cli.study.null import log_likelihoods
from equidiff_cli.study.sets import each, once

WORDS = words_beside(__file__)
UNLIKELY = 0.05
SUBSEQUENCE, PERMUTATIONS = 4, 100  # as in the code of Tang et al. (2024)


def realism(case):
    """The section `realism` of a case."""
    section = Section("realism", case, WORDS, facts(case))
    gone = (
        "the method starts from no noise"
        if noiseless(case.run.records)
        else "latents.safetensors is missing or damaged"
    )
    gone = None if case.samples.latents else gone
    untouched = gone or left_alone(case.run.config)
    for one in (typicality, atypical, noise_mean, noise_covariance, noise_bound):
        section.add(one, untouched)
    if not untouched:
        section.column("typicality", white.typicality(case.samples.latents["z_start"]).tolist())
        section.column("tail", white.chi_square_tail(case.samples.latents["z_start"]).tolist())
    skipped = gone or (None if case.options.likelihood else "likelihood=0 switches it off")
    if why := case.prior.path.no_likelihood:
        skipped = f"{case.prior.name} has none: {why}"
    if not skipped:
        section.column("bits", lambda: bits(few(case.samples)).mean(0).tolist())
        section.column("bits_error", lambda: standard_error(bits(few(case.samples))).tolist())
    for one in (likelihood, likelihood_solver_error, typicality_exact):
        section.add(one, skipped)
    section.add(saturated)
    section.column("saturated", saturated_each(case.samples).tolist())
    for one in (frechet, kernel, precision, recall):
        section.add(one)
    return section


def left_alone(config):
    """Why the noise that samples start from says nothing of them, or None."""
    method = resolved(config, "method")
    one_pass = isinstance(method, type) and issubclass(method, OnePass)
    return "the method steers on the way and leaves the noise as it was drawn" if one_pass else None


def facts(case):
    """What the words of the section are filled with."""
    d = case.unguided.latents["z_start"][0].numel()
    network = case.networks[-1]
    return {
        "deviation": (2 / d) ** 0.5,
        "covariance": 2 * (SUBSEQUENCE / (d // SUBSEQUENCE)) ** 0.5,
        "subsequence": SUBSEQUENCE,
        "orders": PERMUTATIONS + 1,
        "unlikely": UNLIKELY,
        "dark": DARK,
        "bright": BRIGHT,
        "options": case.options,
        "references": len(case.reference),
        "network": network.name + ("" if len(case.networks) > 1 else ", the target itself"),
    }


@metric(over=MEAN, of_pictures=False)
def typicality(set):
    return white.typicality(set.latents["z_start"])


@metric(over=SHARE, of_pictures=False)
def atypical(set):
    return white.chi_square_tail(set.latents["z_start"]) < UNLIKELY


@each
def checks(set):
    """The statistics (N, 2, P) of mean and covariance of the starting noise, read in P orders."""
    z = set.latents["z_start"]
    orders = white.orders(z[0].numel(), PERMUTATIONS, set.case.options.seed)
    return torch.stack(white.concentration(z, orders, SUBSEQUENCE), dim=1)


@metric(of_pictures=False)
def noise_mean(set):
    return checks(set)[:, 0].amax(1).mean()


@metric(of_pictures=False)
def noise_covariance(set):
    return checks(set)[:, 1].amax(1).mean()


@metric(null=as_many, of_pictures=False)
def noise_bound(set):
    m = set.latents["z_start"][0].numel() // SUBSEQUENCE
    return torch.stack(white.concentration_bounds(*checks(set).unbind(1), m, SUBSEQUENCE)).min()


def few(set):
    """The first of a set, as many as get a likelihood."""
    return set[: set.case.options.likelihood]


@once
def likelihoods(set):
    """Estimates (P, N) of log p(z), and the noise that the exact flow gives; of unguided samples they are kept."""
    case, options = set.case, set.case.options
    if set is few(case.unguided):
        return case.null_likelihood()
    settings = options.probes, options.likelihood_steps, options.seed, options.batch
    return log_likelihoods(case.prior, set.latents["z"], *settings, set.seeds)


def bits(set):
    """-log2 p(z) / d (P, N), one row a probe."""
    return bits_per_dimension(likelihoods(set)[0], set.latents["z"][0].numel())


def over_probes(bits, _seed):
    """The interval of a mean of estimates (P, N) by the standard errors of its samples."""
    middle, error = bits.mean(0).mean().item(), standard_error(bits).square().mean().sqrt().item()
    half = 1.96 * error / bits.shape[1] ** 0.5
    return middle - half, middle + half, "1.96 standard errors over probes"


@metric(
    over=Statistic(lambda bits: bits.mean(0).mean(), over_probes),
    on=lambda case: few(case.samples),
    null=lambda unguided, _: [few(unguided)],
    of_pictures=False,
)
def likelihood(set):
    return bits(set)


@metric(on=lambda case: few(case.samples)[:2], null=None, of_pictures=False)
def likelihood_solver_error(set):
    z, options = set.latents["z"], set.case.options
    half = max(options.likelihood_steps // 2, 1)
    coarse, _ = log_likelihoods(set.case.prior, z, 1, half, options.seed, options.batch, set.seeds)
    return (bits_per_dimension(coarse, z[0].numel()) - bits(few(set.case.samples))[:1, :2]).abs().mean()


@metric(on=lambda case: few(case.samples), null=lambda unguided, _: [few(unguided)], of_pictures=False)
def typicality_exact(set):
    return white.typicality(likelihoods(set)[1]).mean()


@each
def saturated_each(set):
    """The saturation (N,) of every picture."""
    return saturation(set.pictures.cpu())


@metric(over=MEAN)
def saturated(set):
    return saturated_each(set)


def comparable(case):
    """As many samples as are compared with unguided ones in features."""
    return case.samples[: case.half]


def features(set):
    """Of a held-out network where there is one, and those of the unguided samples that a set is compared with."""
    network = set.case.networks[-1]
    return set.features(network), set.case.reference.features(network)


@metric(on=comparable, null=apart, needs=64)
def frechet(set):
    return distances.frechet_distance(*features(set))


@metric(on=comparable, null=apart, needs=32)
def kernel(set):
    return distances.kernel_distance(*features(set))


@metric(over=SHARE, on=comparable, null=apart, needs=32)
def precision(set):
    mine, reference = features(set)
    return distances.covered(reference, mine)


@metric(over=SHARE, on=comparable, null=apart, needs=32)
def recall(set):
    mine, reference = features(set)
    return distances.covered(mine, reference)
