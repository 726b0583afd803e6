"""Do the samples still look like what the prior makes? Their noise, their likelihood, and sets of features."""

from equidiff_cli.metrics.frechet import frechet_distance, kernel_distance, precision_recall
from equidiff_cli.metrics.interval import bootstrap, wilson
from equidiff_cli.metrics.likelihood import bits_per_dimension, standard_error
from equidiff_cli.metrics.typicality import chi_square_tail, concentration, concentration_bounds, orders, typicality
from equidiff_cli.study.findings import Section
from equidiff_cli.study.null import log_likelihoods

UNLIKELY = 0.05
SUBSEQUENCE, PERMUTATIONS = 4, 100  # as in the code of Tang et al. (2024)
DNO = "Direct Noise Optimization (Tang et al. 2024, arXiv:2405.18881)"


def realism(case):
    """The section `realism` of a case."""
    section = Section("realism", len(case.pictures))
    gone = None if case.run.latents else "latents.safetensors is missing or damaged"
    noise(section, case, gone)
    likelihood(section, case, gone)
    sets(section, case)
    return section


def noise(section, case, gone):
    """Whether the optimised starting noise is still white."""
    mine, theirs = case.run.latents["z_start"] if case.run.latents else case.null.z_start[:1], case.null.z_start
    shell, tail = typicality(mine), chi_square_tail(mine)
    seed = case.options.seed
    section.metric(
        "typicality",
        "mean square of the starting noise",
        lambda: shell.mean().item(),
        unit="of white noise",
        null=lambda: typicality(theirs).mean().item(),
        better="near 1",
        reason=gone,
        source="|z|^2 / d",
        about=f"1 for white noise, with a standard deviation of {(2 / mine[0].numel()) ** 0.5:.3f} between samples.",
        interval=lambda: (
            (*bootstrap(shell, lambda r: r.mean(1), seed), "95 % bootstrap over samples") if len(shell) >= 4 else None
        ),
    )
    section.metric(
        "atypical",
        "share of samples whose noise has an unlikely length",
        lambda: (tail < UNLIKELY).double().mean().item(),
        unit="share",
        null=lambda: (chi_square_tail(theirs) < UNLIKELY).double().mean().item(),
        reason=gone,
        better="lower",
        source=f"two-sided chi-square tail of |z|^2 below {UNLIKELY:g}",
        about=f"White noise gives {UNLIKELY:g}; near 1 the optimiser left the shell the prior was trained on.",
        interval=lambda: (*wilson((tail < UNLIKELY).sum().item(), len(tail)), "95 % Wilson"),
    )
    order = orders(mine[0].numel(), PERMUTATIONS, seed)
    m = mine[0].numel() // SUBSEQUENCE
    (mean, covariance), (null_mean, null_covariance) = (concentration(z, order, SUBSEQUENCE) for z in (mine, theirs))
    for name, title, here, there, expected in (
        ("noise_mean", "mean", mean, null_mean, "1 for white noise in one order"),
        ("noise_covariance", "covariance", covariance, null_covariance, f"about {2 * (SUBSEQUENCE / m) ** 0.5:.2f}"),
    ):
        section.metric(
            name,
            f"{title} check of the noise, worst of {PERMUTATIONS + 1} orders",
            lambda here=here: here.amax(1).mean().item(),
            unit="statistic",
            null=lambda there=there: there.amax(1).mean().item(),
            reason=gone,
            better="lower",
            source=f"{DNO}: subsequences of {SUBSEQUENCE} numbers",
            about=f"{expected}; compare with unguided samples. Larger: the noise has structure.",
        )
    bounds = [bound.amin(1) for bound in concentration_bounds(mean, covariance, m, SUBSEQUENCE)]
    null_bounds = [bound.amin(1) for bound in concentration_bounds(null_mean, null_covariance, m, SUBSEQUENCE)]
    section.metric(
        "noise_bound",
        "smallest bound on the probability of such noise",
        lambda: min(bound.min().item() for bound in bounds),
        unit="probability",
        null=lambda: min(bound[: len(mine)].min().item() for bound in null_bounds),
        reason=gone,
        better="higher",
        source=f"{DNO}: concentration inequalities of mean and covariance, smallest over samples and orders",
        about="An upper bound and a loose one: 1 says nothing, far below 0.01 says that some noise is not white.",
    )
    if not gone:
        section.column("typicality", "noise, mean square", shell.tolist(), unit="of white noise", about="|z|^2 / d")
        section.column(
            "tail", "chi-square tail", tail.tolist(), unit="probability", about="of white noise this far from its shell"
        )


