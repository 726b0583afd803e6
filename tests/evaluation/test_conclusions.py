"""The five sentences: for every branch numbers that lead there, and that the words say no other thing than they do."""

import pytest

from equidiff_cli.evaluation.conclusions import conclusions
from equidiff_cli.evaluation.phrases import WIDE, wide
from equidiff_cli.metrics.interval import newcombe, wilson

ASKED = {
    "path": "out/a run",
    "overrides": ["query=dog.png", "optimizer=sgd", "optimizer.lr=2", "budget.steps=80", "hydra.run.dir=old"],
    "complete": True,
    "steps": 80,
    "threshold": 0.0003,
    "cutoff": 0.5,
    "optimizer": "GaussNewton",
    "robust": True,
    "seed": 3,
    "near": None,
    "failed": 0,
    "rejection": None,
}
QUERY = {"smallconv": {"class": "cat", "probability": 0.95}, "other": {"class": "cat", "probability": 0.9}}


def share(name, hits, null=0.0, count=64):
    low, high = wilson(hits, count)
    return one(name, hits / count, null, count) | {"low": low, "high": high}


def one(name, value, null=None, count=64, **more):
    section, _, name = name.partition(".")
    found = {"section": section, "name": name, "title": f"number, {name}", "value": value, "null": null}
    return found | {"null_reason": "none", "samples": count, "reason": "not there" if value is None else None} | more


def gap(name, both, only_target, neither, null=0.0):
    """The gap to a network where so many samples are called cat by both, by the target alone, and by neither."""
    import torch

    mine = torch.tensor([True] * (both + only_target) + [False] * neither)
    theirs = torch.tensor([True] * both + [False] * (only_target + neither))
    low, high = newcombe(mine, theirs)
    value = only_target / len(mine)
    return one(f"agreement.gap_{name}", value, null, len(mine), low=low, high=high)


GOOD = (
    share("invariance.success_0.05", 62, 0.02),
    one("invariance.error_median", 0.012, 1.3),
    one("invariance.error_before", 0.008),
    one("invariance.jpeg_90", 0.048, 1.3),
    one("invariance.jpeg_90_query", 0.431),
    one("frequency.spectral_distance_unguided", 1.3, 1.5),
    one("diversity.vendi_pixels", 4.0, 20.0),
    one("diversity.vendi_target", 20.0, 22.0),
    one("diversity.vendi_other", 23.0, 24.0),
    one("diversity.nearest_other", 0.1, 0.12),
    one("realism.typicality", 1.01, 1.0),
    share("realism.atypical", 3, 0.05),
    one("realism.noise_mean", 3.7, 3.4),
    one("realism.noise_covariance", 0.46, 0.43),
    one("realism.saturated", 0.04, 0.03, low=0.02, high=0.06),
    share("realism.precision", 60, 0.95),
    share("agreement.class_target", 63, 0.1),
    gap("other", 60, 3, 1),
)


def said(*changes, rows=None, query=QUERY, without=(), **asked):
    """The answers for good numbers with some of them changed."""
    metrics = {f"{m['section']}.{m['name']}": m for m in (*GOOD, *changes)}
    metrics = [m for name, m in metrics.items() if name not in without]
    rows = rows or [{"status": "converged", "on_file": True}] * 64
    found = conclusions({"metrics": metrics, "per_sample": rows, "query_seen": query}, ASKED | asked)
    assert [f["question"] for f in found] == ["held", "typical", "agreement", "differs", "next"]
    assert [f["title"] for f in found][::2] == ["Held?", "Do other networks agree?", "What next?"]
    for finding in found:
        assert finding["answer"].endswith(".") and "\n" not in finding["answer"] and "None" not in finding["answer"]
    return {f["question"]: f["answer"] for f in found}


def test_good_numbers():
    found = said()
    assert found["held"] == (
        "Yes: a share of 0.969 (95 %: 0.893 to 0.991) of 64 samples is within 0.05 null spreads on file (unguided:"
        " 0.02); all 64 that converged are below the run's threshold on file, too; after JPEG of quality 90 the median"
        " error is 0.048 null spreads (unguided: 1.3), within the 0.25 that counts as held."
    )
    assert found["typical"].startswith("Yes: the starting noise has a mean square of 1.01 of white noise")
    assert "passes as white" in found["typical"] and "0.04 of the pixel values are saturated" in found["typical"]
    assert found["agreement"].startswith(
        "Yes: other calls a smaller share of the samples cat than the target does, gap"
    )
    assert found["differs"].startswith(
        "They differ as much as unguided samples do: in vendi_other 64 samples count as 23 different ones"
        " (unguided: 24); the nearest pair is 0.1 apart there (unguided: 0.12); in vendi_target 64"
    )
    assert found["next"].startswith("Nothing found stands against") and found["next"].endswith(" seed=4.")
    assert "equidiff report 'out/a run'" in found["next"] and "hydra.run.dir" not in found["next"]


