"""The loop: gradients, the threshold, the budget, the best pair, independence of the batch, failures."""

import copy

import pytest
import torch

from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.slots import Slots
from equidiff_cli.methods import latent
from equidiff_cli.methods.events import Finished, Step
from equidiff_cli.methods.latent import Latent
from equidiff_cli.parts import distances, filters, optimizers
from equidiff_cli.parts.newton import GaussNewton
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.prior.prior import sample_seed
from equidiff_cli.prior.sampler import Adjoint

SEEDS = [(i, sample_seed(0, i)) for i in range(6)]


def colours(x):
    """A smooth objective with two values: weighted means over the picture."""
    weights = torch.linspace(-1, 1, 3 * 64).reshape(1, 3, 8, 8)
    return torch.stack([(x * weights).sum((1, 2, 3)), (x.sin() * weights.flip(3)).sum((1, 2, 3))], dim=1)


@pytest.fixture
def query(tiny_prior):
    """A picture that the prior can make."""
    with torch.no_grad():
        return tiny_prior.decode(tiny_prior.flow(tiny_prior.noise(99)[None]))


@pytest.fixture
def invariance(query):
    return Invariance(colours, distances.SquaredL2(), filters.Gaussian(0.5), query)


def recomputing(batch):
    """Memory for `batch` samples at once and every solver step recomputed."""
    return Memory(Plan(batch, steps=4, recompute=4))


def draw(
    prior, invariance, *, seeds=SEEDS, batch=6, steps=30, threshold=1e-3, optimizer=None, stop=None, memory=None, **more
):
    """All events of a run, and the finished samples by index."""
    slots = Slots(seeds, batch, torch.device("cpu"))
    events, optimizer = [], optimizer or optimizers.Adam(0.05, (0.9, 0.999), 1e-8)
    memory = memory or recomputing(batch)
    for event in Latent(optimizer, steps, threshold, **more)(prior, invariance, slots, memory):
        events.append(event)
        if stop and stop(event):
            break
    return events, {event.index: event for event in events if isinstance(event, Finished)}, slots


def test_target_is_the_objective_of_the_query(invariance, query):
    assert torch.equal(invariance.target, colours(query)[0])


def test_what_is_held_is_float32_whatever_the_objective_gives(query):
    half = Invariance(lambda x: colours(x).half(), distances.SquaredL2(), filters.Identity(), query)
    assert half.target.dtype == torch.float32 and half(query)[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        (None, "must be a function of pictures, is NoneType"),
        (lambda x: x.flatten(1).argmax(1, keepdim=True), "cannot be differentiated"),
        (lambda x: colours(x).detach(), "cannot be differentiated"),
    ],
)
def test_objectives_that_cannot_be_held(query, objective, said):
    with pytest.raises(ValueError, match=f"^objective: .*{said}"):
        Invariance(objective, distances.SquaredL2(), filters.Identity(), query)


def test_losses_are_scaled_distances_of_the_picture_and_its_filtered_copy(invariance):
    x = torch.rand(5, 3, 8, 8)
    invariance.scale = 2.5
    unfiltered, filtered, values, values_filtered = invariance(x)
    assert torch.allclose(unfiltered, 2.5 * ((colours(x) - invariance.target) ** 2).sum(1))
    blurred = filters.Gaussian(0.5)(x)
    assert torch.allclose(filtered, 2.5 * ((colours(blurred) - invariance.target) ** 2).sum(1), rtol=1e-4)
    assert torch.allclose(values, colours(x)) and torch.allclose(values_filtered, colours(blurred), atol=1e-5)


def test_spread_is_the_variance_for_squared_l2(invariance):
    pictures = torch.rand(40, 3, 8, 8)
    expected = colours(pictures).var(0, unbiased=False).sum().item()
    assert invariance.spread(pictures, batch=7) == pytest.approx(expected, rel=1e-4)


def test_gradient_of_the_whole_path_against_finite_differences(tiny_prior, invariance):
    z0 = tiny_prior.noise(5)[None].requires_grad_()

    def loss(z):
        unfiltered, filtered, *_ = invariance(tiny_prior.decode(tiny_prior.flow(z)))
        return (unfiltered + filtered).sum()

    grad = torch.autograd.grad(loss(z0), z0)[0]
    for seed in range(3):
        direction = torch.randn(z0.shape, generator=torch.Generator().manual_seed(seed))
        step = 2e-3
        with torch.no_grad():
            slope = (loss(z0 + step * direction) - loss(z0 - step * direction)) / (2 * step)
        assert (grad * direction).sum().item() == pytest.approx(slope.item(), rel=2e-2, abs=1e-3)


