"""The specification of the similarity family against what it specifies: values by hand, loops, other libraries."""

import itertools
import math

import peers
import pytest
import torch
import torch.nn.functional as F

from fastloss import reference

close = torch.testing.assert_close
exp, log1p, ln, root = math.exp, math.log1p, math.log, math.sqrt


def sp(x):
    return log1p(exp(x))


# Unit vectors with a.b = 0, a.c = 0.6, b.c = 0.8.
A, B, C = [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]
ZERO = [0.0, 0.0]
# At temperature 0.5, queries a, b and keys a, c: z = ((2, 1.2), (0, 1.6)).
ROWS = [log1p(exp(-0.8)), log1p(exp(-1.6))]
COLUMNS = [log1p(exp(-2)), log1p(exp(-0.4))]
NCE = dict(query=[A, B], key=[A, C], temperature=0.5)
CLIP = dict(image_features=[A, B], text_features=[A, C], logit_scale=2.0)
# The anchors a, b, a, c among each other; first positives, then the negatives' exponentials.
VIEWS = [(2.0, 1 + exp(1.2)), (1.6, 2.0), (2.0, 1 + exp(1.2)), (1.6, 2 * exp(1.2))]
NT_XENT = [log1p(negatives / exp(p)) for p, negatives in VIEWS]
DCL = [ln(negatives) - p for p, negatives in VIEWS]
ABC = dict(embeddings=[A, B, C], labels=[0, 1, 1])
SUPCON = [0.0, log1p(exp(-1.6)), log1p(exp(-0.4))]
NEAR, FAR = root(0.4), 1 - root(0.8)  # |b - c|, and what |a - c| lacks of 1; |a - b| = root 2
MULTI = [ln(1 + exp(-1) + exp(0.2)) / 2, sp(-0.3) + sp(-1) / 2, sp(-0.3) + sp(0.2) / 2]
CIRCLE = [0.0, sp(-0.6 * 0.2 - 0.4 * 0.4), sp(-0.6 * 0.2 + 1.0 * 0.2)]
# On a line: distances 1 and 4 within the labels, from 0: 3 and 7, from 1: 2 and 6.
LINE = dict(embeddings=[[0.0], [1.0], [3.0], [7.0]], labels=[0, 0, 1, 1], margin=3.0)

