"""The optimizer: orthogonalized momentum (Muon) for matrices and kernels, AdamW for everything else.

Muon steps along the nearest orthogonal matrix to the momentum: all directions of a matrix learn at one speed. Small
models on few samples get there in a fraction of the steps that AdamW needs. After Jordan et al. 2024, "Muon: an
optimizer for hidden layers in neural networks".
"""

import torch

_MOMENTUM = 0.95
_STEPS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Of the quintic whose iteration drives singular values towards 1.
_BETAS = (0.9, 0.99)
_EPSILON = 1e-8
_SMALLEST_SIDE = 16  # Of a matrix for Muon.


class MuonAdamW(torch.optim.Optimizer):
    """`matrices` learn with Muon at `matrix_rate`, `others` with AdamW at `rate`.

    `bfloat16` says that directions are made in bfloat16, for devices that are fast at it.
    Groups keep their full rate as "peak"; call `set_factor` before each step. Kernels [out, in, height, width] count
    as matrices [out, in * height * width].
    """

    def __init__(
        self, matrices: list, others: list, matrix_rate: float, rate: float, weight_decay: float,
        bfloat16: bool = False,
    ):
        self.orthogonalize = orthogonalized_bfloat16 if bfloat16 else orthogonalized
        groups = [
            {"params": matrices, "lr": matrix_rate, "peak": matrix_rate, "muon": True},
            {"params": others, "lr": rate, "peak": rate, "muon": False},
        ]
        super().__init__([group for group in groups if group["params"]], {"weight_decay": weight_decay})

    def set_factor(self, factor: float) -> None:
        """Sets all rates to this part of their peak."""
        for group in self.param_groups:
            group["lr"] = group["peak"] * factor

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One update from the gradients; parameters without one are left alone."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group["weight_decay"] and parameters:
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            (self._step_muon if group["muon"] else self._step_adam)(parameters, group["lr"])

    def _step_muon(self, parameters: list[torch.Tensor], rate: float) -> None:
        by_shape: dict[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for parameter in parameters:
            state = self.state[parameter]
            momentum = state.setdefault("momentum", torch.zeros_like(parameter))
            momentum.lerp_(parameter.grad, 1 - _MOMENTUM)
            update = parameter.grad.lerp(momentum, _MOMENTUM).flatten(1)
            by_shape.setdefault(tuple(update.shape), []).append((parameter, update))
        for (rows, columns), entries in by_shape.items():
            # Equal shapes go through one batch of products.
            directions = self.orthogonalize(torch.stack([update for _, update in entries]))
            scale = max(1.0, rows / columns) ** 0.5
            for (parameter, _), direction in zip(entries, directions):
                parameter.add_(direction.view_as(parameter), alpha=-rate * scale)

    def _step_adam(self, parameters: list[torch.Tensor], rate: float) -> None:
        if not parameters:
            return
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter] = {
                    "step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)
                }
        states = [self.state[parameter] for parameter in parameters]
        gradients = [parameter.grad for parameter in parameters]
        means, squares = [state["mean"] for state in states], [state["square"] for state in states]
        torch._foreach_lerp_(means, gradients, 1 - _BETAS[0])
        torch._foreach_mul_(squares, _BETAS[1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - _BETAS[1])
        for state in states:
            state["step"] += 1
        count = states[0]["step"]
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - _BETAS[1] ** count) ** 0.5)
        torch._foreach_add_(roots, _EPSILON)
        torch._foreach_addcdiv_(parameters, means, roots, -rate / (1 - _BETAS[0] ** count))


def orthogonalized(matrices: torch.Tensor) -> torch.Tensor:
    """Nearly the nearest orthogonal matrices [n, rows, columns]: singular values near 1, vectors kept.

    The iteration X <- (a + b XX' + c (XX')^2) X runs on the small square XX' alone; X is multiplied once at the end.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalized(matrices.mT).mT
    a, b, c = _COEFFICIENTS
    start = _normalized(matrices)
    square = start @ start.mT
    identity = torch.eye(square.shape[1], device=square.device)
    product = None
    for iteration in range(_STEPS):
        factor = a * identity + b * square + c * (square @ square)
        product = factor if product is None else factor @ product
        if iteration + 1 < _STEPS:
            square = factor @ square @ factor
    return (product @ start).to(matrices.dtype)


def orthogonalized_bfloat16(matrices: torch.Tensor) -> torch.Tensor:
    """The same in bfloat16: the iteration runs on X itself, for squares of small singular values would be lost."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalized_bfloat16(matrices.mT).mT
    a, b, c = _COEFFICIENTS
    values = _normalized(matrices).bfloat16()
    for _ in range(_STEPS):
        square = values @ values.mT
        values = a * values + (b * square + c * (square @ square)) @ values
    return values.to(matrices.dtype)


def _normalized(matrices: torch.Tensor) -> torch.Tensor:
    """Each matrix divided by its Frobenius norm, which is at least its largest singular value."""
    return matrices.float() / (matrices.float().norm(dim=(1, 2), keepdim=True) + 1e-12)


def split(module: torch.nn.Module, ends: tuple[torch.nn.Module, ...] = ()) -> tuple[list, list]:
    """The trained parameters that are matrices or kernels between hidden spaces, and the others.

    Not such maps are embedding tables, `ends` (what reads the input or writes the output), and thin kernels.
    """
    apart = {child.weight for child in module.modules() if isinstance(child, torch.nn.Embedding)}
    apart |= {parameter for end in ends for parameter in end.parameters()}
    matrices, others = [], []
    for parameter in module.parameters():
        if parameter.requires_grad:
            is_matrix = parameter.dim() in (2, 4) and min(parameter.flatten(1).shape) >= _SMALLEST_SIDE
            (matrices if is_matrix and parameter not in apart else others).append(parameter)
    return matrices, others
