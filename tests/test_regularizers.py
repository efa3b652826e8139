"""Penalties on parameters against sums over them in float64, and the diagonal of the Fisher information."""

import copy

import pytest
import torch

import fastloss
from fastloss import regularizers

SHAPES = ((3, 4), (7,), (2, 3, 2, 2), (), (0, 5), (5, 2))
NAMES = ("a.weight", "a.bias", "conv.weight", "scale", "none", "b.weight")


def tensors(dtype=torch.float64, seed=0, shapes=SHAPES):
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    made[0][0] = 0  # rows and elements of zeros
    return made


def matrices(ws):
    return [w.reshape(len(w), -1) for w in ws if w.dim() > 1 and w.numel()]


def eye(m):
    return torch.eye(len(m), dtype=m.dtype)


def far(w, anchor):
    return (w - anchor).square()


ANCHORS, FISHER = tensors(seed=1), [t.square() for t in tensors(seed=2)]


def others(dtype, device="cpu"):
    return [t.to(device, dtype) for t in ANCHORS], [t.to(device, dtype) for t in FISHER]


# By name: the penalty of parameters and further lists of them, how many lists, the sum over float64 tensors.
PENALTIES = {
    "l1": (fastloss.l1_penalty, 0, lambda ws: sum(w.abs().sum() for w in ws)),
    "l2": (fastloss.l2_penalty, 0, lambda ws: sum(w.square().sum() for w in ws)),
    "elastic net": (
        lambda *args, **kwargs: fastloss.elastic_net_penalty(*args, l1_ratio=0.3, **kwargs), 0,
        lambda ws: sum(0.3 * w.abs().sum() + 0.7 * w.square().sum() for w in ws),
    ),
    "group lasso": (
        fastloss.group_lasso_penalty, 0,
        lambda ws: sum(w.reshape(len(w) if w.dim() else 1, -1).norm(dim=1).sum() for w in ws if w.numel()),
    ),
    "group lasso by size": (
        lambda *args, **kwargs: fastloss.group_lasso_penalty(*args, size_factor=True, **kwargs), 0,
        lambda ws: sum(
            w[0].numel() ** 0.5 * w.reshape(len(w), -1).norm(dim=1).sum() if w.dim() else w.norm()
            for w in ws if w.numel()
        ),
    ),
    "orthogonality": (
        fastloss.orthogonality_penalty, 0,
        lambda ws: sum(
            ((m @ m.T if len(m) <= m.shape[1] else m.T @ m) - eye(m if len(m) <= m.shape[1] else m.T)).square().sum()
            for m in matrices(ws)
        ),
    ),
    "proximal": (
        fastloss.proximal_penalty, 1, lambda ws, a: sum(far(w, v).sum() for w, v in zip(ws, a, strict=True)) / 2,
    ),
    "ewc": (
        fastloss.ewc_penalty, 2,
        lambda ws, a, f: sum((g * far(w, v)).sum() for w, v, g in zip(ws, a, f, strict=True)) / 2,
    ),
}  # fmt: skip
every_penalty = pytest.mark.parametrize("name", PENALTIES)


def given(k, dtype):
    return others(dtype)[:k]


@pytest.fixture(params=["one by one", "together"])
def way(request, monkeypatch):
    """Tensors one after the other, as large ones on the CPU, and many in one call."""
    for name in ("_FEW", "_SMALL"):
        monkeypatch.setattr(regularizers, name, 1 << 60 if request.param == "together" else 0)
    return request.param


def compare(made, wanted, dtype, scale=1.0):
    """Half precision is rounded once, from float32."""
    rounding = {torch.float64: 1e-13, torch.float32: 3e-6, torch.bfloat16: 2**-8}[dtype]
    assert made.dtype == dtype
    torch.testing.assert_close(made.double(), wanted.double(), rtol=rounding, atol=1e-6 * rounding * scale)


WAYS = [(way, dtype) for way in ("one by one", "together") for dtype in (torch.float64, torch.float32)]


@pytest.mark.parametrize(("way", "dtype"), [*WAYS, ("one by one", torch.bfloat16)], indirect=["way"])
@every_penalty
def test_values_and_gradients(name, dtype, way):
    """Against autograd of the sum in float64 over the same rounded numbers."""
    penalty, k, plain = PENALTIES[name]
    ws = [w.requires_grad_() for w in tensors(dtype)]
    exact = [w.detach().double().requires_grad_() for w in ws]
    value = penalty(ws, *given(k, dtype), lam=0.25)
    wanted = 0.25 * plain(exact, *([t.double() for t in column] for column in given(k, dtype)))
    compare(value.detach(), wanted.detach(), dtype)
    gradients = torch.autograd.grad(-2.0 * value, ws, allow_unused=True)
    of = torch.autograd.grad(-2.0 * wanted, exact, allow_unused=True, materialize_grads=True)
    for w, g, want in zip(ws, gradients, of, strict=True):
        if g is None:
            assert not want.any()
        else:
            assert g.shape == w.shape
            compare(g, want, dtype, scale=1e5)