POINTS = [
    ("info_nce_loss", NCE, sum(ROWS) / 2),
    ("info_nce_loss", dict(NCE, reduction="sum"), sum(ROWS)),
    ("info_nce_loss", dict(NCE, reduction="none"), ROWS),
    ("info_nce_loss", dict(NCE, labels=[1, 0]), (log1p(exp(0.8)) + log1p(exp(1.6))) / 2),
    ("info_nce_loss", dict(NCE, positives=[[False, False], [False, True]]), ROWS[1]),
    ("info_nce_loss", dict(NCE, positives=[[False, False]] * 2), 0.0),
    ("info_nce_loss", dict(NCE, positives=[[False, False]] * 2, empty="nan"), math.nan),
    ("info_nce_loss", dict(NCE, weight=[2.0, 0.5]), (2 * ROWS[0] + 0.5 * ROWS[1]) / 2),
    ("info_nce_loss", dict(NCE, normalizer=5.0), sum(ROWS) / 5),
    ("info_nce_loss", dict(NCE, symmetric=True), (sum(ROWS) + sum(COLUMNS)) / 4),
    ("info_nce_loss", dict(NCE, symmetric=True, normalizer=3.0), (sum(ROWS) + sum(COLUMNS)) / 6),
    ("info_nce_loss", dict(NCE, symmetric=True, reduction="sum"), (sum(ROWS) + sum(COLUMNS)) / 2),
    (
        "info_nce_loss",
        dict(NCE, symmetric=True, reduction="none", weight=[2.0, 1.0]),
        [ROWS[0] + COLUMNS[0], (ROWS[1] + COLUMNS[1]) / 2],
    ),
    # Key a is nobody's, so of the columns only c counts: b, its positive, has 1.6, a has 1.2.
    ("info_nce_loss", dict(NCE, positives=[[False, False], [False, True]], symmetric=True), (ROWS[1] + COLUMNS[1]) / 2),
    (
        "info_nce_loss",
        dict(NCE, negatives=[B]),
        (log1p(exp(-0.8) + exp(-2)) + log1p(exp(-1.6) + exp(0.4))) / 2,
    ),
    (
        "info_nce_loss",
        dict(NCE, negatives=[[B], [A]]),
        (log1p(exp(-0.8) + exp(-2)) + log1p(2 * exp(-1.6))) / 2,
    ),
    ("info_nce_loss", dict(NCE, positives=[[True, True], [False, False]]), ln(exp(2) + exp(1.2)) - 1.6),
    ("info_nce_loss", dict(NCE, positives=[[True, True], [False, False]], multi_positive="in"), ln(2)),
    ("info_nce_loss", dict(NCE, mask=[[True, False], [True, True]]), ROWS[1] / 2),
    ("info_nce_loss", dict(NCE, mask=[[False, True], [True, True]]), ROWS[1]),
    ("info_nce_loss", dict(query=[[2.0, 0.0]], key=[A, B], temperature=1.0), log1p(exp(-1))),
    ("info_nce_loss", dict(query=[[2.0, 0.0]], key=[A, B], temperature=1.0, normalize=False), log1p(exp(-2))),
    ("clip_loss", CLIP, (sum(ROWS) + sum(COLUMNS)) / 4),
    ("clip_loss", dict(CLIP, logit_bias=0.7), (sum(ROWS) + sum(COLUMNS)) / 4),
    ("clip_loss", dict(CLIP, reduction="none"), [(r + c) / 2 for r, c in zip(ROWS, COLUMNS, strict=True)]),
    ("clip_loss", dict(CLIP, mask=[[True, False], [True, True]]), (ROWS[1] + COLUMNS[0]) / 4),
    ("siglip_loss", dict(CLIP, logit_bias=-1.0, reduction="none"), [sp(-1) + sp(0.2), sp(-1) + sp(-0.6)]),
    ("siglip_loss", dict(CLIP, logit_bias=-1.0), (2 * sp(-1) + sp(0.2) + sp(-0.6)) / 2),
    ("siglip_loss", dict(CLIP, logit_bias=-1.0, mask=[[True, False], [False, False]]), sp(-1) / 2),
    ("nt_xent_loss", dict(z0=[A, B], z1=[A, C], reduction="none"), NT_XENT),
    ("nt_xent_loss", dict(z0=[A, B], z1=[A, C]), sum(NT_XENT) / 4),
    ("nt_xent_loss", dict(z0=[A, B], z1=[A, C], decoupled=True, reduction="none"), DCL),
    ("nt_xent_loss", dict(z0=[A, B], z1=[A, C], decoupled=True), sum(DCL) / 4),
    ("nt_xent_loss", dict(z0=[A], z1=[C]), 0.0),
    ("nt_xent_loss", dict(z0=[A], z1=[C], decoupled=True, empty="nan"), math.nan),
    ("supcon_loss", dict(features=[A, B, C], labels=[0, 1, 1], temperature=0.5, reduction="none"), SUPCON),
    ("supcon_loss", dict(features=[A, B, C], labels=[0, 1, 1], temperature=0.5), sum(SUPCON) / 2),
    ("supcon_loss", dict(features=[[A, A], [B, C]], temperature=0.5, reduction="none"), NT_XENT),
    (
        "supcon_loss",
        dict(features=[A, B, C], labels=[7, 7, 7], temperature=0.5, reduction="none"),
        [ln(1 + exp(1.2)) - 0.6, ln(1 + exp(1.6)) - 0.8, ln(exp(1.2) + exp(1.6)) - 1.4],
    ),
    (
        "supcon_loss",
        dict(features=[A, B, C], labels=[7, 7, 7], temperature=0.5, positives="in", reduction="none"),
        [ln(2)] * 3,
    ),
    (
        "supcon_loss",
        dict(features=[A, B, C], mask=[[1, 0, 1], [0, 0, 0], [0, 1, 0]], temperature=0.5, reduction="none"),
        [log1p(exp(-1.2)), 0.0, log1p(exp(-0.4))],
    ),
    ("pairwise_contrastive_loss", ABC, NEAR + FAR),
    ("pairwise_contrastive_loss", dict(ABC, reduction="none"), [FAR, NEAR, NEAR + FAR]),
    ("pairwise_contrastive_loss", dict(ABC, squared=True), NEAR**2 / 2 + FAR**2 / 2),
    ("pairwise_contrastive_loss", dict(ABC, pos_margin=0.5, normalizer=6.0), (2 * (NEAR - 0.5) + 2 * FAR) / 6),
    (
        "pairwise_contrastive_loss",
        dict(embeddings=[[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]], labels=[0, 1, 1], neg_margin=6.0, normalize=False),
        1.0,
    ),
    # Zero vectors: 0 from each other, 1 from those of length one.
    (
        "pairwise_contrastive_loss",
        dict(embeddings=[ZERO, A, ZERO], labels=[0, 0, 1], neg_margin=1.5, reduction="none"),
        [1.0 + 1.5, 1.0 + 0.5, 1.5 + 0.5],
    ),
    ("pairwise_contrastive_loss", dict(embeddings=[ZERO] * 4, labels=[0, 0, 1, 1]), 1.0),
    ("multi_similarity_loss", dict(ABC, alpha=1.0, beta=2.0, reduction="none"), MULTI),
    ("multi_similarity_loss", dict(ABC, alpha=1.0, beta=2.0), sum(MULTI) / 3),
    ("circle_loss", dict(ABC, gamma=1.0, reduction="none"), CIRCLE),
    ("circle_loss", dict(ABC, gamma=1.0), sum(CIRCLE) / 2),
    ("mined_triplet_margin_loss", dict(LINE, reduction="none"), [1.0, 2.0, 5.0, 1.0]),
    ("mined_triplet_margin_loss", LINE, 9 / 4),
    ("mined_triplet_margin_loss", dict(LINE, soft=True, reduction="none"), [sp(-2), sp(-1), sp(2), sp(-2)]),
    ("mined_triplet_margin_loss", dict(LINE, mining="semi_hard", reduction="none"), [1.0, 2.0, 4.0, 1.0]),
    ("mined_triplet_margin_loss", dict(LINE, mining="semi_hard"), 2.0),
    ("mined_triplet_margin_loss", dict(LINE, mining="semi_hard", soft=True), (sp(-2) + sp(-1) + sp(1) + sp(-2)) / 4),
    # A negative as far as the positive is not farther.
    (
        "mined_triplet_margin_loss",
        dict(LINE, embeddings=[[0.0], [1.0], [2.0], [4.0]], mining="semi_hard", reduction="none"),
        [2.0, 1.0, 3.0, 2.0],
    ),
    ("mined_triplet_margin_loss", dict(LINE, mining="all", reduction="none"), [1.0, 2.0, 9.0, 1.0]),
    ("mined_triplet_margin_loss", dict(LINE, mining="all"), 13 / 5),
    *(
        (
            "mined_triplet_margin_loss",
            dict(embeddings=[ZERO, A, ZERO], labels=[0, 0, 1], normalize=True, mining=mining, reduction="none"),
            [1.0 + 1.0 - 0.0, 1.0 + 1.0 - 1.0, 0.0],
        )
        for mining in ("batch_hard", "semi_hard", "all")
    ),
]


