"""The table of finished runs."""

from types import SimpleNamespace

from scripts.measure.compare import row


def test_a_run_is_told_in_null_spreads_and_in_norms_of_white_noise():
    errors, norms = ([3.0, 4.0], [0.0, 1.0], [0.6, 0.8]), (6.0, 8.0, 7.0)
    records = [
        {"objective_saved": [1 + a, 2 + b], "target": [1.0, 2.0], "steps": steps, "latent_norm": norm}
        for (a, b), steps, norm in zip(errors, (3, 9, 80), norms, strict=True)
    ]
    run = SimpleNamespace(
        records=records,
        summary={"null_spread": 4.0, "wall_seconds": 12.6},
        counts={"converged": 2},
        overrides=[],
        dimensions=4 * 2 * 2,
    )
    assert row(run) == {
        "settings": "defaults",
        "converged": "2 of 3",
        "steps (median, most)": "9, 80",
        "error on file (median, most), null spreads": "0.5000, 2.5000",
        "latent norm / white noise": "1.750",
        "seconds": "13",
    }
