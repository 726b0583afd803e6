"""Whether chains have mixed, said of chains of which it is known."""

from types import SimpleNamespace

import pytest
import torch

from equidiff_cli.evaluation.mixing import mixed, mixing
from equidiff_cli.metrics.chains import effective_size, split_rhat


class Toy:
    """Pictures of which a network sees logits (N, 2) and features (N, 3)."""

    def __init__(self, seen):
        self.seen = seen

    def logits(self, network):
        return self.seen[:, :2]

    def features(self, network):
        return self.seen


def case(seen, norms):
    """A case of M chains of N states, `seen` (M, N, 3)."""
    target = SimpleNamespace(name="toy", gives_probabilities=False)
    network = SimpleNamespace(key="target", name="toy", which="the target", classes=("cat", "dog"), target=target)
    walk = {"moves": 20, "moved": 13, "no_projection": 2, "no_return": 1}
    return SimpleNamespace(
        networks=[network],
        no_query=None,
        samples=range(len(norms)),
        query=Toy(torch.tensor([[2.0, 0.0, 0.0]])),
        unguided=Toy(torch.randn(50, 3, generator=torch.Generator().manual_seed(9)) * torch.tensor([9.0, 1.0, 1.0])),
        chains=Toy(seen.flatten(0, 1)),
        run=SimpleNamespace(records=[{"walk": walk}] * len(norms), kept=SimpleNamespace(norms=norms, every=3)),
    )


def drawn(chains=4, states=100):
    generator = torch.Generator().manual_seed(0)
    shape = (chains, states)
    return torch.randn(*shape, 3, generator=generator), torch.randn(shape, generator=generator) + 27


def named(section):
    return {metric["name"]: metric for metric in section.metrics}


def test_independent_states_are_mixed_and_their_shares_have_intervals():
    seen, norms = drawn()
    toy = case(seen, norms)
    section = mixing(toy)
    found = named(section)
    assert [found[name]["value"] for name in ("acceptance", "no_projection", "no_return")] == [0.65, 0.1, 0.05]
    assert found["rhat_norm"]["value"] == pytest.approx(split_rhat(norms))
    assert found["effective_norm"]["value"] == pytest.approx(effective_size(norms))
    p = seen[..., :2].double().softmax(2)[..., 0]
    assert found["rhat_class_target"]["value"] == pytest.approx(split_rhat(p))
    along = split_rhat(seen[..., 0])
    assert found["rhat_features_target"]["value"] == pytest.approx(along, rel=1e-2), "the direction of most variance"
    share = found["share_target"]
    assert share["value"] == pytest.approx((seen[..., 0] > seen[..., 1]).double().mean().item(), abs=1e-6)
    assert share["low"] < 0.5 < share["high"] and share["high"] - share["low"] < 0.25 and "have mixed" in share["about"]
    (curve,) = section.curves
    assert curve["x"]["values"][:3] == [0, 3, 6] and curve["lines"][0]["values"][0] == pytest.approx(1, abs=0.01)
    (finding,) = mixed(toy, section.metrics)
    assert finding["question"] == "mixed" and finding["answer"].startswith("Mixed: 4 chains of 100 states")


@pytest.mark.parametrize("why", ["apart", "few chains", "few states"])
def test_others_are_not(why):
    seen, norms = drawn(*{"few chains": (3, 200), "few states": (4, 10)}.get(why, (4, 100)))
    if why == "apart":
        norms = norms + torch.arange(4)[:, None]
    toy = case(seen, norms)
    section = mixing(toy)
    (finding,) = mixed(toy, section.metrics)
    assert finding["answer"].startswith("Not mixed: shares are not to be quoted.")
    assert "not to be quoted" in named(section)["share_target"]["about"]


def test_runs_without_chains_have_no_such_section():
    toy = SimpleNamespace(chains=None)
    assert mixing(toy).metrics == [] and mixed(toy, []) == []