@pytest.mark.parametrize(("name", "arguments", "loss"), POINTS, ids=[f"{k}-{p[0]}" for k, p in enumerate(POINTS)])
def test_points(name, arguments, loss):
    made = {
        k: torch.tensor(v, dtype=None if k in ("labels", "mask", "positives") and isinstance(v, list) else torch.double)
        if isinstance(v, list)
        else v
        for k, v in arguments.items()
    }
    close(
        getattr(reference, name)(**made), torch.tensor(loss, dtype=torch.double), rtol=1e-12, atol=1e-14, equal_nan=True
    )


# ------------------------------------------------------------------------------------------------- one call of each

N, M, K, D = 9, 12, 3, 5
LABELS = torch.tensor([0, 1, 0, 2, 2, 0, 3, 1, 0])  # 3 has no positive


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def matrix(*shape, seed=0, share=0.5):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


X, Y, KEYS = draw(N, D), draw(N, D, seed=1), draw(M, D, seed=2)
SHARED, OWN = draw(K, D, seed=5), draw(N, K, D, seed=6)  # further negatives
POSITIVES = matrix(N, M, seed=3, share=0.2)
POSITIVES[4] = False
MASK = matrix(N, M, seed=4, share=0.7)


def labelled(name, **options):
    return lambda x, **more: getattr(reference, name)(x, LABELS, **options, **more)


CALLS = {
    "info_nce": lambda x, **more: reference.info_nce_loss(x, KEYS.to(x.dtype), **more),
    "info_nce-symmetric": lambda x, **more: reference.info_nce_loss(
        x, Y.to(x.dtype), symmetric=True, mask=MASK[:, :N], temperature=0.3, **more
    ),
    "info_nce-out": lambda x, **more: reference.info_nce_loss(
        x, KEYS.to(x.dtype), positives=POSITIVES, mask=MASK, negatives=SHARED.to(x.dtype), **more
    ),
    "info_nce-in": lambda x, **more: reference.info_nce_loss(
        x, KEYS.to(x.dtype), positives=POSITIVES, multi_positive="in", negatives=OWN.to(x.dtype), **more
    ),
    "clip": lambda x, **more: reference.clip_loss(x, Y.to(x.dtype), 3.0, 0.1, mask=MASK[:, :N], **more),
    "siglip": lambda x, **more: reference.siglip_loss(x, Y.to(x.dtype), 3.0, -1.0, mask=MASK[:, :N], **more),
    "nt_xent": lambda x, **more: reference.nt_xent_loss(x, Y.to(x.dtype), **more),
    "dcl": lambda x, **more: reference.nt_xent_loss(x, Y.to(x.dtype), decoupled=True, **more),
    "supcon": labelled("supcon_loss"),
    "supcon-in": labelled("supcon_loss", positives="in"),
    "supcon-views": lambda x, **more: reference.supcon_loss(x.unflatten(0, (3, 3)), mask=torch.eye(3), **more),
    "pairwise": labelled("pairwise_contrastive_loss"),
    "pairwise-squared": labelled("pairwise_contrastive_loss", squared=True, normalize=False, neg_margin=3.0),
    "multi_similarity": labelled("multi_similarity_loss"),
    "circle": labelled("circle_loss"),
    "batch_hard": labelled("mined_triplet_margin_loss"),
    "batch_hard-soft": labelled("mined_triplet_margin_loss", soft=True),
    "semi_hard": labelled("mined_triplet_margin_loss", mining="semi_hard", normalize=True),
    "all": labelled("mined_triplet_margin_loss", mining="all"),
}
each_call = pytest.mark.parametrize("name", CALLS)


@each_call
def test_derivatives(name):
    """First and second in reverse, forward mode, vmap; circle's brackets are constants to autograd alone."""
    call = CALLS[name]
    leaf = X.clone().requires_grad_()
    if name != "circle":
        assert torch.autograd.gradcheck(call, leaf, fast_mode=True)
        assert torch.autograd.gradgradcheck(call, leaf, fast_mode=True)
    (grad,) = torch.autograd.grad(call(leaf), leaf)
    close(torch.func.grad(call)(X), grad)
    value, slope = torch.func.jvp(call, (X,), (Y,))
    close(value, call(X))
    close(slope, (grad * Y).sum())
    batch = torch.stack((X, 2 * Y))
    for reduction in ("mean", "none"):
        close(
            torch.func.vmap(lambda x, reduction=reduction: call(x, reduction=reduction))(batch),
            torch.stack([call(x, reduction=reduction) for x in batch]),
        )
    close(torch.func.vmap(torch.func.grad(call))(batch)[0], grad)


@each_call
def test_dtypes(name):
    call, wide = CALLS[name], CALLS[name](X)
    close(call(X.float()), wide.float(), rtol=1e-4, atol=1e-5)
    for dtype, rtol in ((torch.bfloat16, 0.1), (torch.float16, 0.02)):
        x = X.to(dtype)
        close(call(x).double(), wide, rtol=rtol, atol=rtol)
        assert call(x).dtype == dtype
        assert call(x, loss_dtype=torch.float32).dtype == torch.float32
        assert torch.func.grad(call)(x).isfinite().all()
    x = X.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert call(x).dtype == torch.float32
        assert call(X.float()).dtype == torch.float32
        assert call(X).dtype == torch.float64
        close(call(X.float()).double(), wide, rtol=0.1, atol=0.1)


@each_call
def test_weight_and_normalizer(name):
    call = CALLS[name]
    each = call(X, reduction="none")
    weight = draw(*each.shape, seed=6).abs()
    close(call(X, weight=weight, reduction="sum"), (each * weight).sum())
    close(call(X, normalizer=7.0), each.sum() / 7)
    close(call(X, normalizer=torch.tensor(7.0)), each.sum() / 7)