def test_samples_converge_and_hold_the_pair_that_was_measured(tiny_prior, invariance):
    _, finished, _ = draw(tiny_prior, invariance, steps=80)
    assert sorted(finished) == list(range(6))
    assert sum(event.status == "converged" for event in finished.values()) >= 4
    for event in finished.values():
        best = event.best
        picture = tiny_prior.decode(tiny_prior.flow(best["z_start"][None]))[0]
        assert torch.allclose(picture, best["picture"], atol=1e-5)
        assert torch.allclose(tiny_prior.decode(best["z"][None])[0], best["picture"], atol=1e-5)
        assert torch.allclose(colours(picture[None])[0], best["objective"], atol=1e-4)
        assert best["loss"].item() == pytest.approx((best["loss_unfiltered"] + best["loss_filtered"]).item(), rel=1e-5)
        assert (event.status == "converged") == (best["loss"].item() < 1e-3)


def test_a_loss_at_the_threshold_is_not_below_it(tiny_prior, invariance):
    z0, last = tiny_prior.noise(5)[None], torch.tensor([False])
    loss = latent.evaluate(tiny_prior, invariance, z0, last, 0, Adjoint())[0]["loss"].item()
    for threshold, status in ((loss, latent.GOING), (loss * (1 + 1e-6), latent.CONVERGED)):
        assert latent.evaluate(tiny_prior, invariance, z0, last, threshold, Adjoint())[2].tolist() == [status]


def test_the_gradient_of_a_sample_that_is_finished_does_not_matter(tiny_prior, invariance, monkeypatch):
    def evaluate(*arguments):
        measured, grad, _ = real(*arguments)
        return measured, grad * float("nan"), torch.tensor([latent.CONVERGED, latent.BUDGET, latent.GOING])

    real = latent.evaluate
    monkeypatch.setattr(latent, "evaluate", evaluate)
    _, finished, _ = draw(tiny_prior, invariance, seeds=SEEDS[:3])
    assert [finished[i].status for i in range(3)] == ["converged", "budget", "nonfinite"]


def test_the_best_pair_is_kept_not_the_last(tiny_prior, invariance):
    wild = optimizers.SGD(lr=2.0, momentum=0.0, normalize=True)
    events, finished, _ = draw(tiny_prior, invariance, threshold=1e-12, steps=8, optimizer=wild)
    losses = {i: [] for i in range(6)}
    for event in events:
        if isinstance(event, Step):
            for index, loss in zip(event.index, event.loss, strict=True):
                losses[index].append(loss)
    assert any(curve[-1] > min(curve) for curve in losses.values()), "no curve rises: the test shows nothing"
    for index, curve in losses.items():
        assert finished[index].best["loss"].item() == pytest.approx(min(curve), rel=1e-6)


def test_budget_is_the_number_of_evaluations(tiny_prior, invariance):
    events, finished, _ = draw(tiny_prior, invariance, threshold=1e-12, steps=3)
    assert all(event.status == "budget" and event.steps == 3 for event in finished.values())
    assert all(event.evaluations == 3 * 4 for event in finished.values()), "four Euler steps each time"
    steps = [event for event in events if isinstance(event, Step)]
    assert [event.step for event in steps] == [[k] * 6 for k in (1, 2, 3)]
    assert steps[-1].grad_norm == [0.0] * 6, "no gradient is needed after the last evaluation"


def test_first_step_measures_the_unguided_sample(tiny_prior, invariance):
    events, _, _ = draw(tiny_prior, invariance, steps=1)
    noise = torch.stack([tiny_prior.noise(seed) for _, seed in SEEDS])
    with torch.no_grad():
        unfiltered, filtered, *_ = invariance(tiny_prior.decode(tiny_prior.flow(noise)))
    step = next(event for event in events if isinstance(event, Step))
    assert step.loss == pytest.approx((unfiltered + filtered).tolist(), rel=1e-5)
    assert step.latent_norm == pytest.approx(noise.flatten(1).norm(dim=1).tolist(), rel=1e-6)


