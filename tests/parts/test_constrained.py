"""Moves on sets {c(z) = 0}: their law against closed forms, quadrature and another program, and the way back."""

import math

import mici
import numpy as np
import pytest
import torch
from scipy import stats

from equidiff_cli.parts import constrained
from equidiff_cli.parts.constrained import MOVED, NO_PROJECTION, NO_RETURN, framed, move, rotated, solved, tangent


class Surface:
    """c (n, R) of z (n, D), differentiated by torch, float64."""

    def __init__(self, equations):
        self.equations = equations

    def residuals(self, z):
        return self.equations(z)

    def place(self, z):
        jacobian = torch.func.vmap(torch.func.jacrev(lambda one: self.equations(one[None])[0]))(z)
        return framed(jacobian) | {"at": z}


def walk(surface, z, moves, angle, rotations, every=1, seed=0):
    """States (moves // every, N, D) and what became of each move (moves, N)."""
    generator = torch.Generator().manual_seed(seed)
    place, states, outcomes = surface.place(z), [], []
    angles = torch.full((len(z),), angle, dtype=z.dtype)
    for k in range(1, moves + 1):
        noise = torch.randn(z.shape, dtype=z.dtype, generator=generator)
        uniform = torch.rand(len(z), dtype=z.dtype, generator=generator)
        place, outcome, _, _ = move(surface, place, noise, uniform, angles, rotations, 1e-9, 20)
        outcomes.append(outcome)
        states += [place["at"]] if k % every == 0 else []
    return torch.stack(states), torch.stack(outcomes)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_moments_on_a_plane_are_those_of_the_conditional_gaussian():
    """z given A z = b: mean A^+ b, covariance I - A^+ A; nothing is refused, as the energy is constant on a plane."""
    matrix, b = random(2, 5, seed=1), torch.tensor([1.0, -2.0]).double()
    surface = Surface(lambda z: z @ matrix.T - b)
    inverse = torch.linalg.pinv(matrix)
    start = (inverse @ b).expand(2000, 5) + 0.0
    states, outcomes = walk(surface, start, moves=12, angle=0.5, rotations=3, every=4)
    assert (outcomes == MOVED).all()
    z = states[1:].flatten(0, 1)
    torch.testing.assert_close(z @ matrix.T, b.expand(len(z), 2), rtol=0, atol=1e-8)
    torch.testing.assert_close(z.mean(0), inverse @ b, rtol=0, atol=5 / len(z) ** 0.5)
    torch.testing.assert_close(z.T.cov(), torch.eye(5).double() - inverse @ matrix, rtol=0, atol=8 / len(z) ** 0.5)


def ellipse(z):
    """An ellipse off the origin, so that density, area and slope all vary along it."""
    return ((z[:, :1] - 0.4) / 2).square() + (z[:, 1:] + 0.3).square() - 1


def on_ellipse(t):
    return np.stack([0.4 + 2 * np.cos(t), np.sin(t) - 0.3], axis=-1)


def ellipse_law(slope=True):
    """The distribution function of the parameter t in [0, 2 pi], by quadrature."""
    t = np.linspace(0, 2 * math.pi, 20_001)
    z = on_ellipse(t)
    length = np.hypot(2 * np.sin(t), np.cos(t))
    gradient = np.hypot((z[:, 0] - 0.4) / 2, 2 * (z[:, 1] + 0.3)) if slope else 1.0
    mass = np.cumsum(np.exp(-(z**2).sum(1) / 2) * length / gradient)
    return lambda x: np.interp(x, t, mass / mass[-1])


def parameter(z):
    return np.arctan2(z[:, 1] + 0.3, (z[:, 0] - 0.4) / 2) % (2 * math.pi)


@pytest.mark.parametrize(("angle", "rotations"), [(0.8, 1), (0.3, 4)])
def test_law_on_a_curve_is_that_of_quadrature(angle, rotations):
    start = torch.from_numpy(on_ellipse(np.linspace(0, 6.28, 3000)))
    states, outcomes = walk(Surface(ellipse), start, moves=100, angle=angle, rotations=rotations)
    t = parameter(states[-1].numpy())
    assert stats.kstest(t, ellipse_law()).pvalue > 0.01
    assert stats.kstest(t, ellipse_law(slope=False)).pvalue < 1e-4, "without the coarea factor it would show"
    assert {MOVED, NO_PROJECTION} < set(outcomes.unique().tolist())