@pytest.mark.parametrize("name", [n for n in CALLS if "info" not in n and n not in ("clip", "siglip", "supcon-views")])
def test_permuted_batch(name, monkeypatch):
    """Anchors keep their values and gradients wherever in the batch they stand."""
    order = torch.randperm(N, generator=torch.Generator().manual_seed(7))
    call, twice = CALLS[name], name in ("nt_xent", "dcl")
    each, grad = call(X, reduction="none"), torch.func.grad(call)(X)
    monkeypatch.setitem(globals(), "LABELS", LABELS[order])
    monkeypatch.setitem(globals(), "Y", Y[order])
    close(call(X[order], reduction="none"), each[torch.cat((order, order + N)) if twice else order])
    close(call(X[order]), call(X[order], reduction="mean"))
    close(torch.func.grad(call)(X[order]), grad[order])


# ------------------------------------------------------------------------------------------------- by loops


def softmax_by_loops(z, positives, kept, kind):
    """The value of each anchor, None if it does not count, from lists."""
    for row, chosen, there in zip(z.tolist(), positives.tolist(), kept.tolist(), strict=True):
        total = sum(exp(v) for v, k in zip(row, there, strict=True) if k)
        p = [exp(v) / total for v, k, c in zip(row, there, chosen, strict=True) if k and c]
        if not p:
            yield None
        elif kind == "out":
            yield sum(-ln(v) for v in p) / len(p)
        else:
            yield -ln(sum(p) / len(p))


def check_values(values, call, divisor=None):
    values = list(values)
    close(call(reduction="none"), torch.tensor([v or 0.0 for v in values], dtype=torch.double), rtol=1e-10, atol=1e-12)
    counted = [v for v in values if v is not None]
    close(call(), torch.tensor(sum(counted) / (divisor or len(counted)), dtype=torch.double), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ["out", "in"])
def test_info_nce_by_loops(kind):
    for normalize, temperature, further in itertools.product((True, False), (0.2, 1.3), (None, SHARED, OWN)):

        def call(normalize=normalize, temperature=temperature, further=further, **more):
            return reference.info_nce_loss(
                X, KEYS, positives=POSITIVES, mask=MASK, negatives=further, temperature=temperature,
                normalize=normalize, multi_positive=kind, **more,
            )  # fmt: skip

        unit = (lambda x: x / x.norm(dim=-1, keepdim=True)) if normalize else (lambda x: x)
        z, positives, kept = unit(X) @ unit(KEYS).T, POSITIVES, MASK
        if further is not None:
            z = torch.cat((z, torch.einsum("nd,nkd->nk", unit(X), unit(further).expand(N, K, D))), 1)
            positives, kept = F.pad(positives, (0, K), value=False), F.pad(kept, (0, K), value=True)
        values = list(softmax_by_loops(z / temperature, positives, kept, kind))
        assert None in values
        check_values(values, call)


@pytest.mark.parametrize("kind", ["out", "in"])
def test_supcon_by_loops(kind):
    features = draw(4, 3, D, seed=9)
    labels = torch.tensor([0, 1, 0, 2])
    x = torch.cat([features[:, v] for v in range(3)])
    x = x / x.norm(dim=-1, keepdim=True)
    others = ~torch.eye(12, dtype=torch.bool)
    for given in (dict(labels=labels), dict(mask=matrix(4, 4, seed=10)), {}):
        related = given["mask"] if "mask" in given else None if not given else labels[:, None] == labels
        related = torch.eye(4, dtype=torch.bool) if related is None else related
        positives = related.repeat(3, 3) & others

        def call(given=given, **more):
            return reference.supcon_loss(features, temperature=0.4, positives=kind, **given, **more)

        check_values(softmax_by_loops(x @ x.T / 0.4, positives, others, kind), call)


def triplets(mining, margin, soft, d):
    """For each anchor the values of its triplets."""
    labels = LABELS.tolist()
    hinge = (lambda p, n: ln(1 + exp(p - n))) if soft else (lambda p, n: max(0.0, margin + p - n))
    for i in range(N):
        near = [d[i][j] for j in range(N) if j != i and labels[j] == labels[i]]
        far = [d[i][j] for j in range(N) if labels[j] != labels[i]]
        if mining == "batch_hard":
            yield [hinge(max(near), min(far))] if near and far else []
        elif mining == "semi_hard":
            yield [hinge(p, min((n for n in far if n > p), default=max(far))) for p in near] if far else []
        else:
            yield [hinge(p, n) for p in near for n in far]


@pytest.mark.parametrize(
    ("mining", "soft"),
    [("batch_hard", False), ("batch_hard", True), ("semi_hard", False), ("semi_hard", True), ("all", False)],
)
def test_mining_by_loops(mining, soft):
    for margin, scale, normalize in itertools.product((0.2, 2.0), (1.0, 0.2), (False, True)):
        x = X * scale
        unit = x / x.norm(dim=-1, keepdim=True) if normalize else x
        values = list(triplets(mining, margin, soft, torch.cdist(unit, unit).tolist()))

        def call(x=x, margin=margin, normalize=normalize, **more):
            return reference.mined_triplet_margin_loss(
                x, LABELS, margin, mining=mining, soft=soft, normalize=normalize, **more
            )

        counted = sum(v > 0 for each in values for v in each) if mining == "all" else sum(map(len, values))
        check_values([sum(each) for each in values], call, counted)


@pytest.mark.parametrize("squared", [False, True])
def test_pairwise_by_loops(squared):
    for normalize, low, high in ((True, 0.2, 1.2), (False, 0.0, 3.0)):
        unit = X / X.norm(dim=-1, keepdim=True) if normalize else X
        d, labels = torch.cdist(unit, unit).tolist(), LABELS.tolist()
        near, far = [], []
        for i, j in itertools.permutations(range(N), 2):
            same = labels[i] == labels[j]
            v = max(0.0, d[i][j] - low if same else high - d[i][j])
            (near if same else far).append(v * v / 2 if squared else v)
        wanted = sum(sum(part) / sum(v > 0 for v in part) for part in (near, far))
        options = dict(normalize=normalize, squared=squared)
        close(reference.pairwise_contrastive_loss(X, LABELS, low, high, **options).item(), wanted)
        close(
            reference.pairwise_contrastive_loss(X, LABELS, low, high, reduction="sum", **options).item(),
            sum(near) + sum(far),
        )


