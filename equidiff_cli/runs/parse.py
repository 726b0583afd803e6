"""The files of a run directory one by one: what each holds, in plain Python; `ValueError` in one line if it is damaged.

Nothing here needs torch.
"""

import csv
import json
import math

import yaml


def records_of(file):
    """Lines of `samples.jsonl` or `chains.jsonl` by index; of a run that still goes the last may be half written."""
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    try:
        records = [json.loads(line) for line in lines if line.endswith("\n")]
        return sorted(records, key=lambda record: record["index"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{file.parent}: {file.name} is damaged, a line is not a record of a sample") from None


def json_of(file):
    """What a JSON file holds; None if there is none."""
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError:
        raise ValueError(f"{file.parent}: {file.name} is damaged, it is not JSON") from None


def yaml_of(file):
    """The same of a YAML file."""
    if not file.is_file():
        return None
    try:
        return yaml.safe_load(file.read_text())
    except yaml.YAMLError:
        raise ValueError(f"{file.parent}: {file.name} is damaged, it is not YAML") from None


def losses_of(file):
    """What `losses.csv` holds: sample -> {column: list}, None for what is not finite."""
    losses = {}
    if file.is_file():
        with open(file, newline="") as opened:
            reader = csv.DictReader(opened)
            for row in reader:
                if None in row.values():  # the last line, half written
                    continue
                columns = losses.setdefault(int(row.pop("sample")), {"step": []})
                columns["step"].append(int(row.pop("step")))
                for name, text in row.items():
                    columns.setdefault(name, []).append(_finite(text))
    return losses


def _finite(text):
    value = float(text or "nan")
    return value if math.isfinite(value) else None


def last_line(file):
    """The last line of a log that says something; "" if there is none."""
    text = file.read_text(errors="replace") if file.is_file() else ""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