def likelihood(section, case, gone):
    """log p(z) under the prior by the instantaneous change of variables."""
    options = case.options
    most = options.likelihood
    reason = gone or (None if most else "likelihood=0 switches it off")
    mine = theirs = None
    if not reason:
        z = case.run.latents["z"][:most]
        d = z[0].numel()
        settings = options.probes, options.likelihood_steps, options.seed, options.batch
        mine, start = log_likelihoods(case.prior, z, *settings)
        coarse, _ = log_likelihoods(case.prior, z[:2], 1, max(options.likelihood_steps // 2, 1), *settings[2:])
        theirs, null_start = case.null_likelihood()
        bits, null_bits = bits_per_dimension(mine, d), bits_per_dimension(theirs, d)  # (P, N)
        error = standard_error(bits)
        average = bits.mean(0)
        section.column(
            "bits",
            "negative log-likelihood",
            [*average.tolist(), *[None] * (section.samples - len(average))],
            unit="bits per dimension",
            about="-log2 p(z) / d; lower is more likely",
        )
        section.column(
            "bits_error",
            "its standard error",
            [*error.tolist(), *[None] * (section.samples - len(error))],
            unit="bits per dimension",
            about="over random probes",
        )
    estimator = (
        f"FFJORD (Grathwohl et al. 2019), Hutchinson's trace with {options.probes} sign probes, z at t = 1 carried "
        f"back by {options.likelihood_steps} steps of Heun's method"
    )
    section.metric(
        "likelihood",
        "negative log-likelihood of the latents under the prior",
        lambda: average.mean().item(),
        unit="bits per dimension",
        null=lambda: null_bits.mean().item(),
        reason=reason,
        samples=None if reason else len(z),
        source=estimator,
        about="Of the normalised latent, a density, so it may be below 0; lower is more likely. Compare with unguided.",
        interval=lambda: (
            average.mean().item() - 1.96 * error.square().mean().sqrt().item() / len(z) ** 0.5,
            average.mean().item() + 1.96 * error.square().mean().sqrt().item() / len(z) ** 0.5,
            "1.96 standard errors over probes",
        ),
    )
    section.metric(
        "likelihood_solver_error",
        "what half as many solver steps change",
        lambda: (bits_per_dimension(coarse, d) - bits[:1, :2]).abs().mean().item(),
        unit="bits per dimension",
        null_reason="is an error of the estimate",
        reason=reason,
        samples=None if reason else min(2, len(z)),
        better="lower",
        source="first two samples, the same first probe",
        about="How far the solver may be off; differences of likelihoods below this mean nothing.",
    )
    section.metric(
        "typicality_exact",
        "mean square of the noise that the exact flow gives for the latents",
        lambda: typicality(start).mean().item(),
        unit="of white noise",
        null=lambda: typicality(null_start).mean().item(),
        reason=reason,
        samples=None if reason else len(z),
        better=None,
        source="the start of the path on which the likelihood is computed",
        about="Below 1 where the few solver steps of a run make smoother latents than the exact flow would.",
    )


def sets(section, case):
    """Distances between the set of samples and that of unguided samples, in held-out features where there are any."""
    view = case.views[-1]
    whose = f"features of {view.name}" + ("" if len(case.views) > 1 else ", the target itself")
    half = min(len(case.pictures), len(case.null.pictures) // 2)
    samples = view.features["samples"][:half]  # as many as the null has: all of this depends on their number
    chance, reference = view.features["null"][:half], view.features["null"][half:]
    of = f"to {len(reference)} other unguided samples, {whose}"
    section.metric(
        "frechet",
        "Frechet distance to unguided samples",
        lambda: frechet_distance(samples, reference),
        unit="squared features",
        null=lambda: frechet_distance(chance, reference),
        needs=64,
        samples=half,
        better="lower",
        source=f"Heusel et al. 2017, {of}",
        about="Biased upwards for few samples; both numbers are from equally many, at most half of null_samples.",
    )
    section.metric(
        "kernel",
        "kernel distance to unguided samples",
        lambda: kernel_distance(samples, reference),
        unit="squared MMD",
        null=lambda: kernel_distance(chance, reference),
        needs=32,
        samples=half,
        better="lower",
        source=f"KID, Binkowski et al. 2018, unbiased, {of}",
        about="0 on average for samples of the same distribution, so it may be negative.",
    )
    for i, (name, about) in enumerate(
        (
            (
                "precision",
                "Share of samples that lie among unguided ones: low if they look like nothing the prior makes.",
            ),
            (
                "recall",
                "Share of unguided samples that lie among the samples: low if they show only part of the prior.",
            ),
        )
    ):
        section.metric(
            name,
            f"{name} against unguided samples",
            lambda i=i: precision_recall(reference, samples)[i],
            unit="share",
            null=lambda i=i: precision_recall(reference, chance)[i],
            needs=32,
            samples=half,
            better="higher",
            source=f"Kynkaanniemi et al. 2019, k = 3, {of}",
            about=about,
        )