def waves(z):
    """A curve y = f(x) whose normals meet it again; the law of x on it is exp(-(x^2 + f(x)^2) / 2) dx."""
    return z[:, 1:] - (2 * z[:, :1]).sin()


def test_the_way_back_matters(monkeypatch):
    x = np.linspace(-5, 5, 20_001)
    mass = np.cumsum(np.exp(-(x**2 + np.sin(2 * x) ** 2) / 2))
    start = torch.from_numpy(stats.norm.ppf((np.arange(3000) + 0.5) / 3000))
    start = torch.stack([start, (2 * start).sin()], 1)

    def far():
        states, outcomes = walk(Surface(waves), start, moves=40, angle=1.2, rotations=1)
        return stats.kstest(states[-1][:, 0].numpy(), lambda at: np.interp(at, x, mass / mass[-1])), outcomes

    found, outcomes = far()
    assert found.pvalue > 0.01 and (outcomes == NO_RETURN).double().mean() > 0.02
    monkeypatch.setattr(constrained, "RETURN", math.inf)
    assert far()[0].pvalue < 1e-3


def test_a_rotation_and_its_reverse():
    """From (z', -v') the same rotation leads to (z, -v), and v' has no part along the normals."""
    surface = Surface(lambda z: torch.stack([z.square().sum(1) - 3, (z[:, 0] * z[:, 1]).sin() + z[:, 2]], 1))
    z = random(50, 4)
    place = surface.place(z)
    for _ in range(30):
        z = z - constrained.times(place["across"], torch.linalg.solve(place["slope"], surface.residuals(z)))
        place = surface.place(z)
    v = tangent(random(50, 4, seed=1), place["across"])
    angle = torch.full((50,), 0.2).double()
    there, w, found, _ = rotated(surface.residuals, place, v, angle, 1e-12, 30)
    assert found.double().mean() > 0.9 and surface.residuals(there[found]).abs().max() < 1e-10
    reached = surface.place(there)
    ahead = tangent(w, reached["across"])
    assert (reached["across"].mT @ ahead[..., None]).abs().max() < 1e-12
    back, w, again, _ = rotated(surface.residuals, reached, -ahead, angle, 1e-12, 30)
    same = found & again & ((back - z).norm(dim=1) < 0.1)
    assert same.double().mean() > 0.8
    torch.testing.assert_close(back[same], z[same], rtol=0, atol=1e-8)
    torch.testing.assert_close(tangent(w, place["across"])[same], -v[same], rtol=0, atol=1e-7)


def test_area_in_phase_space_is_kept():
    """|det| of (z, v) -> (z', v') in coordinates of a curve, by central differences."""

    def step(phase):
        t, speed = phase
        z = torch.from_numpy(on_ellipse(np.array([t])))
        along = torch.tensor([[-2 * math.sin(t), math.cos(t)]]).double()
        place = Surface(ellipse).place(z)
        angle = torch.tensor([0.4]).double()
        z, w, found, _ = rotated(ellipse, place, speed * along / along.norm(), angle, 1e-14, 40)
        assert found.all()
        t = parameter(z.numpy())[0]
        along = torch.tensor([[-2 * math.sin(t), math.cos(t)]]).double()
        return np.array([t, (w * along).sum().item() / along.norm().item()])

    def length(t):
        return math.hypot(2 * math.sin(t), math.cos(t))

    for phase in (np.array([1.0, 0.5]), np.array([2.5, -1.0]), np.array([4.0, 0.3])):
        columns = [(step(phase + h) - step(phase - h)) / 2e-5 for h in (np.array([1e-5, 0]), np.array([0, 1e-5]))]
        determinant = np.linalg.det(np.array(columns)) * length(step(phase)[0]) / length(phase[0])
        assert determinant == pytest.approx(1, abs=1e-4)


def test_places_and_volume_against_written_out_algebra():
    jacobian = random(3, 2, 6)
    frame = framed(jacobian)
    gram = jacobian @ jacobian.mT
    torch.testing.assert_close(frame["volume"], torch.linalg.slogdet(gram)[1] / 2)
    torch.testing.assert_close(frame["slope"], jacobian @ frame["across"])
    projector = jacobian.mT @ torch.linalg.solve(gram, jacobian)
    torch.testing.assert_close(
        tangent(random(3, 6), frame["across"]), random(3, 6) - (projector @ random(3, 6)[..., None])[..., 0]
    )


