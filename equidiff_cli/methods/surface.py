"""The invariant set as a surface in the space of starting noise: the equations, and places on it."""

import torch

from equidiff_cli.errors import WrongRequest
from equidiff_cli.methods.latent import evaluate, joined
from equidiff_cli.parts.constrained import framed, put, times

MOST = 32  # equations; each takes a backward pass a place
DEPENDENT = 1e-5  # ratio of singular values of a Jacobian below which its rows say the same


class Surface:
    """c(z) = 0 for flat latents z (n, D), with c the residuals of a question but for those that repeat others.

    Args:
        question: of `parts/questions.py`, with `residuals`.
        columns: which of the residuals are the equations.
        prior, memory: as a method is called with.
    """

    def __init__(self, question, columns, prior=None, memory=None):
        self.question, self.columns, self.prior, self.memory = question, columns, prior, memory
        self.count = len(columns)

    @classmethod
    def of(cls, question, pictures, prior=None, memory=None):
        """The surface of a question; `ValueError` for equations of which some follow from the others.

        Without a filter the residuals of the filtered picture are those of the picture: they stand for one equation.

        Args:
            pictures: (N, C, H, W), on which residuals are compared.
        """
        if not hasattr(question, "residuals"):
            raise WrongRequest("method=walk: the question has no residuals, whose zero is walked on")
        x = pictures.detach().clone().requires_grad_()
        with torch.enable_grad():
            _, _, values, filtered, *besides = question(x.clone())
            if besides or getattr(question, "endless", False):
                raise WrongRequest(
                    "method=walk: walks where a value is held or reached, without a region, diverse or a penalty"
                )
            if filtered.shape != values.shape:
                raise WrongRequest(
                    "method=walk: several views of a picture share one equation, which has no direction where it holds;"
                    " use one filter.cutoff and robust=none"
                )
            residuals = question.residuals(values, filtered)
        seen, columns = [], []
        for k, column in enumerate(residuals.detach().unbind(1)):
            if not any(torch.equal(column, other) for other in seen):
                seen.append(column)
                columns.append(k)
        if len(columns) > MOST:
            raise WrongRequest(
                f"method=walk: the question is {len(columns)} equations, each with a backward pass; at most {MOST}, so"
                " choose an objective with fewer values, or filter=none"
            )
        rows = [torch.autograd.grad(residuals[:, k].sum(), x, retain_graph=True)[0].flatten(1) for k in columns]
        values = torch.linalg.svdvals(torch.stack([row / row.norm(dim=1, keepdim=True) for row in rows], 1).cpu())
        if not (values[:, -1] > DEPENDENT * values[:, 0]).any():  # not so for NaN either
            raise WrongRequest(
                f"method=walk: the {len(columns)} equations of the question follow from each other, as those of"
                " distance=cosine, distance=kl or all probabilities do; hold fewer values, with distance=l2"
            )
        return cls(question, columns, prior, memory)

    @torch.no_grad()
    def residuals(self, z):
        """c (n, R)."""
        parts = []
        for part in z.view(-1, *self.prior.noise_shape).split(self.memory.plan.batch):
            x = self.prior.decode(self.prior.flow(part))
            parts.append(self.question.residuals(*self.question(x)[2:4])[:, self.columns])
        return torch.cat(parts)

    def place(self, z):
        """The place at z, on the set or not: "at", "residuals", what `framed` gives, and what `evaluate` measures."""
        plan, shaped = self.memory.plan, z.view(-1, *self.prior.noise_shape)
        last = torch.zeros(len(z), dtype=torch.bool)
        measured, slope, _ = joined(
            [
                evaluate(self.prior, self.question, *part, 0.0, plan.adjoint, lambda r: r[:, self.columns])
                for part in zip(shaped.split(plan.batch), last.split(plan.batch), strict=True)
            ]
        )
        return measured | framed(slope.jacobian.flatten(2)) | {"at": z, "residuals": slope.residuals}

    def settled(self, z0, tolerance, iterations):
        """From latents (n, C, H, W) near the set onto it, by Newton's shortest steps.

        Returns a place, which of its rows are on the set (n,), and evaluations (n,).
        """
        place = self.place(z0.flatten(1))
        passes = torch.ones(len(z0), dtype=torch.int64, device=z0.device)
        for _ in range(iterations - 1):
            there = place["residuals"].abs().amax(1) < tolerance
            left = (~there & place["residuals"].isfinite().all(1)).nonzero().flatten()
            if not len(left):
                break
            step = torch.linalg.solve_ex(place["slope"][left], place["residuals"][left][..., None])[0][..., 0]
            place = put(place, left, self.place(place["at"][left] - times(place["across"][left], step)))
            passes[left] += 1
        return place, place["residuals"].abs().amax(1) < tolerance, passes