@pytest.mark.parametrize("optimizer", [optimizers.Shampoo(0.5, 0.3, 1e-6), optimizers.Adam(0.05, (0.9, 0.999), 1e-8)])
def test_results_do_not_depend_on_the_batch(tiny_prior, invariance, optimizer):
    seeds = [(i, sample_seed(0, i)) for i in range(32)]
    parts = Memory(Plan(3, steps=4, recompute=0))  # parts of three of the sixteen in work
    _, together, _ = draw(tiny_prior, invariance, seeds=seeds, batch=16, steps=3, optimizer=optimizer)
    for batch, memory in ((1, None), (5, None), (16, parts)):
        _, apart, _ = draw(
            tiny_prior, invariance, seeds=seeds, batch=batch, steps=3, optimizer=optimizer, memory=memory
        )
        for index, event in together.items():
            assert (apart[index].status, apart[index].steps) == (event.status, event.steps)
            for name in ("loss", "z_start", "picture", "objective"):
                assert torch.allclose(apart[index].best[name], event.best[name], atol=2e-4, rtol=2e-3), (batch, name)


def test_samples_differ_and_slots_refill(tiny_prior, invariance):
    events, finished, _ = draw(tiny_prior, invariance, batch=2)
    sizes = [len(event.index) for event in events if isinstance(event, Step)]
    assert max(sizes) == 2 and len(finished) == 6
    pictures = torch.stack([event.best["picture"] for event in finished.values()])
    assert torch.pdist(pictures.flatten(1)).min() > 0.1


def test_a_stopped_run_goes_on_to_the_same_bytes(tiny_prior, invariance):
    _, whole, _ = draw(tiny_prior, invariance, batch=4, steps=9)
    count = iter(range(1000))
    _, early, slots = draw(
        tiny_prior, invariance, batch=4, steps=9, stop=lambda e: isinstance(e, Step) and next(count) == 10
    )
    assert early and len(early) < 6, "the stop must fall between the first finish and the last"
    tensors, facts = slots.save()
    restored = Slots([], 4, torch.device("cpu"))
    restored.restore({name: value.clone() for name, value in tensors.items()}, facts)
    adam = optimizers.Adam(0.05, (0.9, 0.999), 1e-8)
    late = {
        event.index: event
        for event in Latent(adam, 9, 1e-3)(tiny_prior, invariance, restored, recomputing(4))
        if isinstance(event, Finished)
    }
    assert early.keys().isdisjoint(late.keys())
    for index, event in (early | late).items():
        for name, value in event.best.items():
            assert torch.equal(value, whole[index].best[name]), (index, name)


def test_non_finite_samples_retire_and_the_others_do_not_notice(tiny_prior, invariance):
    noise = tiny_prior.noise

    class Broken:
        """The tiny prior with one sample whose starting noise is not a number."""

        def __getattr__(self, name):
            return getattr(tiny_prior, name)

        def noise(self, seed):
            return noise(seed) * (float("nan") if seed == SEEDS[2][1] else 1.0)

    _, finished, _ = draw(Broken(), invariance, steps=8, optimizer=optimizers.Shampoo(0.5, 0.0, 1e-6))
    _, healthy, _ = draw(tiny_prior, invariance, steps=8, optimizer=optimizers.Shampoo(0.5, 0.0, 1e-6))
    assert (finished[2].status, finished[2].steps) == ("nonfinite", 1)
    for index in (0, 1, 3, 4, 5):
        assert finished[index].status != "nonfinite"
        assert torch.allclose(finished[index].best["picture"], healthy[index].best["picture"], atol=1e-4)


def test_a_non_finite_gradient_retires_the_sample(tiny_prior, invariance):
    class Cliff:
        """Finite values, but an infinite slope for pictures that are darker than half on average at the start."""

        def __call__(self, x):
            dark = (x.mean((1, 2, 3)) < 10)[:, None]
            return colours(x) + torch.where(dark, (x[:, :1, 0, 0] * 0).sqrt(), 0.0)

    cliff = Invariance(Cliff(), distances.SquaredL2(), filters.Identity(), torch.rand(1, 3, 8, 8))
    _, finished, _ = draw(tiny_prior, cliff, steps=5)
    assert {event.status for event in finished.values()} == {"nonfinite"}