# ------------------------------------------------------------------------------------------------- properties


def test_cross_entropy_both_ways():
    """With value and gradient of every argument, as torch's own cross entropy in float64."""
    target = torch.arange(N)

    def plain(x, y, scale, bias):
        z = scale * x @ y.T + bias
        return (F.cross_entropy(z, target) + F.cross_entropy(z.T, target)) / 2

    def sigmoid(x, y, scale, bias):
        return F.binary_cross_entropy_with_logits(scale * x @ y.T + bias, torch.eye(N).double(), reduction="sum") / N

    scale, bias = torch.tensor(2.3, dtype=torch.double), torch.tensor([-1.7], dtype=torch.double)
    for ours, native in ((reference.clip_loss, plain), (reference.siglip_loss, sigmoid)):
        arguments = [t.clone().requires_grad_() for t in (X, Y, scale, bias)]
        a, b = (fn(*arguments) for fn in (ours, native))
        close(a, b)
        for one, other in zip(torch.autograd.grad(a, arguments), torch.autograd.grad(b, arguments), strict=True):
            close(one, other, rtol=1e-9, atol=1e-12)
    temperature = (1 / scale).requires_grad_()
    ours = reference.info_nce_loss(X, Y, temperature=temperature, normalize=False, symmetric=True)
    native = plain(X, Y, 1 / temperature, 0.0)
    close(ours, native)
    close(torch.autograd.grad(ours, temperature), torch.autograd.grad(native, temperature))


def test_masked_pairs_are_not_there():
    """Each row as a batch of its own whose dropped keys were never passed."""
    each = reference.info_nce_loss(X, KEYS, positives=POSITIVES, mask=MASK, reduction="none")
    for i in range(N):
        there = MASK[i]
        alone = reference.info_nce_loss(X[i : i + 1], KEYS[there], positives=POSITIVES[i : i + 1, there])
        close(each[i], alone)
    columns = matrix(M, seed=11)
    close(
        reference.info_nce_loss(X, KEYS, positives=POSITIVES, mask=columns.expand(N, M)),
        reference.info_nce_loss(X, KEYS[columns], positives=POSITIVES[:, columns]),
    )
    grad = torch.func.grad(
        lambda keys: reference.info_nce_loss(X, keys, positives=POSITIVES, mask=columns.expand(N, M))
    )
    assert grad(KEYS)[~columns].count_nonzero() == 0


LEFT_OUT = matrix(N, N, seed=8, share=0.6)


@pytest.mark.parametrize(
    "name", [n for n in CALLS if n.startswith(("pairwise", "multi", "circle", "batch", "semi", "all"))]
)
def test_left_out_pairs_of_labels(name, monkeypatch):
    """An anchor's value is that of a batch of itself and the vectors that it sees."""
    call, labels = CALLS[name], LABELS
    each = call(X, mask=LEFT_OUT, reduction="none")
    assert not torch.equal(each, call(X, reduction="none"))
    for i in range(N):
        seen = LEFT_OUT[i].clone()
        seen[i] = True
        monkeypatch.setitem(globals(), "LABELS", labels[seen])
        close(each[i], call(X[seen], reduction="none")[seen[:i].sum()])
    monkeypatch.setitem(globals(), "LABELS", labels)
    close(call(X, mask=torch.ones(N, N, dtype=torch.bool)), call(X))
    nothing = torch.zeros(N, N, dtype=torch.bool)
    if not name.startswith("multi"):  # whose anchors all count
        assert call(X, mask=nothing, empty="nan").isnan()
    assert call(X, mask=nothing) == 0
    assert torch.func.grad(lambda x: call(x, mask=nothing))(X).count_nonzero() == 0


@pytest.mark.parametrize("decoupled", [False, True])
def test_left_out_pairs_of_views(decoupled):
    """An anchor that does not see its other view does not count."""
    kept = matrix(2 * N, 2 * N, seed=9, share=0.6) & ~torch.eye(2 * N, dtype=torch.bool)
    i = torch.arange(2 * N)
    positives = (i.unsqueeze(1) - i).abs() == N
    x = F.normalize(torch.cat((X, Y)), dim=-1)
    z = x @ x.T / 0.4

    def values():
        for a, loss in enumerate(softmax_by_loops(z, positives, kept, "out")):
            if loss is None or not decoupled:
                yield loss
            else:  # without the positive in the denominator
                p = exp(-loss)
                total = exp(float(z[a, (a + N) % (2 * N)])) / p
                yield ln(total * (1 - p)) - float(z[a, (a + N) % (2 * N)])

    check_values(values(), lambda **more: reference.nt_xent_loss(X, Y, 0.4, mask=kept, decoupled=decoupled, **more))
    both = kept | kept.T
    mirrored = both | torch.eye(2 * N, dtype=torch.bool)  # a vector never sees itself
    close(reference.nt_xent_loss(X, Y, mask=both), reference.nt_xent_loss(X, Y, mask=mirrored))


def test_anchors_without_a_positive():
    grad = torch.func.grad(lambda x: CALLS["info_nce-out"](x))(X)
    assert grad[4].count_nonzero() == 0
    assert grad[:4].count_nonzero() == 4 * D
    alone = torch.arange(N)
    for fn in (reference.supcon_loss, reference.circle_loss, reference.mined_triplet_margin_loss):
        for x in (X, X.half()):
            assert fn(x, alone) == 0
            assert fn(x, alone, empty="nan").isnan()
            assert torch.func.grad(lambda x, fn=fn: fn(x, alone))(x).count_nonzero() == 0
            assert torch.func.grad(lambda x, fn=fn: fn(x, alone, empty="nan"))(x).count_nonzero() == 0
    nothing = torch.zeros(N, M, dtype=torch.bool)
    assert reference.info_nce_loss(X, KEYS, mask=nothing) == 0
    assert torch.func.grad(lambda x: reference.info_nce_loss(x, KEYS, mask=nothing))(X).count_nonzero() == 0
    # One label for all: no negatives.
    for fn in (reference.circle_loss, reference.mined_triplet_margin_loss):
        assert torch.func.grad(lambda x, fn=fn: fn(x, torch.zeros(N).long()))(X).count_nonzero() == 0
    semi = torch.func.grad(lambda x: reference.mined_triplet_margin_loss(x, torch.zeros(N).long(), mining="semi_hard"))
    assert semi(X).count_nonzero() == 0
    assert torch.func.grad(lambda x: reference.multi_similarity_loss(x, torch.zeros(N).long()))(X).isfinite().all()