@every_penalty
def test_second_derivatives_and_transforms(name, way):
    """By the formula."""
    penalty, k, plain = PENALTIES[name]
    ws = [(w + 0.5).requires_grad_() for w in tensors() if w.numel()]
    u = [[t for t in column if t.numel()] for column in given(k, torch.float64)]
    directions = [torch.randn_like(w) for w in ws]

    def twice(f):
        first = torch.autograd.grad(f(ws, *u), ws, create_graph=True, materialize_grads=True)
        along = sum((g * d).sum() for g, d in zip(first, directions, strict=True))
        return torch.autograd.grad(along, ws, materialize_grads=True) if along.requires_grad else None

    made, wanted = twice(penalty), twice(plain)
    if wanted is not None:
        torch.testing.assert_close(made, wanted)
    function = torch.func.grad(lambda w: penalty([w], *([c[0]] for c in u)))
    (wanted,) = torch.autograd.grad(plain([ws[0]], *([c[0]] for c in u)), ws[0])
    torch.testing.assert_close(function(ws[0].detach()), wanted)


@every_penalty
def test_some_parameters_have_no_gradient_and_graphs_are_kept(name, way):
    penalty, k, _ = PENALTIES[name]
    ws, u = tensors(), given(k, torch.float64)
    ws[0].requires_grad_()
    value = penalty(ws, *u)
    (first,) = torch.autograd.grad(value, ws[0], retain_graph=True)
    (second,) = torch.autograd.grad(value, ws[0])
    assert torch.equal(first, second)
    assert not any(w.requires_grad for w in ws[1:])
    assert not penalty([w.detach() for w in ws], *u).requires_grad
    batched = torch.autograd.grad(penalty(ws, *u), ws[0], torch.tensor([1.0, -2.0]).double(), is_grads_batched=True)[0]
    torch.testing.assert_close(batched, torch.stack((first, -2 * first)))


@every_penalty
def test_names_and_exclusions(name):
    """A named parameter meets its anchors by name, in any order; patterns match names and their parts."""
    penalty, k, plain = PENALTIES[name]
    ws, u = tensors(), given(k, torch.float64)
    named = dict(zip(NAMES, ws, strict=True))
    shuffled = [dict(reversed(list(zip(NAMES, column, strict=True)))) for column in u]
    kept = [0, 2, 5]
    wanted = plain([ws[i] for i in kept], *([column[i] for i in kept] for column in u))
    exclusions = [("bias", "scal*", "none"), ("a.bias", ws[3], "non?")]
    for params in (named, list(named.items()), iter(named.items())):
        torch.testing.assert_close(penalty(params, *shuffled, exclude=exclusions[0]), wanted)
    torch.testing.assert_close(penalty(named, *u, exclude=exclusions[1]), wanted)
    torch.testing.assert_close(penalty(ws, *u, exclude=[ws[1], ws[3], ws[4]]), wanted)
    torch.testing.assert_close(penalty(named, *u, exclude="*"), torch.zeros(()))
    torch.testing.assert_close(penalty(ws, *u, exclude=ws[0]), plain(ws[1:], *(column[1:] for column in u)))


@every_penalty
def test_learned_weight(name):
    penalty, k, plain = PENALTIES[name]
    lam = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    ws = tensors()
    penalty(ws, *given(k, torch.float64), lam=lam).backward()
    torch.testing.assert_close(lam.grad, torch.as_tensor(plain(ws, *given(k, torch.float64))))


@every_penalty
def test_large_and_strided_parameters(name):
    """Those of more than a piece, of a view, of channels last."""
    penalty, k, plain = PENALTIES[name]
    generator = torch.Generator().manual_seed(3)
    made = [
        [
            torch.randn(300, 250, generator=generator, dtype=torch.float64),
            torch.randn(40, 30, generator=generator, dtype=torch.float64).t(),
            torch.randn(4, 3, 5, 5, generator=generator, dtype=torch.float64).to(memory_format=torch.channels_last),
        ]
        for _ in range(k + 1)
    ]
    ws = [w.requires_grad_() for w in made[0]]
    value, wanted = penalty(ws, *made[1:]), plain(ws, *made[1:])
    torch.testing.assert_close(value, wanted)
    torch.testing.assert_close(torch.autograd.grad(value, ws), torch.autograd.grad(wanted, ws))


def test_as_exact_as_the_sum():
    """Of a million and a half equal summands in float32."""
    w = torch.full((1_500_000,), 0.1)
    for penalty, each in ((fastloss.l1_penalty, w[0].double()), (fastloss.l2_penalty, w[0].double() ** 2)):
        assert penalty([w]).item() == pytest.approx(float(each) * len(w), rel=2e-7)


@every_penalty
def test_the_host_does_not_wait(name, way):
    """Tensors without values, which raise where the host asks for one, pass."""
    penalty, k, _ = PENALTIES[name]
    ws = [w.to("meta").requires_grad_() for w in tensors(torch.float32) if w.numel()]
    u = [[t.to("meta") for t in column if t.numel()] for column in given(k, torch.float32)]
    penalty(ws, *u, lam=0.1).backward()
    assert ws[0].grad.is_meta


