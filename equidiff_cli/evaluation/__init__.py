"""From a run directory to `evaluation.json`: one file a section, on the pure functions of `metrics/`."""