def test_nothing_cancels():
    """Where the positive's probability nears 1, loss and gradient are of the size of what is missing."""
    for z in (-21.0, 20.0, 60.0, 500.0):
        query, key = torch.tensor([[z]]).double(), torch.tensor([[1.0], [0.0], [0.0]]).double()
        wanted = torch.tensor(log1p(2 * exp(-z)), dtype=torch.double)
        for options in (dict(labels=torch.tensor([0])), dict(positives=torch.tensor([[True, False, False]]))):
            for kind in ("out", "in"):

                def call(q, key=key, options=options, kind=kind):
                    return reference.info_nce_loss(
                        q, key, temperature=1.0, normalize=False, multi_positive=kind, **options
                    )

                close(call(query), wanted, rtol=1e-13, atol=0)
                slope = torch.tensor(-2 * exp(-z) / (1 + 2 * exp(-z)), dtype=torch.double)
                close(torch.func.grad(call)(query)[0, 0], slope, rtol=1e-13, atol=0)
        alone = torch.tensor(log1p(exp(-z)), dtype=torch.double)
        close(reference.siglip_loss(query, key[:1], 1.0), alone, rtol=1e-13, atol=0)


def test_circle_weights_are_constants():
    """b, c and the negative a of b: the slope in s.b is that of the logarithm times the brackets."""
    x = torch.tensor([B, C, A], dtype=torch.double)
    labels = torch.tensor([0, 0, 1])
    grad = torch.func.grad(
        lambda a: reference.circle_loss(torch.cat((x[:2], a)), labels, 0.4, 2.0, normalize=False, reduction="none")[0]
    )
    x_b = 2 * (-0.6 * 0.2 - 0.4 * 0.4)
    slope = exp(x_b) / (1 + exp(x_b)) * 2 * 0.4
    close(grad(x[2:])[0], slope * x[0], rtol=1e-12, atol=0)


def test_large_logits_in_half_precision():
    x = torch.eye(4, dtype=torch.float16)
    for fn in (
        lambda x: reference.clip_loss(x, x, 100.0), lambda x: reference.nt_xent_loss(x, x, 0.01),
        lambda x: reference.siglip_loss(x, x, 1000.0, -1000.0),
        lambda x: reference.circle_loss(x, torch.arange(4) // 2),
    ):  # fmt: skip
        assert fn(x).isfinite()
        assert torch.func.grad(fn)(x).isfinite().all()


def test_equal_vectors_have_no_slope():
    x = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 2.0]]).double()
    labels = torch.tensor([0, 0, 1])
    for call in (
        lambda x: reference.pairwise_contrastive_loss(x[:2], labels[:2], normalize=False),
        lambda x: reference.pairwise_contrastive_loss(x[:2], torch.arange(2), normalize=False, neg_margin=2.0),
        lambda x: reference.mined_triplet_margin_loss(x[:2], labels[:2]),
    ):
        assert torch.func.grad(call)(x).count_nonzero() == 0
    # The first two are as far from the third as from each other's place: the negative pulls, the positive does not.
    close(
        torch.func.grad(lambda x: reference.mined_triplet_margin_loss(x, labels, 5.0, reduction="sum"))(x),
        torch.tensor([[1.0, 0.0], [1.0, 0.0], [-2.0, 0.0]]).double(),
    )


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard"])
def test_first_of_equally_far(mining):
    x = torch.tensor([[0.0], [1.0], [2.0], [-2.0], [2.0]]).double()
    labels = torch.tensor([0, 0, 1, 1, 1])

    def call(x):
        return reference.mined_triplet_margin_loss(x, labels, 5.0, mining=mining, reduction="none")[0]

    # Of the negatives 2, -2, 2 of the first anchor, all farther than its positive, the first.
    close(torch.func.grad(call)(x).flatten(), torch.tensor([0.0, 1.0, -1.0, 0.0, 0.0]).double())


def test_hyperparameters_as_tensors():
    for fn, names in (
        (reference.pairwise_contrastive_loss, dict(pos_margin=0.1, neg_margin=1.1)),
        (reference.multi_similarity_loss, dict(alpha=2.0, beta=10.0, base=0.4)),
        (reference.circle_loss, dict(m=0.3, gamma=5.0)),
        (reference.mined_triplet_margin_loss, dict(margin=2.0)),
    ):
        learned = {k: torch.tensor(v, requires_grad=True) for k, v in names.items()}
        loss = fn(X, LABELS, **learned)
        close(loss, fn(X, LABELS, **names), rtol=1e-6, atol=0)
        assert all(g.isfinite() for g in torch.autograd.grad(loss, list(learned.values())))


def test_empty_batch():
    x, labels = torch.zeros(0, 4), torch.zeros(0).long()
    calls = [
        lambda **more: reference.info_nce_loss(x, x, **more), lambda **more: reference.clip_loss(x, x, 1.0, **more),
        lambda **more: reference.siglip_loss(x, x, 1.0, **more), lambda **more: reference.nt_xent_loss(x, x, **more),
        *(
            lambda fn=fn, **more: fn(x, labels, **more)
            for fn in (
                reference.supcon_loss, reference.pairwise_contrastive_loss, reference.multi_similarity_loss,
                reference.circle_loss,
            )
        ),
        *(
            lambda mining=mining, **more: reference.mined_triplet_margin_loss(x, labels, mining=mining, **more)
            for mining in ("batch_hard", "semi_hard", "all")
        ),
    ]  # fmt: skip
    for call in calls:
        assert call() == 0
        assert call(empty="nan").isnan()
        assert call(reduction="sum") == 0
        assert call(reduction="none").shape == (0,)