def test_frozen_weights_get_no_gradient(tiny_prior, invariance):
    draw(tiny_prior, invariance, steps=2)
    for module in (tiny_prior.network, tiny_prior.decoder):
        assert all(p.grad is None and not p.requires_grad for p in module.parameters())


def test_noise_depends_on_seed_and_index_only():
    seeds = {sample_seed(seed, index) for seed in range(20) for index in range(50)}
    assert len(seeds) == 1000
    assert sample_seed(0, 1) != sample_seed(1, 0)


NEWTON = GaussNewton(damping=1e-3, longest=0.3, most=8, noise="sphere")


@pytest.mark.parametrize("residuals", [True, False], ids=["of the distance", "roots"])
def test_the_jacobian_is_that_of_finite_differences(tiny_prior, invariance, residuals):
    """Rows of `Linear` beside central differences, with everything recomputed and in float64."""
    if not residuals:
        distance = invariance.distance
        invariance.distance = lambda values, target: distance(values, target)
    invariance.scale = 2.0
    z0 = torch.stack([tiny_prior.noise(seed) for seed in (1, 2)])
    measured, slope, _ = evaluate_rows(tiny_prior, invariance, z0)
    assert slope.residuals.shape == (2, 4 if residuals else 2)
    torch.testing.assert_close(slope.residuals.square().sum(1), measured["loss"], rtol=1e-4, atol=1e-6)
    plain = latent.evaluate(tiny_prior, invariance, z0, torch.tensor([False, False]), 0.0)[1]
    torch.testing.assert_close(slope.gradient, plain, rtol=1e-3, atol=1e-4)
    direction, step = tiny_prior.noise(3)[None], 1e-2
    ahead, behind = (evaluate_rows(tiny_prior, invariance, z0 + sign * step * direction)[1] for sign in (1, -1))
    expected = (ahead.residuals - behind.residuals) / (2 * step)
    torch.testing.assert_close((slope.jacobian * direction[:, None]).flatten(2).sum(2), expected, rtol=2e-2, atol=2e-3)


def evaluate_rows(prior, invariance, z0):
    return latent.evaluate(prior, invariance, z0, torch.zeros(len(z0), dtype=torch.bool), 0.0, Adjoint(), NEWTON.rows)


def test_newton_needs_few_evaluations_and_keeps_the_norm(tiny_prior, invariance):
    events, finished, _ = draw(tiny_prior, invariance, optimizer=NEWTON, threshold=1e-5)
    slow = draw(tiny_prior, invariance, threshold=1e-5)[1]
    print(
        [(s.status, s.steps, s.best["loss"].item()) for s in finished.values()],
        [(s.status, s.steps) for s in slow.values()],
    )
    assert {sample.status for sample in finished.values()} == {"converged"}
    assert sum(sample.steps for sample in finished.values()) < 0.5 * sum(sample.steps for sample in slow.values())
    for index, sample in finished.items():
        start = tiny_prior.noise(dict(SEEDS)[index])
        torch.testing.assert_close(sample.best["z_start"].norm(), start.norm(), rtol=1e-5, atol=0)
    steps = [event for event in events if isinstance(event, Step)]
    assert all(norm > 0 for norm in steps[0].grad_norm)


def test_newton_does_not_depend_on_the_batch(tiny_prior, invariance):
    whole = draw(tiny_prior, invariance, optimizer=NEWTON, threshold=1e-5)[1]
    for batch, memory in ((1, recomputing(1)), (4, Memory(Plan(3, steps=4, recompute=0)))):
        other = draw(tiny_prior, invariance, optimizer=NEWTON, threshold=1e-5, batch=batch, memory=memory)[1]
        for index, sample in whole.items():
            assert other[index].steps == sample.steps
            torch.testing.assert_close(other[index].best["picture"], sample.best["picture"], rtol=1e-3, atol=1e-3)


def test_padded_batches_give_the_same_bytes_whoever_shares_them(tiny_prior, invariance):
    """To the last bit, though batches of other sizes are computed by other routines."""
    _, whole, _ = draw(tiny_prior, invariance, optimizer=NEWTON, threshold=1e-5, batch=4, pad=True)
    for some in (SEEDS[:1], SEEDS[1:3], SEEDS[3:]):
        _, apart, _ = draw(tiny_prior, invariance, seeds=some, optimizer=NEWTON, threshold=1e-5, batch=4, pad=True)
        for index, sample in apart.items():
            assert sample.steps == whole[index].steps > 2
            assert all(torch.equal(value, whole[index].best[name]) for name, value in sample.best.items())