def test_rows_do_not_depend_on_each_other_and_failures_stay_where_they_were():
    x = torch.linspace(-2, 2, 40).double()
    start = torch.stack([x, (2 * x).sin()], 1)
    surface, angle = Surface(waves), torch.full((40,), 1.3).double()
    noise, uniform = 2 * random(40, 2, seed=2), torch.rand(40, generator=torch.Generator().manual_seed(1)).double()
    place, outcome, chance, passes = move(surface, surface.place(start), noise, uniform, angle, 2, 1e-9, 20)
    assert set(outcome.tolist()) == {0, 1, 2, 3}
    stay = outcome != MOVED
    assert torch.equal(place["at"][stay], start[stay]) and not torch.equal(place["at"][~stay], start[~stay])
    assert (chance[outcome > 1] == 0).all() and (passes > 0).all()
    alone = [
        move(surface, surface.place(start[i, None]), noise[i, None], uniform[i, None], angle[:1], 2, 1e-9, 20)
        for i in range(40)
    ]
    torch.testing.assert_close(torch.cat([one[0]["at"] for one in alone]), place["at"])
    assert torch.equal(torch.cat([one[1] for one in alone]), outcome)
    assert torch.equal(torch.cat([one[3] for one in alone]), passes)


def test_what_cannot_be_solved_is_given_up():
    nowhere = solved(
        lambda z: z.square().sum(1, keepdim=True) + 1, random(2, 3), random(2, 3, 1), random(2, 1, 1), 1e-9, 7
    )
    assert not nowhere[1].any() and nowhere[2].tolist() == [7, 7]
    broken = solved(lambda z: z[:, :1] * math.nan, random(2, 3), random(2, 3, 1), random(2, 1, 1), 1e-9, 7)
    assert not broken[1].any() and broken[2].tolist() == [1, 1]


def test_moments_on_a_torus_are_those_of_mici():
    """The same law by another program: mici's constrained leapfrog on a torus in three dimensions."""

    def torus(z):
        return (z[:, :2].square().sum(1, keepdim=True).sqrt() - 1.5).square() + (z[:, 2:] - 0.5).square() - 0.25

    def one(q):
        return ((q[0] ** 2 + q[1] ** 2) ** 0.5 - 1.5) ** 2 + (q[2] - 0.5) ** 2 - 0.25

    def jacobian(q):
        around = math.hypot(q[0], q[1])
        return np.array([[*(2 * (around - 1.5) * q[:2] / around), 2 * (q[2] - 0.5)]])

    def hessian_product(q):
        """The matrix-Hessian product that mici asks for: m -> sum_i m_i d^2 c / dq dq_i."""
        around = math.hypot(q[0], q[1])
        unit = q[:2] / around
        block = 2 * np.outer(unit, unit) + 2 * (around - 1.5) / around * (np.eye(2) - np.outer(unit, unit))
        hessian = np.zeros((3, 3))
        hessian[:2, :2], hessian[2, 2] = block, 2.0
        return lambda m: m[0] @ hessian

    system = mici.systems.DenseConstrainedEuclideanMetricSystem(
        neg_log_dens=lambda q: 0.5 * (q**2).sum(),
        grad_neg_log_dens=lambda q: q,
        constr=lambda q: np.array([one(q)]),
        jacob_constr=jacobian,
        mhp_constr=hessian_product,
        dens_wrt_hausdorff=False,
    )
    integrator = mici.integrators.ConstrainedLeapfrogIntegrator(system, step_size=0.3)
    sampler = mici.samplers.StaticMetropolisHMC(system, integrator, np.random.default_rng(0), n_step=5)
    begin = np.array([2.0, 0.0, 0.5])
    theirs = sampler.sample_chains(
        0, 1500, [begin], trace_funcs=[lambda state: {"q": state.pos}], display_progress=False, adapters=[]
    )
    theirs = np.asarray(theirs.traces["q"][0])[50::2]
    ours, _ = walk(Surface(torus), torch.from_numpy(begin).expand(2000, 3) + 0.0, moves=20, angle=0.3, rotations=5)
    ours = ours[-1].numpy()
    for of in (lambda z: z[:, 2], lambda z: z[:, 2] ** 2, lambda z: np.hypot(z[:, 0], z[:, 1])):
        a, b = of(ours), of(theirs)
        assert abs(a.mean() - b.mean()) < 4 * math.sqrt(a.var() / len(a) + 3 * b.var() / len(b))
