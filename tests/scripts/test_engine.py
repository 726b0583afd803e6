"""What the benchmark of the loop measures: peaks, shortest times, the steps of a static batch, its aims."""

from types import SimpleNamespace

import pytest
import torch

from scripts.measure import against, engine

CPU = torch.device("cpu")


def test_the_peak_is_what_was_alive_at_once():
    def call():
        first = torch.ones(2**20)  # 4 MiB
        second = first + 1
        del first
        return second, torch.ones(2**19)

    assert engine.peak(SimpleNamespace(device=CPU), call) == pytest.approx(8, abs=0.01)


def test_the_first_round_does_not_count_and_preparation_is_not_timed(monkeypatch):
    now, costs = [0.0], iter([1.0, 5.0, 3.0, 4.0])
    bench = engine.Bench.__new__(engine.Bench)
    bench.repeat = 3
    monkeypatch.setattr(bench, "now", lambda: now[0], raising=False)

    def prepare():
        now[0] += 100
        return lambda: now.__setitem__(0, now[0] + next(costs))

    assert bench.shortest(it=prepare) == {"it": 3.0}


@pytest.mark.parametrize(("members", "steps"), [([1, 3, 2], 3), ([1, 1], 1), ([9, 2], 5)])
def test_a_static_batch_goes_on_until_its_slowest_member_is_there(monkeypatch, members, steps):
    """Members reach the threshold at the given evaluation, once; the budget is five evaluations."""
    calls = []

    def evaluate(prior, question, z0, *_):
        calls.append(len(z0))
        loss = torch.tensor([0.0 if len(calls) == member else 1.0 for member in members])
        return {"loss": loss}, torch.zeros_like(z0), None

    monkeypatch.setattr(against, "evaluate", evaluate)
    bench = SimpleNamespace(
        prior=SimpleNamespace(noise=lambda seed: torch.zeros(1, 1, 1)),
        optimizer=SimpleNamespace(init=lambda z: {}, step=lambda z, grad, state: (z, state)),
        question=None,
        device=CPU,
        budget=dict(steps=5, threshold=0.5),
    )
    against.run_group(bench, range(len(members)))
    assert calls == [len(members)] * steps


def test_utilisation_counts_the_products_of_both_passes(monkeypatch):
    """One block of width 8 on 4 tokens: every product of the forward pass has one of its size in the backward pass."""
    bench = engine.Bench.__new__(engine.Bench)
    bench.device, bench.repeat = CPU, 1
    monkeypatch.setattr(bench, "shortest", lambda **functions: dict.fromkeys(functions, 1.0), raising=False)
    small = dict(input_size=2, in_channels=4, hidden_size=8, depth=1, num_heads=1, num_classes=2)
    ratios, facts = engine.utilisation(bench, (1, 3), size=16, **small)
    tokens, width, hidden = 4, 8, 21
    products = tokens * (4 * width + 4 * width**2 + 3 * width * hidden + 4 * width) + 6 * width**2 + 2 * width**2
    counted = facts["TFLOP/s at batch 1"] * 1e12 / 2
    # the modulation has no gradient, attention's products are counted by some versions of torch only
    assert 2 * products - 8 * width**2 <= counted <= 2 * products + 8 * tokens**2 * width
    assert ratios["utilisation at batch 3"] == pytest.approx(facts["TFLOP/s at batch 3"] * 1e12 / (2 * 16**3))


def test_aims():
    assert engine.judged("step over its parts, kept", 1.15).endswith("met")
    assert engine.judged("step over its parts, kept", 1.16).endswith("MISSED")
    assert engine.judged("the loop over a naive one", 2.9).endswith("MISSED")
    assert engine.judged("utilisation at batch 4", 0.5).endswith("met")
    assert engine.judged("time at K = 1 over that of all 10", 9.0) == ""