def test_of_several_roundings_the_one_with_the_lowest_loss_is_kept(tiny_prior, invariance):
    """Each sample's own, found by trying all; only the plain one where that will do or files keep all."""
    prior = copy.copy(tiny_prior)
    prior.levels = 255
    x = tiny_prior.decode(tiny_prior.flow(torch.stack([tiny_prior.noise(seed) for _, seed in SEEDS]))).detach()
    tried = torch.stack([prior.filed(x, number) for number in range(latent.ROUNDINGS)])
    losses = torch.stack([sum(invariance(filed)[:2]) for filed in tried])
    best = losses.argmin(0)
    assert len(best.unique()) > 2
    everyone = torch.ones(len(x), dtype=torch.bool)
    kept = latent.rounded(prior, invariance, x, everyone, losses.min() / 2)
    assert torch.equal(kept, tried[best, torch.arange(len(x))])
    assert torch.equal(latent.rounded(prior, invariance, x, everyone, 2 * losses[0].max()), tried[0])
    some = losses[0] < losses[0].median()
    assert torch.equal(latent.rounded(prior, invariance, x, some, losses[0].median()), tried[0])
    assert latent.rounded(tiny_prior, invariance, x, everyone, 0.0) is x


def test_a_sample_that_is_stuck_starts_again_and_says_so(tiny_prior, invariance):
    stuck = optimizers.SGD(1e-9, 0.0, False)
    slots = Slots(SEEDS[:2], 2, torch.device("cpu"))
    method = Latent(stuck, steps=7, threshold=1e-12, patience=3)
    finished = [e for e in method(tiny_prior, invariance, slots, recomputing(2)) if isinstance(e, Finished)]
    assert [sample.restarts for sample in finished] == [1, 1] and [sample.steps for sample in finished] == [7, 7]
    starts = {index: [tiny_prior.noise(seed), tiny_prior.noise(sample_seed(seed, 1))] for index, seed in SEEDS[:2]}
    for sample in finished:
        losses = [
            latent.evaluate(tiny_prior, invariance, z[None], torch.ones(1).bool(), 0.0)[0] for z in starts[sample.index]
        ]
        best = min(loss["loss"].item() for loss in losses)
        assert sample.best["loss"].item() == pytest.approx(best, rel=1e-3)


def test_a_sample_converges_if_its_file_does(tiny_prior, invariance, monkeypatch):
    monkeypatch.setattr(tiny_prior, "levels", 31)  # coarse enough that rounding undoes the first hits
    finished = draw(tiny_prior, invariance, optimizer=NEWTON, threshold=1e-3)[1].values()
    converged = [sample.best for sample in finished if sample.status == "converged"]
    assert len(converged) > len(finished) / 2
    for best in converged:
        torch.testing.assert_close(best["picture"] * 31, (best["picture"] * 31).round(), atol=1e-4, rtol=0)
        unfiltered, filtered, *_ = invariance(best["picture"][None])
        assert (unfiltered + filtered).item() == pytest.approx(best["loss"].item(), rel=1e-3) and best["loss"] < 1e-3


def test_a_penalty_stays_that_of_all_samples_where_one_is_near(tiny_prior, invariance, monkeypatch):
    """One that is rounded alone, to see whether it leaves, still has the others as its neighbours."""

    class Crowd:
        residuals, shown = invariance.residuals, staticmethod(lambda x: x)

        def __call__(self, x):
            return *invariance(x), x.flatten(1).sum(1, keepdim=True) + x.sum()

    monkeypatch.setattr(tiny_prior, "levels", 31)
    z0, last = torch.stack([tiny_prior.noise(seed) for seed in (1, 2, 3)]), torch.zeros(3, dtype=torch.bool)
    far = latent.evaluate(tiny_prior, Crowd(), z0, last, 0.0)[0]
    threshold = far["loss"].min().item() * 1.001
    near = latent.evaluate(tiny_prior, Crowd(), z0, last, threshold)[0]
    changed = (near["picture"] - far["picture"]).flatten(1).abs().amax(1) > 0
    assert changed.sum() == 1
    torch.testing.assert_close(near["penalty"], far["penalty"])