@pytest.mark.parametrize(
    ("hits", "count", "null", "opening"),
    [
        (64, 64, 0.0, "Yes"),
        (50, 64, 0.0, "For most"),
        (20, 64, 0.0, "No:"),
        (64, 64, 0.97, "No more than by chance"),
        (7, 8, 0.0, "Too few to tell"),
        (8, 8, 0.0, "Yes"),
        (4, 4, 0.0, "Too few to tell"),
    ],
)
def test_held(hits, count, null, opening):
    assert said(share("invariance.success_0.05", hits, null, count))["held"].startswith(opening)


def test_the_rule_for_too_few_is_one_for_all_shares():
    for hits, count in ((7, 8), (8, 8), (13, 27), (14, 28), (32, 64), (0, 3)):
        low, high = wilson(hits, count)
        assert wide(share("a.b", hits, count=count)) == (high - low > WIDE)
    assert wide(one("a.b", 0.5)), "a share without an interval tells nothing"


def test_held_counts_files_outside_the_threshold():
    rows = [{"status": "converged", "on_file": i >= 13} for i in range(60)] + [{"status": "budget", "on_file": False}]
    assert (
        "; 13 of 60 that converged lie outside the run's threshold after rounding to 8 bits;" in said(rows=rows)["held"]
    )
    assert "none converged" in said(rows=rows[-1:])["held"]
    assert "converged" not in said(rows=[{"status": "converged"}])["held"], "a run that does not know says nothing"


def test_after_jpeg():
    found = said(one("invariance.jpeg_90", 0.9, 1.3))
    assert "is 0.9 null spreads (unguided: 1.3), beyond the 0.25" in found["held"]
    assert found["next"].startswith("The agreement does not survive JPEG") and "filter.cutoff=0.25" in found["next"]
    assert said(one("invariance.jpeg_90", 0.9, 1.3), robust=False)["next"].endswith("robust=views.")
    assert "JPEG" not in said(without=["invariance.jpeg_90"])["held"]


def test_samples_that_were_not_finite_count():
    assert "of 70 samples" in said(failed=6)["held"]


@pytest.mark.parametrize(
    ("change", "opening"),
    [
        (share("realism.atypical", 60, 0.05), "No: the starting noise has"),
        (one("realism.noise_covariance", 1.2, 0.43), "No: the noise has structure, covariance check 1.2"),
        (one("realism.saturated", 0.2, 0.03, low=0.1, high=0.3), "Partly: 0.2 of the pixel values are saturated"),
        (one("realism.saturated", 0.07, 0.03, low=0.05, high=0.09), "Yes"),
        (one("realism.saturated", 0.2, 0.03, low=0.01, high=0.4), "Yes"),
        (one("frequency.spectral_distance_unguided", 5.0, 1.5), "Partly: the mean spectrum is 5 dB"),
        (share("realism.precision", 20, 0.95), "Partly: 0.312 (95 %: 0.212 to 0.434) lie among unguided samples"),
        (share("realism.precision", 1, 0.95, 4), "Yes"),
        (share("realism.atypical", 0, 0.05, 4), "Nothing unusual is found, but too few to tell"),
        (share("realism.atypical", 4, 0.05, 4), "No"),
        (one("realism.atypical", None), "As far as can be told without the noise (not there)"),
    ],
)
def test_typical(change, opening):
    assert said(change)["typical"].startswith(opening)


def test_a_wide_interval_is_said_among_what_is_unusual():
    found = said(share("realism.atypical", 1, 0.05, 8), one("realism.saturated", 0.2, 0.03, low=0.1, high=0.3))
    assert found["typical"].startswith("Partly: 0.2 of") and "(unguided: 0.05), too few to tell" in found["typical"]


def test_typical_without_any_number():
    names = ("atypical", "noise_mean", "noise_covariance", "saturated", "precision")
    without = [one(f"realism.{name}", None) for name in names]
    found = said(*without, without=["frequency.spectral_distance_unguided"])
    assert found["typical"] == "Cannot be told: not there."


def law(members, set, *changes):
    """The numbers of the section `typical`, by the mean probabilities and how far their intervals reach."""
    found = (
        one("typical.effective", 40.0, about="the set is 40 of 4096 unguided ones"),
        one("typical.probability_other", members[0], low=members[0] - members[1], high=members[0] + members[1]),
        one("typical.probability_other_set", set[0], low=set[0] - set[1], high=set[0] + set[1]),
        one("typical.kernel", 0.01),
        one("typical.kernel_chance", 0.02),
        one("typical.variation", 0.1),
        one("typical.variation_chance", 0.3),
        one("typical.spectrum", 1.0),
        one("typical.spectrum_chance", 2.0),
        one("typical.saturated", 0.11, low=0.09, high=0.13),
        one("typical.saturated_set", 0.08, low=0.05, high=0.12),
    )
    title = "mean probability of cat, by the held-out other"
    return [found[0], found[1] | {"title": title}, *found[2:], *changes]