def test_gradients_to_anchors():
    w, anchor = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    fastloss.proximal_penalty([w], [anchor], lam=0.5).backward()
    torch.testing.assert_close(anchor.grad, -w.grad)
    torch.testing.assert_close(w.grad, (0.5 * (w - anchor)).detach())


def test_written_parameters_are_noticed():
    w = torch.ones(3, requires_grad=True)
    value = fastloss.l2_penalty([w])
    with torch.no_grad():
        w.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_orthonormal_matrices_cost_nothing():
    for shape in ((3, 8), (8, 3), (4, 4)):
        w = torch.nn.init.orthogonal_(torch.empty(shape, dtype=torch.float64))
        assert fastloss.orthogonality_penalty([w]) < 1e-28


W = torch.ones(2, 3)
ERRORS = {
    "a tensor": (lambda: fastloss.l1_penalty(W), TypeError, "fastloss.l1_penalty: expected a list.*pass"),
    "integers": (lambda: fastloss.l2_penalty([W.long()]), TypeError, "got torch.int64"),
    "numbers": (lambda: fastloss.l2_penalty([2.0]), TypeError, "got float"),
    "names of tensors": (lambda: fastloss.l1_penalty([W], exclude="bias"), ValueError, "named_parameters"),
    "ratio": (lambda: fastloss.elastic_net_penalty([W], l1_ratio=1.5), ValueError, "l1_ratio from 0 to 1, got 1.5"),
    "learned ratio": (lambda: fastloss.elastic_net_penalty([W], l1_ratio=W[0, 0]), ValueError, "a number l1_ratio"),
    "too few anchors": (lambda: fastloss.proximal_penalty([W, W], [W]), ValueError, "each of 2 parameters, got 1"),
    "no such anchor": (lambda: fastloss.proximal_penalty({"a": W}, {"b": W}), ValueError, "those of a do not fit"),
    "other shape": (
        lambda: fastloss.ewc_penalty([W], [W], [W[0]]),
        ValueError,
        "fastloss.ewc_penalty: .*those of 0 do",
    ),
    "no data": (lambda: fastloss.fisher_diagonal(torch.nn.Linear(1, 1), [], None), ValueError, "at least one sample"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, error, words = ERRORS[name]
    with pytest.raises(error, match=words):
        call()


def test_compiles():
    """One graph, by the formula."""
    ws = [w.requires_grad_() for w in tensors(torch.float32, shapes=((3, 4), (7,)))]
    compiled = torch.compile(lambda ws: fastloss.l1_penalty(ws, 0.5), backend="eager", fullgraph=True)
    value = compiled(ws)
    torch.testing.assert_close(value, fastloss.l1_penalty(ws, 0.5))
    torch.testing.assert_close(torch.autograd.grad(value, ws), torch.autograd.grad(0.5 * fastloss.l1_penalty(ws), ws))


# --------------------------------------------------------------------------------------------------------------- Fisher


class Network(torch.nn.Module):
    """Two inputs, a batch norm, a buffer that the forward writes, a parameter without use and one that is fixed."""

    def __init__(self):
        super().__init__()
        layers = torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.Dropout(), torch.nn.Linear(5, 3)
        self.layers = torch.nn.Sequential(*layers)
        self.unused = torch.nn.Parameter(torch.ones(2))
        self.fixed = torch.nn.Parameter(torch.ones(3), requires_grad=False)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x, shift):
        self.calls += 1
        return self.layers(x) * self.fixed + shift


def test_fisher_diagonal():
    """Against gradients of one sample after the other; the model is left as it was."""
    torch.manual_seed(0)
    model = Network().double()
    model.layers[1].eval()
    data = [((torch.randn(n, 4).double(), torch.randn(n, 3).double()), torch.randint(3, (n,))) for n in (3, 2)]
    for p in model.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None
    before = copy.deepcopy(model)
    with torch.no_grad():  # no matter
        made = fastloss.fisher_diagonal(model, iter(data), fastloss.CrossEntropyLoss())
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert all(torch.equal(v, before.state_dict()[key]) for key, v in model.state_dict().items())
    assert all(p.grad is None or torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())

    single = before.eval()
    wanted = {name: torch.zeros_like(p) for name, p in single.named_parameters() if p.requires_grad}
    for (x, shift), y in data:
        for k in range(len(y)):
            single.zero_grad()
            torch.nn.functional.cross_entropy(single(x[k : k + 1], shift[k : k + 1]), y[k : k + 1]).backward()
            for name in wanted:
                grad = single.get_parameter(name).grad
                wanted[name] += 0 if grad is None else grad**2 / 5
    assert made.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(made[name], wanted[name])
        assert not made[name].requires_grad


def test_modes_come_back_after_an_error():
    model = Network()
    with pytest.raises(TypeError):
        fastloss.fisher_diagonal(model, [(torch.ones(2, 4), torch.ones(2))], fastloss.MSELoss())
    assert all(module.training for module in model.modules())
