"""Chains on the set of a small random prior: they stay on it, go on after a stop, and mind no neighbour."""

import pytest
import torch

from equidiff_cli.engine.memory import Memory
from equidiff_cli.engine.plan import Plan
from equidiff_cli.engine.slots import Slots
from equidiff_cli.errors import WrongRequest
from equidiff_cli.methods.events import Finished, Kept, Step
from equidiff_cli.methods.surface import Surface
from equidiff_cli.methods.walk import Walk
from equidiff_cli.parts import distances, filters
from equidiff_cli.parts.newton import GaussNewton
from equidiff_cli.parts.questions import Invariance
from equidiff_cli.prior.prior import sample_seed
from equidiff_cli.request.build import build
from equidiff_cli.request.schema import composed

SEEDS = [(i, sample_seed(0, i)) for i in range(4)]
OPTIONS = dict(angle=0.3, rotations=2, aim=0.7, forget=2, every=2, keep=3, tolerance=1e-3, iterations=12)


def colour(x):
    """A smooth objective: a weighted mean over the picture."""
    return (x.sin() * torch.linspace(-1, 1, 3 * 64).reshape(1, 3, 8, 8)).sum((1, 2, 3))[:, None]


@pytest.fixture
def question(tiny_prior):
    with torch.no_grad():
        query = tiny_prior.decode(tiny_prior.flow(tiny_prior.noise(99)[None]))
    return Invariance(colour, distances.SquaredL2(), filters.Gaussian(0.5), query)


def walk(prior, question, *, seeds=SEEDS, batch=4, memory=None, stop=None, slots=None, steps=40, **options):
    """All events, and the slots."""
    method = Walk(GaussNewton(0.01, 0.3, 8, "sphere"), steps, 1e-2, None, **OPTIONS | options)
    slots, events = slots or Slots(seeds, batch, torch.device("cpu")), []
    for event in method(prior, question, slots, memory or Memory(Plan(batch, steps=4, recompute=0))):
        events.append(event)
        if stop and stop(event):
            break
    return events, slots


def by(kind, events):
    """Events of a kind by sample, and number of a state."""
    return {(e.index, getattr(e, "number", None)): e for e in events if isinstance(e, kind)}


@pytest.fixture(scope="module")
def whole(tiny_prior):
    with torch.no_grad():
        query = tiny_prior.decode(tiny_prior.flow(tiny_prior.noise(99)[None]))
    return walk(tiny_prior, Invariance(colour, distances.SquaredL2(), filters.Gaussian(0.5), query))[0]


def test_states_are_on_the_set_and_the_last_one_is_the_sample(tiny_prior, question, whole):
    kept, finished = by(Kept, whole), by(Finished, whole)
    assert sorted(kept) == [(i, k) for i in range(4) for k in range(3)]
    assert [kept[0, k].move for k in range(3)] == [4, 6, 8]
    for event in kept.values():
        picture = tiny_prior.decode(tiny_prior.flow(event.state["z_start"][None]))
        torch.testing.assert_close(picture[0], event.state["picture"], atol=1e-5, rtol=1e-4)
        unfiltered, filtered, values, _ = question(picture)
        assert max(unfiltered.item(), filtered.item()) < 1.1e-6, "the tolerance is 1e-3, of the root"
        torch.testing.assert_close(values[0], event.state["objective"], atol=1e-4, rtol=1e-4)
    for index, _ in SEEDS:
        sample = finished[index, None]
        assert sample.status == "converged" and torch.equal(sample.best["picture"], kept[index, 2].state["picture"])
        notes = sample.notes["walk"]
        assert notes["moves"] == 8 >= notes["moved"] + notes["no_projection"] + notes["no_return"] and notes["moved"]
        assert notes["angle"] != pytest.approx(0.3), "it was tuned"
        assert sample.steps > 8 and sample.evaluations % 4 == 0 and sample.evaluations > 4 * (sample.steps + 8 * 5)
    states = [kept[0, k].state["z_start"] for k in range(3)]
    assert not torch.equal(states[0], states[2])


def test_evaluations_are_counted(tiny_prior, question):
    """Rows that pass through the velocity network, four times each, beside what the records say."""
    rows = 0

    class Counting:
        def __getattr__(self, name):
            return getattr(tiny_prior, name)

        def flow(self, z, *adjoint):
            nonlocal rows
            rows += len(z)
            return tiny_prior.flow(z, *adjoint)

    events, _ = walk(Counting(), question, seeds=SEEDS[:2], batch=2)
    counted = sum(e.evaluations for e in by(Finished, events).values())
    assert counted == 4 * rows, "the two pictures that the equations are tried on come from sample(), not counted here"