LONG = torch.arange(N)
ERRORS = [
    (lambda: reference.info_nce_loss(X, KEYS[:, 1:]), ValueError, r"key has shape \(12, 4\), expected \(12, 5\)"),
    (lambda: reference.info_nce_loss(X, KEYS[:3]), ValueError, "at least 9 keys, got 3; pass labels"),
    (lambda: reference.info_nce_loss(X[0], KEYS), ValueError, r"query has shape \(5,\), expected \(N, D\)"),
    (lambda: reference.info_nce_loss(X, KEYS, LONG, positives=POSITIVES), ValueError, "labels or positives, got both"),
    (lambda: reference.info_nce_loss(X, KEYS, LONG[:3]), ValueError, r"labels has shape \(3,\), expected \(9,\)"),
    (lambda: reference.info_nce_loss(X, KEYS, LONG.double()), ValueError, r"expected integers"),
    (lambda: reference.info_nce_loss(X, KEYS, mask=MASK.T), ValueError, r"mask has shape .* expected \(9, 12\)"),
    (lambda: reference.info_nce_loss(X, KEYS, mask=MASK.int()), ValueError, "mask is torch.int32, expected"),
    (lambda: reference.info_nce_loss(X, KEYS, negatives=X[:, 1:]), ValueError, r"negatives has shape \(9, 4\)"),
    (lambda: reference.info_nce_loss(X, KEYS, negatives=X[None]), ValueError, r"expected \(9, 9, 5\)"),
    (lambda: reference.info_nce_loss(X, KEYS, negatives=X, symmetric=True), ValueError, "need symmetric=False"),
    (lambda: reference.info_nce_loss(X, KEYS, symmetric=True, reduction="none"), ValueError, "9 queries and 12 keys"),
    (lambda: reference.info_nce_loss(X, KEYS, symmetric=True, weight=X[:, 0]), ValueError, "9 queries and 12 keys"),
    (lambda: reference.info_nce_loss(X, KEYS, temperature=0.0), ValueError, "must be positive and finite, got 0.0"),
    (lambda: reference.info_nce_loss(X, KEYS, temperature=X[0]), ValueError, "a number or a tensor of one element"),
    (lambda: reference.info_nce_loss(X, KEYS, multi_positive="both"), ValueError, "one of 'out', 'in', got 'both'"),
    (lambda: reference.info_nce_loss(LONG[:, None], KEYS), ValueError, "query is torch.int64, expected a floating"),
    (lambda: reference.info_nce_loss(X.tolist(), KEYS), TypeError, "query is list, expected a Tensor"),
    (lambda: reference.clip_loss(X, KEYS, 1.0), ValueError, "one text per image"),
    (lambda: reference.clip_loss(X, Y, X), ValueError, "logit_scale has shape"),
    (lambda: reference.nt_xent_loss(X, Y[:3]), ValueError, "the other view of each vector"),
    (lambda: reference.nt_xent_loss(X, Y, mask=MASK), ValueError, r"mask has shape \(9, 12\), expected \(18, 18\)"),
    *(
        (lambda fn=fn, mask=mask: fn(X, LABELS, mask=mask), kind, text)
        for fn in (
            reference.pairwise_contrastive_loss, reference.multi_similarity_loss, reference.circle_loss,
            reference.mined_triplet_margin_loss,
        )
        for mask, kind, text in (
            (MASK, ValueError, r"mask has shape \(9, 12\), expected \(9, 9\)"),
            (MASK[:, :9].int(), ValueError, "mask is torch.int32, expected"),
            (MASK[:, :9].tolist(), TypeError, "mask is list, expected a Tensor"),
        )
    ),
    (lambda: reference.supcon_loss(X, LABELS, mask=torch.eye(N)), ValueError, "labels or mask, got both"),
    (lambda: reference.supcon_loss(X, mask=torch.eye(3)), ValueError, r"expected \(9, 9\)"),
    (lambda: reference.circle_loss(X, LABELS[:-1]), ValueError, "one label per vector"),
    (lambda: reference.circle_loss(X, LABELS, weight=X), ValueError, "one factor per anchor"),
    (lambda: reference.circle_loss(X, LABELS, reduction="max"), ValueError, "reduction must be one of"),
    (lambda: reference.circle_loss(X, LABELS, empty="one"), ValueError, 'empty must be "nan" or "zero"'),
    (lambda: reference.circle_loss(X, LABELS, normalizer=2.0, reduction="sum"), ValueError, "needs reduction='mean'"),
    (lambda: reference.circle_loss(X, LABELS, factor=2.0), TypeError, "factor"),
    (lambda: reference.circle_loss(X, LABELS, weight=X[:, 0] + 0j), ValueError, "weight is torch.complex128"),
    (lambda: reference.circle_loss(X, LABELS, normalizer=X[0]), ValueError, r"normalizer has shape \(5,\), expected"),
    (lambda: reference.circle_loss(X, LABELS, normalizer="2"), TypeError, "normalizer is str, expected a number"),
    (lambda: reference.info_nce_loss(X, KEYS.to("meta")), RuntimeError, "key is on meta, expected .* query's cpu"),
    (lambda: reference.supcon_loss(X), ValueError, r"expected labels, mask, or features \(N, V, D\)"),
    (lambda: reference.supcon_loss(X[:, None, None]), ValueError, r"expected \(N, D\), or \(N, V, D\) .*flatten\(2\)"),
    *(
        (lambda fn=fn, rest=rest, what=what, value=value: fn(X, *rest, **{what: value}), TypeError,
         f"{what} is {type(value).__name__}, expected a number or a tensor of one element")
        for fn, rest, names in (
            (reference.info_nce_loss, (KEYS,), ["temperature"]), (reference.clip_loss, (Y,), ["logit_scale"]),
            (reference.siglip_loss, (Y,), ["logit_scale"]), (reference.nt_xent_loss, (Y,), ["temperature"]),
            (reference.supcon_loss, (LABELS,), ["temperature"]),
            (reference.pairwise_contrastive_loss, (LABELS,), ["pos_margin", "neg_margin"]),
            (reference.multi_similarity_loss, (LABELS,), ["alpha", "beta", "base"]),
            (reference.circle_loss, (LABELS,), ["m", "gamma"]),
            (reference.mined_triplet_margin_loss, (LABELS,), ["margin"]),
        )
        for what in names
        for value in (None, "0.1", [0.1])
    ),
    (lambda: reference.clip_loss(X, Y, 1.0, "0"), TypeError, "logit_bias is str, expected a number"),
    (lambda: reference.mined_triplet_margin_loss(X, LABELS, mining="hard"), ValueError, "'all', got 'hard'"),
    (lambda: reference.mined_triplet_margin_loss(X, LABELS, mining="all", soft=True), ValueError, "needs batch_hard"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS)
def test_errors(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


# ------------------------------------------------------------------------------------------------- other libraries


def agree(ours, theirs, *leaves):
    leaves = [t.clone().requires_grad_() for t in leaves]
    a, b = ours(*leaves), theirs(*leaves)
    close(a, b, rtol=1e-7, atol=1e-9)
    for one, other in zip(torch.autograd.grad(a, leaves), torch.autograd.grad(b, leaves), strict=True):
        close(one, other, rtol=1e-6, atol=1e-8)


def test_open_clip():
    theirs = peers.open_clip()
    scale, bias = torch.tensor(2.0, dtype=torch.double), torch.tensor(-3.0, dtype=torch.double)
    agree(reference.clip_loss, theirs.ClipLoss(), X, Y, scale)
    agree(reference.siglip_loss, theirs.SigLipLoss(), X, Y, scale, bias)
    close(reference.clip_loss(X, Y, 2.0, 0.5), theirs.ClipLoss()(X, Y, 2.0, 0.5))


def test_lightly():
    nt_xent, dcl = peers.lightly("ntx_ent_loss").NTXentLoss, peers.lightly("dcl_loss").DCLLoss
    for t in (0.1, 0.5):
        agree(lambda x, y, t=t: reference.nt_xent_loss(x, y, t), nt_xent(temperature=t), X, Y)
        agree(lambda x, y, t=t: reference.nt_xent_loss(x, y, t, decoupled=True), dcl(temperature=t), X, Y)


def metric_learning(name, ours, **options):
    """A loss of pytorch-metric-learning at labels, and ours that gives the same."""
    return pytest.param(name, options, ours, id=f"{name}-{options}")


@pytest.mark.parametrize(
    ("name", "options", "ours"),
    [
        metric_learning("SupConLoss", lambda x, y: reference.supcon_loss(x, y)),
        metric_learning("SupConLoss", lambda x, y: reference.supcon_loss(x, y, temperature=0.3), temperature=0.3),
        # A term per pair, and the other positives not in its denominator: like ours with one positive each.
        metric_learning("NTXentLoss", lambda x, y: reference.nt_xent_loss(x[::2], x[1::2], 0.2), temperature=0.2),
        metric_learning("ContrastiveLoss", lambda x, y: reference.pairwise_contrastive_loss(x, y)),
        metric_learning(
            "ContrastiveLoss", lambda x, y: reference.pairwise_contrastive_loss(x, y, 0.3, 1.2),
            pos_margin=0.3, neg_margin=1.2,
        ),
        metric_learning("MultiSimilarityLoss", lambda x, y: reference.multi_similarity_loss(x, y)),
        metric_learning(
            "MultiSimilarityLoss", lambda x, y: reference.multi_similarity_loss(x, y, 1.0, 5.0, 0.2),
            alpha=1.0, beta=5.0, base=0.2,
        ),
        metric_learning("CircleLoss", lambda x, y: reference.circle_loss(x, y)),
        metric_learning("CircleLoss", lambda x, y: reference.circle_loss(x, y, 0.25, 4.0), m=0.25, gamma=4.0),
        metric_learning(
            "TripletMarginLoss",
            lambda x, y: reference.mined_triplet_margin_loss(x, y, 0.05, mining="all", normalize=True),
        ),
    ],
)  # fmt: skip
def test_pytorch_metric_learning(name, options, ours):
    losses = peers.metric_learning()
    labels = torch.arange(10) // 2 if name == "NTXentLoss" else torch.tensor([0, 1, 0, 2, 2, 0, 3, 1, 0, 4])
    criterion = getattr(losses, name)(**options)
    agree(lambda x: ours(x, labels), lambda x: criterion(x, labels), draw(10, D, seed=12))


@pytest.mark.parametrize(("soft", "normalize"), list(itertools.product((False, True), repeat=2)))
def test_pytorch_metric_learning_batch_hard(soft, normalize):
    """Its mean is over triplets with a value above 0, here over all; its smooth loss has the margin in the exponent."""
    losses = peers.metric_learning()
    from pytorch_metric_learning import distances, miners, reducers

    distance = distances.LpDistance(normalize_embeddings=normalize)
    margin = 0.0 if soft else 0.7
    criterion = losses.TripletMarginLoss(margin, smooth_loss=soft, distance=distance, reducer=reducers.MeanReducer())
    miner = miners.BatchHardMiner(distance=distance)
    agree(
        lambda x: reference.mined_triplet_margin_loss(x, LABELS, 0.7, soft=soft, normalize=normalize),
        lambda x: criterion(x, LABELS, miner(x, LABELS)),
        X,
    )