@pytest.mark.parametrize(
    ("changes", "opening"),
    [
        (law((0.8, 0.05), (0.83, 0.08)), "Yes: the starting noise has"),
        (
            law((0.36, 0.06), (0.83, 0.08)),
            "No, not of the set: the held-out other gives a mean probability of cat of 0.36 (95 %: 0.3 to 0.42), 0.83"
            " (95 %: 0.75 to 0.91) in the set;",
        ),
        (law((0.6, 0.2), (0.8, 0.2)), "Nothing unusual is found, but too few to tell"),
        (law((0.78, 0.05), (0.83, 0.08), one("typical.kernel", 0.05)), "Partly: features are a squared distance of"),
        (law((0.78, 0.05), (0.83, 0.08), one("typical.spectrum", 4.0)), "Partly: the mean spectrum is 4 dB from"),
        (law((0.78, 0.05), (0.83, 0.08), one("typical.variation", 0.5)), "Partly: the shares of classes are 0.5"),
        (
            law((0.78, 0.05), (0.83, 0.08), one("typical.saturated", 0.3, low=0.2, high=0.4)),
            "Partly: 0.3 of the pixel values are saturated, 0.08 in the set",
        ),
        ([*law((0.36, 0.06), (0.83, 0.08)), share("realism.atypical", 60, 0.05)], "No: "),
    ],
)
def test_typical_of_the_set(changes, opening):
    found = said(*changes)["typical"]
    assert found.startswith(opening) and "the set is 40 of 4096 unguided ones" in found


def test_of_the_set_unguided_samples_no_longer_decide():
    """A set may rightly have more contrast than the prior; without its law unguided samples are all there is."""
    contrast = one("realism.saturated", 0.2, 0.03, low=0.15, high=0.25)
    assert said(contrast)["typical"].startswith("Partly")
    assert said(contrast, *law((0.8, 0.05), (0.83, 0.08)))["typical"].startswith("Yes")


def test_exceptions_are_to_be_drawn_otherwise():
    found = said(*law((0.36, 0.06), (0.83, 0.08)))["next"]
    assert found.startswith("They are members, but exceptions") and found.endswith(
        "equidiff run query=dog.png method=rejection."
    )


def test_a_law_of_which_too_little_is_known_is_said():
    reason = "the set is 3 effective samples of 2048 unguided ones; at least 8 are needed"
    found = said(one("typical.effective", None) | {"reason": reason})
    assert found["typical"].endswith(f"; of the set's own law too little is known ({reason}).")
    assert found["next"].endswith("equidiff evaluate 'out/a run' typical=8192.")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"status": "budget", "on_file": False}] * 64, "64 of 64 found none in their draws, allow more: equidiff run"),
        ([{"status": "converged", "on_file": True}] * 64, "They were accepted within 0.2 null spreads, claim no more"),
    ],
)
def test_next_after_rejection(rows, expected):
    options = {"pool": 50, "tolerance": 0.2}
    assert said(share("invariance.success_0.05", 20), rows=rows, rejection=options)["next"].startswith(expected)


@pytest.mark.parametrize(
    ("change", "opening"),
    [
        (gap("other", 24, 38, 2), "No: other calls a smaller share of the samples cat"),
        (gap("other", 63, 0, 1), "Yes: other calls the same share of the samples cat as the target does, gap 0 (95 %"),
        (gap("other", 7, 1, 0), "Too few to tell"),
        (gap("other", 8, 0, 0), "Too few to tell"),
        (gap("other", 54, 9, 1), "Partly"),
        (one("agreement.gap_other", None), "Cannot be told: not there"),
        (gap("third", 24, 38, 2), "1 of 2 do not: third calls"),
    ],
)
def test_agreement(change, opening):
    assert said(change)["agreement"].startswith(opening)


def test_agreement_where_the_target_does_not_see_the_class_itself():
    found = said(share("agreement.class_target", 6), gap("other", 3, 3, 58))
    assert found["agreement"].startswith(
        "There is little to agree on: the target itself sees the query's class in only"
    )


def test_a_network_that_sees_something_else_in_the_query_is_said():
    query = QUERY | {"other": {"class": "truck", "probability": 0.6}}
    assert said(query=query)["agreement"].endswith(", and the query itself truck, not cat.")