def test_a_chain_does_not_depend_on_its_neighbours(tiny_prior, question, whole):
    kept = by(Kept, whole)
    for batch, rows in ((1, 1), (3, 2)):
        events, _ = walk(tiny_prior, question, batch=batch, memory=Memory(Plan(rows, steps=4, recompute=0)), keep=1)
        for (index, number), event in by(Kept, events).items():
            torch.testing.assert_close(event.state["picture"], kept[index, number].state["picture"], atol=5e-3, rtol=0)


def test_a_stopped_walk_goes_on_to_the_same_bytes(tiny_prior, question, whole):
    count = iter(range(1000))
    early, slots = walk(tiny_prior, question, stop=lambda e: isinstance(e, Step) and next(count) == 6)
    tensors, facts = slots.save()
    again = Slots([], 4, torch.device("cpu"))
    again.restore(tensors, facts)
    late, _ = walk(tiny_prior, question, slots=again)
    both, expected = early + late, by(Kept, whole)
    assert by(Kept, early) and by(Kept, late) and by(Kept, both).keys() == expected.keys()
    for key, event in by(Kept, both).items():
        assert torch.equal(event.state["picture"], expected[key].state["picture"])
    for key, event in by(Finished, both).items():
        assert (
            event.notes == by(Finished, whole)[key].notes and event.evaluations == by(Finished, whole)[key].evaluations
        )


def test_a_set_that_is_not_found_leaves_as_budget(tiny_prior, question):
    events, _ = walk(tiny_prior, question, steps=1)
    left = [event for event in by(Finished, events).values() if event.best["loss"] > 1e-2]
    assert len(left) >= 2
    for event in left:
        assert event.status == "budget" and event.steps == 1 and event.notes == {}
        assert (event.index, 0) not in by(Kept, events)


def test_the_jacobian_of_a_place_is_that_of_its_equations(tiny_prior, question):
    surface = Surface.of(question, tiny_prior.unguided(2, 2), tiny_prior, Memory(Plan(2, steps=4, recompute=0)))
    z = torch.stack([tiny_prior.noise(seed) for seed in (1, 2, 3)]).flatten(1)
    place, step = surface.place(z), 1e-2
    torch.testing.assert_close(place["residuals"], surface.residuals(z), atol=1e-5, rtol=1e-4)
    for k in range(surface.count):
        ahead, behind = (surface.residuals(z + sign * step * place["across"][:, :, k]) for sign in (1, -1))
        torch.testing.assert_close(place["slope"][:, :, k], (ahead - behind) / (2 * step), atol=5e-3, rtol=3e-2)


def test_what_is_the_same_equation_counts_once(tiny_prior, question):
    pictures = tiny_prior.unguided(2, 2)
    assert Surface.of(question, pictures).columns == [0, 1]
    unfiltered = Invariance(colour, distances.SquaredL2(), filters.Identity(), pictures[:1])
    assert Surface.of(unfiltered, pictures).columns == [0]


@pytest.mark.parametrize(
    ("objective", "distance", "said"),
    [
        (lambda x: torch.cat([colour(x), 2 * colour(x)], 1), distances.SquaredL2(), "the 2 equations .* follow from"),
        (lambda x: x.flatten(1)[:, :3] + colour(x), distances.Cosine(), "the 3 equations of the question follow from"),
        (lambda x: x.flatten(1)[:, :40] + colour(x), distances.SquaredL2(), "is 40 equations, .* at most 32"),
    ],
)
def test_questions_that_cannot_be_walked_on(tiny_prior, objective, distance, said):
    pictures = tiny_prior.unguided(2, 2)
    with pytest.raises(WrongRequest, match=f"^method=walk: .*{said}") as error:
        Surface.of(Invariance(objective, distance, filters.Identity(), pictures[:1]), pictures)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["question=raise"], "method=walk: walks where a value is held or reached"),
        (["diverse=1.0", "batch=2"], "method=walk: walks where a value is held or reached"),
        (["filter.cutoff=[0.25,0.5]"], "method=walk: several views of a picture share one equation"),
        (["robust=views"], "method=walk: several views of a picture share one equation"),
    ],
    ids=str,
)
def test_what_cannot_be_walked_on_is_refused(words, said):
    with pytest.raises(ValueError, match=said):
        build(composed("prior=embedded", "method=walk", *words))


def test_rejection_needs_an_end():
    with pytest.raises(ValueError, match="method=rejection: a value that is raised or lowered without end"):
        build(composed("prior=embedded", "method=rejection", "question=raise"))