def test_many_networks_are_not_all_listed():
    found = said(*(gap(f"n{i}", 24, 38, 2) for i in range(5)))
    assert found["agreement"].startswith("5 of 6 do not") and "and 3 more" in found["agreement"]


@pytest.mark.parametrize(
    ("changes", "opening"),
    [
        ([one("diversity.vendi_other", 15.0, 24.0)], "They differ less than unguided samples do: in vendi_other"),
        ([one("diversity.vendi_other", 3.0, 24.0)], "They differ little"),
        ([one("diversity.vendi_other", None)], "They differ as much as unguided samples do: in vendi_target"),
    ],
)
def test_differs(changes, opening):
    assert said(*changes)["differs"].startswith(opening)


def test_two_nearly_equal_samples_are_said():
    assert "at least two are nearly one picture" in said(one("diversity.nearest_other", 0.01, 0.12))["differs"]


def test_differs_without_numbers():
    few = [one(f"diversity.vendi_{n}", None) | {"reason": "needs 4 samples"} for n in ("pixels", "target", "other")]
    found = said(*few)
    assert found["differs"] == "Too few to tell: needs 4 samples."
    alone = [one(f"diversity.vendi_{n}", 5.0) for n in ("pixels", "target", "other")]
    found = said(*alone)
    assert found["differs"].startswith("There is nothing to compare with (none): in vendi_other")
    assert found["next"] == "Compare with more unguided samples: equidiff evaluate 'out/a run' null_samples=256."


FEW = [{"status": "converged", "on_file": True}] * 8
SHORT = [{"status": "budget", "on_file": False}] * 64
NO = share("invariance.success_0.05", 20)


@pytest.mark.parametrize(
    ("changes", "options", "expected"),
    [
        ([], {"complete": False}, "Finish the run: equidiff run query=dog.png optimizer=sgd optimizer.lr=2"),
        ([share("realism.atypical", 60)], {}, "Keep the noise's spectrum, too: equidiff run query=dog.png"),
        ([share("realism.atypical", 60)], {"near": [0, 1]}, "Nothing found stands against"),
        (
            [gap("other", 7, 1, 0)],
            {"rows": FEW, "near": [0, 0]},
            "More samples from the query's own noise would be the",
        ),
        ([share("realism.atypical", 60)], {"optimizer": "SGD"}, "Draw them with an optimiser that keeps the noise's"),
        ([share("realism.atypical", 60)], {"optimizer": None}, "Keep nearer to the noise that the prior knows"),
        ([NO], {"rows": SHORT}, "64 of 64 used up their steps, allow more: equidiff run"),
        (
            [NO],
            {"rows": SHORT, "steps": None, "overrides": ["method=posterior", "method.inner=8", "query=dog.png"]},
            "64 of 64 ended above the threshold, draw on until it is met: equidiff run query=dog.png method=latent.",
        ),
        ([NO], {"failed": 100}, "Most samples were not finite"),
        ([NO, one("invariance.error_before", 0.08)], {}, "The threshold is above the tolerance of 0.05 null spreads"),
        (
            [NO, one("invariance.error_median", 0.081)],
            {},
            "Rounding to 8 bits decides at 0.05 null spreads, claim less",
        ),
        ([gap("other", 7, 1, 0)], {"rows": FEW}, "Draw more samples, the first ones stay the same: equidiff run"),
        ([one("agreement.gap_other", None)], {}, "Ask other networks with the same classes: equidiff evaluate"),
        ([gap("other", 24, 38, 2)], {}, "Look at the samples on which networks disagree most (equidiff report"),
        ([one("diversity.vendi_other", 3.0, 24.0)], {}, "Ask for less to be held"),
        ([one("frequency.spectral_distance_unguided", 5.0, 1.5)], {}, "Look at the samples that are least like"),
    ],
)
def test_next(changes, options, expected):
    assert said(*changes, **options)["next"].startswith(expected)


def test_the_command_replaces_what_it_changes():
    assert said(NO, rows=SHORT)["next"].endswith(
        "equidiff run query=dog.png optimizer=sgd optimizer.lr=2 budget.steps=160."
    )
    assert said(share("realism.atypical", 60), optimizer="SGD")["next"].endswith(
        "equidiff run query=dog.png budget.steps=80 optimizer=gauss_newton."
    )
    assert said(share("realism.atypical", 60))["next"].endswith("budget.steps=80 optimizer.noise=white.")
    assert said(NO, one("invariance.error_median", 0.081))["next"].endswith("'out/a run' 'tolerances=[0.17]'.")
    assert said(one("invariance.jpeg_90", 0.9), cutoff=None)["next"].endswith("filter=gaussian filter.cutoff=0.25.")
