"""Losses of other libraries with ours in their place: `patch("timm")`. A library that is not installed is skipped."""

import importlib
import inspect
import pickle
import sys
import threading
import types
from pathlib import Path

import cases
import pytest
import torch
from cases import outcome, same_outcome

import fastloss
from fastloss import adopt, integrations
from fastloss.integrations import LIBRARIES, Seam

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries


def draw(*shape, seed=0, dtype=torch.float64):
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.to(dtype).requires_grad_()


def whole(high, *shape, low=0):
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(7))


# As many as the seams want that short calls are no faster without.
X, Y = draw(6, 9), draw(6, 9, seed=1)
K, SOFT = whole(9, 6), torch.rand(6, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
HARD = (SOFT > 0.6).double()
PIXELS, MASK, LABELS = draw(2, 3, 48, 64), whole(2, 2, 3, 48, 64), whole(3, 2, 48, 64)
BOXES = torch.cat((SOFT[:, :2], SOFT[:, :2] + 0.2 + SOFT[:, 2:4]), 1)
MORE = (BOXES + 0.3 * SOFT[:, 4:8]).requires_grad_()
TOKENS, IDS = draw(2, 70, 1000), whole(1000, 2, 70)
FLOATS = TOKENS.detach().float().requires_grad_()
ROWS = FLOATS.detach().flatten(0, 1).requires_grad_()
IGNORED = IDS.masked_fill(IDS < 300, -100)
TOPICS = torch.tensor([0, 1, 0, 2, 1, 0])
CONFIG = types.SimpleNamespace(num_labels=1000)


def half(*tensors):
    return [t.detach().bfloat16().requires_grad_() if t.requires_grad else t for t in tensors]


# For each library, by the names in it: what is called, of the module that users import it from, and the tensors.
TAKEN = {
    "torchvision": {
        "ops": [
            (lambda m, x, y: m.sigmoid_focal_loss(x, y), X, HARD),
            (lambda m, x, y: m.sigmoid_focal_loss(x, y, alpha=-1, gamma=1.5, reduction="mean"), X, SOFT),
            (lambda m, x, y: m.sigmoid_focal_loss(x, y, reduction="many"), X, SOFT),
            (lambda m, x, y: m.sigmoid_focal_loss(x, y, 2.0), X, SOFT),
            *((lambda m, x, y, name=name, r=r: getattr(m, name + "_box_iou_loss")(x, y, reduction=r), MORE, BOXES)
              for name in ("generalized", "distance", "complete") for r in ("none", "mean", "sum")),
            (lambda m, x, y: m.distance_box_iou_loss(x, y, eps=0.1), MORE, BOXES),
            (lambda m, x, y: m.generalized_box_iou_loss(x, y, "mean"), MORE[:0], BOXES[:0]),
        ],
    },
    "timm": {
        "loss": [
            (lambda m, x, y: m.LabelSmoothingCrossEntropy(0.2)(x, y), X, K),
            (lambda m, x, y: m.LabelSmoothingCrossEntropy()(x, y), *half(X, K)),
            (lambda m, x, y: m.SoftTargetCrossEntropy()(x, y), X, SOFT),
            *((lambda m, x, y, eps=eps, r=r: m.AsymmetricLossSingleLabel(1, 4, eps, r)(x, y), X, K)
              for eps in (0.1, 0) for r in ("mean", "none")),
            *((lambda m, x, y, r=r: m.PolyCrossEntropy(1.5, reduction=r)(x, y), X.detach().float().requires_grad_(), K)
              for r in ("mean", "sum", "none")),
        ],
    },
    "open_clip": {
        "loss": [
            (lambda m, x, y, s: m.ClipLoss()(x, y, s), X, Y, draw().abs()),
            (lambda m, x, y, s: m.ClipLoss()(x, y, s, 0.5, output_dict=True)["contrastive_loss"], X, Y, draw()),
            (lambda m, x, y, s, b: m.SigLipLoss()(x, y, s, b), X, Y, draw(), draw()),
            (lambda m, x, y, z: m.CoCaLoss(1.0, 2.0)(x, y, z, IGNORED.clamp_min(0), 3.0)[0], X, Y, TOKENS),
        ],
    },
    "pytorch_metric_learning": {
        "losses": [
            (lambda m, x, y: m.ContrastiveLoss(0.1, 1.2)(x, y), X, TOPICS),
            (lambda m, x, y: m.ContrastiveLoss(10, 0.0)(x, y), X, TOPICS),  # nothing has a value above 0
            (lambda m, x, y: m.ContrastiveLoss()(x, y), X, 0 * TOPICS),
            (lambda m, x, y: m.MultiSimilarityLoss(1, 5, 0.2)(x, y), X, TOPICS),
            (lambda m, x, y: m.CircleLoss(0.3, 8)(x, y), X, TOPICS),
            (lambda m, x, y: m.CircleLoss()(x, y), X, torch.arange(6)),
            (lambda m, x, y: m.TripletMarginLoss(0.3)(x, y), X, TOPICS),
            (lambda m, x, y: m.TripletMarginLoss(-5.0)(x, y), X, TOPICS),
        ],
    },
    "sentence_transformers": {
        "sentence_transformer.losses": [
            (lambda m, *x: m.MultipleNegativesRankingLoss(None).compute_loss_from_embeddings(x, None), X, Y),
            (lambda m, *x: m.MultipleNegativesRankingLoss(None, 3.0).compute_loss_from_embeddings(x, None),
             X, Y, draw(6, 9, seed=2)),
            (lambda m, *x: m.MultipleNegativesSymmetricRankingLoss(None).compute_loss_from_embeddings(x, None), X, Y),
            (lambda m, x, y: m.BatchAllTripletLoss(None).compute_loss_from_embeddings([x], y), X, TOPICS),
            (lambda m, x, y: m.BatchAllTripletLoss(None, margin=0.5).compute_loss_from_embeddings([x], y), X, TOPICS),
        ],
    },
    "segmentation_models_pytorch": {
        "losses": [
            *((lambda m, x, y, r=r, s=s, i=i: m.SoftBCEWithLogitsLoss(None, i, r, s)(x, y), PIXELS,
               MASK.double().masked_fill(LABELS.unsqueeze(1) == 1, -100 if i else 1))
              for r in ("mean", "sum", "none") for s in (None, 0.1) for i in (None, -100)),
            *((lambda m, x, y, r=r, i=i: m.SoftCrossEntropyLoss(r, 0.1, i)(x, y), PIXELS,
               LABELS.masked_fill(LABELS == 1, -100 if i else 1))
              for r in ("mean", "sum") for i in (None, -100)),
            *((lambda m, x, y, a=a: m.FocalLoss("multiclass", a, 1.5)(x, y), PIXELS, LABELS) for a in (None, 0.3)),
            (lambda m, x, y: m.FocalLoss("multilabel")(x, y), PIXELS, MASK),
            (lambda m, x, y: m.FocalLoss("binary")(x, y), PIXELS[:, :1], MASK[:, 0]),
        ],
    },
    "monai": {
        "losses": [
            *((lambda m, x, y, a=a, r=r: m.FocalLoss(alpha=a, gamma=1.5, reduction=r)(x, y),
               PIXELS.detach().float().requires_grad_(), MASK) for a in (None, 0.3) for r in ("mean", "none")),
            (lambda m, x, y: m.FocalLoss(to_onehot_y=True)(x, y), *half(PIXELS, LABELS.unsqueeze(1))),
        ],
    },
    "transformers": {
        "loss.loss_utils": [
            *((lambda m, x, y, n=n: m.LOSS_MAPPING["ForCausalLM"](x, y, 1000, n),
               FLOATS, IGNORED) for n in (None, 20, torch.tensor(20))),
            (lambda m, x, y: m.ForCausalLMLoss(x, None, 1000, shift_labels=y, more=1), *half(TOKENS, IGNORED)),
            (lambda m, x, y: m.ForCausalLMLoss(x, y, 1000), FLOATS, IDS * 0 - 100),
            (lambda m, x, y: m.ForCausalLMLoss(x, y, 1000), FLOATS, IDS * 5),
            (lambda m, x, y: m.LOSS_MAPPING["ForMaskedLM"](x, y, 1000, 5), *half(TOKENS, IGNORED)),
            (lambda m, x, y: m.ForTokenClassification(x, y, CONFIG), *half(TOKENS, IGNORED)),
            (lambda m, x, y: m.ForQuestionAnsweringLoss(x, x, y, y), ROWS, IDS.flatten()),
            (lambda m, x, y: m.fixed_cross_entropy(x, y, torch.tensor(4), ignore_index=2), ROWS, IDS.flatten()),
        ],
        "loss.loss_for_object_detection": [
            (lambda m, x, y: m.sigmoid_focal_loss(x, y, 3.0), X, SOFT),
            (lambda m, x, y: m.sigmoid_focal_loss(x, y, torch.tensor(3), alpha=-1, gamma=1.0), X, HARD),
        ],
    },
    "trl": {
        "trainer.utils": [
            (lambda m, x, i: m.selective_log_softmax(x, i), TOKENS, IDS),
            (lambda m, x, i: m.selective_log_softmax(x, i, temperature=0.7), *half(TOKENS, IDS)),
            (lambda m, x, i: m.selective_log_softmax(x, i), TOKENS, whole(1000, 2, 70, 3)),
            (lambda m, x, i: m.selective_log_softmax(x, i, row_mask=i > 300), TOKENS, IDS),
            (lambda m, x: m.entropy_from_logits(x), TOKENS),
            (lambda m, x, i: sum(m.selective_log_softmax_and_entropy(x, i)), TOKENS, IDS),
            (lambda m, x, i: sum(m.selective_log_softmax_and_entropy(x, i, False, 2.0, (i > 300).int())), TOKENS, IDS),
        ],
    },
    "torchtitan": {
        "components.loss": [
            (lambda m, x, y: m.cross_entropy_loss(x, y), *half(TOKENS, IGNORED)),
            (lambda m, x, y: m.compute_logprobs(x, y), *half(TOKENS, IGNORED)),
            (lambda m, x, y: sum(m.compute_logprobs(x, y, return_entropy=True)), *half(TOKENS, IGNORED)),
        ],
    },
}  # fmt: skip
# Of these, errors, empty tensors, and a loss whose smoothing no kernel has.
PLAIN_PYTORCH = {
    ("torchvision.ops", 2),
    ("torchvision.ops", 3),
    ("torchvision.ops", 14),
    ("timm.loss", 3),
    ("timm.loss", 4),
}
# Calls whose numbers ours would not have, and errors that they raise first.
HANDED = {
    "torchvision": {
        "ops": [
            (lambda m, x, y: m.sigmoid_focal_loss(x, y), X, K),
            (lambda m, x, y: m.generalized_box_iou_loss(x, y), MORE, BOXES[0]),
            (lambda m, x, y: m.complete_box_iou_loss(x, y, eps=0.1), MORE, BOXES),
        ],
    },
    "timm": {
        "loss": [
            (lambda m, x, y: m.LabelSmoothingCrossEntropy()(x, y), TOKENS, IDS),
            (lambda m, x, y: m.SoftTargetCrossEntropy()(x, y), TOKENS, TOKENS.detach().softmax(-1)),
            (lambda m, x, y: m.PolyCrossEntropy(smoothing=0.1)(x, y), X, K),
            (lambda m, x, y: m.PolyCrossEntropy()(x, y), X, SOFT),
        ],
    },
    "pytorch_metric_learning": {
        "losses": [
            (lambda m, x, y: m.ContrastiveLoss()(x, y), X, TOPICS.double()),
            (lambda m, x, y: m.ContrastiveLoss()(x, y, ref_emb=Y, ref_labels=y), X, TOPICS),
            (lambda m, x, y: m.TripletMarginLoss(swap=True)(x, y), X, TOPICS),
            (lambda m, x, y: m.TripletMarginLoss()(x, y, torch.tensor([[0], [2], [1]]).unbind()), X, TOPICS),
            (lambda m, x, y: m.CircleLoss(reducer=importlib.import_module(
                "pytorch_metric_learning.reducers").MeanReducer())(x, y), X, TOPICS),
        ],
    },
    "sentence_transformers": {
        "sentence_transformer.losses": [
            (lambda m, *x: m.MultipleNegativesRankingLoss(None, directions=("query_to_doc", "query_to_query"))
             .compute_loss_from_embeddings(x, None), X, Y),
            (lambda m, *x: m.MultipleNegativesRankingLoss(None, similarity_fct=lambda a, b: a @ b.T)
             .compute_loss_from_embeddings(x, None), X, Y),
            (lambda m, *x: m.MultipleNegativesRankingLoss(None).compute_loss_from_embeddings(x, None), X),
            (lambda m, x, y: m.BatchAllTripletLoss(None).compute_loss_from_embeddings([x], y), *half(X, TOPICS)),
        ],
    },
    "segmentation_models_pytorch": {
        "losses": [
            (lambda m, x, y: m.SoftCrossEntropyLoss("none", 0.1)(x, y), PIXELS, LABELS),
            (lambda m, x, y: m.FocalLoss("multilabel")(x, y), PIXELS, PIXELS.detach().sigmoid()),
            (lambda m, x, y: m.FocalLoss("multiclass", normalized=True)(x, y), PIXELS, LABELS),
        ],
    },
    "monai": {
        "losses": [
            (lambda m, x, y: m.FocalLoss(use_softmax=True)(x, y), PIXELS, MASK),
            (lambda m, x, y: m.FocalLoss()(x, y), PIXELS, 0.5 * MASK),
        ],
    },
    "transformers": {
        "loss.loss_utils": [(lambda m, x, y: m.ForCausalLMLoss(x, y, 1000, torch.tensor([20])), TOKENS, IGNORED)],
        "loss.loss_for_object_detection": [(lambda m, x, y: m.sigmoid_focal_loss(x, y, 3.0), X, HARD[:1])],
    },
    "trl": {
        "trainer.utils": [
            (lambda m, x, i: m.selective_log_softmax(x, i, temperature=0.0), TOKENS, IDS),
            (lambda m, x, i: m.selective_log_softmax(x, i, row_mask=i > 300), TOKENS, whole(1000, 2, 70, 3)),
        ],
    },
}  # fmt: skip


def calls(table):
    return [
        pytest.param(library, f"{library}.{module}", i, fn, tensors, id=f"{library}.{module}-{i}")
        for library, modules in table.items()
        for module, every in modules.items()
        for i, (fn, *tensors) in enumerate(every)
    ]


def patched(library):
    try:
        return fastloss.patch(library)
    except ImportError as error:
        pytest.skip(f"{error} (make peers)")


def both(library, module, fn, tensors):
    """What ours and theirs make of a call, and whether one of ours has been called."""
    with patched(library):
        bound = lambda *args: fn(importlib.import_module(module), *args)  # noqa: E731
        ours = outcome(bound, tensors, {})
        try:
            path = fastloss.explain(bound, *tensors).path
        except Exception:
            path = None
    return ours, outcome(bound, tensors, {}), path


@pytest.mark.parametrize(("library", "module", "number", "fn", "tensors"), calls(TAKEN))
def test_numbers(library, module, number, fn, tensors):
    ours, theirs, path = both(library, module, fn, tensors)
    assert path in (("reference",) if (module, number) in PLAIN_PYTORCH else ("kernel", "native"))
    if isinstance(theirs, list) and any(getattr(t, "dtype", None) == torch.bfloat16 for t in theirs):
        for a, b in zip(ours, theirs, strict=True):
            half = b.dtype == torch.bfloat16  # theirs is rounded at every step
            atol = 2**-7 * b.abs().max().item() if half else 1e-6
            torch.testing.assert_close(a, b, rtol=2**-6 if half else 2e-5, atol=atol)
    else:
        same_outcome(ours, theirs, module)


@pytest.mark.parametrize(("library", "module", "number", "fn", "tensors"), calls(HANDED))
def test_handed_over(library, module, number, fn, tensors):
    ours, theirs, path = both(library, module, fn, tensors)
    assert path is None
    same_outcome(ours, theirs, module)


@pytest.mark.parametrize("library", LIBRARIES)
def test_tables(library):
    """Every row of a seam names what there is, and is tested above."""
    with patched(library) as made:
        seams = importlib.import_module(f"fastloss.integrations.{library}").SEAMS
        names = {f"{seam.module}.{seam.name}": seam for seam in seams}
        assert names.keys() == {*made.replaced} | made.left.keys()
        assert {name for name, seam in names.items() if seam.ours} == {*made.replaced} == made.why.keys()
        for seam in seams:
            room = importlib.import_module(seam.module)
            for part in seam.name.split("."):
                room = getattr(room, part)
        assert str(made).count("\n") + 1 == len(seams)
    assert not adopt._replaced


SHOP = {
    "__init__": "from shop.losses import Loss, mse",
    "losses": """
import torch

def mse(x, y, more: int = 0):
    return ((x - y) ** 2).mean() + more

class Base:
    def compute(self, x, y):
        return mse(x, y, 1)

class Loss(Base):
    pass

class Sub(Loss):
    pass

def twice(x, y):
    return 2 * mse(x, y)

class Module(torch.nn.Module):
    def forward(self, x, y):
        return mse(x, y)

TABLE = {"mse": mse}
""",
    "user": "from shop.losses import mse as squared",
    "broken": "import shop.losses.nothing",
}


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A library, and seams of it."""
    (tmp_path / "shop").mkdir()
    for name, text in SHOP.items():
        (tmp_path / "shop" / f"{name}.py").write_text(text)
    f = fastloss.functional
    ours = lambda x, y, more=0: f.mse_loss(x, y) if more == 0 else NotImplemented  # noqa: E731
    method = lambda self, x, y: f.mse_loss(x, y) + 1  # noqa: E731
    other = lambda x, z: None  # noqa: E731
    room = types.ModuleType("fastloss.integrations.shop")
    room.SEAMS = (
        Seam("shop.losses", "mse", ours, "faster"),
        Seam("shop.losses", "Loss.compute", method, "faster"),
        Seam("shop.losses", "Module.forward", lambda self, x, y: f.mse_loss(x, y), "faster"),
        Seam("shop.losses", "mae", ours, "faster"),
        Seam("shop.losses", "Sub.compute.more", ours, "faster"),
        Seam("shop.broken", "mse", ours, "faster"),
        Seam("shop.nowhere", "mse", ours, "faster"),
        Seam("shop.user", "squared", other, "faster"),
        Seam("shop.user", "mae", None, "no such loss"),
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, room.__name__, room)
    monkeypatch.setattr(integrations, "LIBRARIES", ("shop", "nowhere"))
    yield importlib.import_module("shop.losses")
    fastloss.unpatch()
    for name in [name for name in sys.modules if (name + ".").startswith("shop.")]:
        del sys.modules[name]


def test_replaced_wherever_it_is_imported(shop):
    """Before `patch` and during it; what exists already uses ours, and nothing of ours remains."""
    top, x, y = sys.modules["shop"], draw(5), draw(5, seed=1)
    theirs, made, inherited = shop.mse, shop.Sub(), shop.Base.compute
    importlib.import_module("shop.user")
    with fastloss.patch("shop") as patch:
        assert patch.replaced == ("shop.losses.mse", "shop.losses.Loss.compute", "shop.losses.Module.forward")
        ours = shop.mse
        assert ours is top.mse is shop.TABLE["mse"] is sys.modules["shop.user"].squared is not theirs
        assert fastloss.explain(made.compute, x, y).path == fastloss.explain(ours, x, y).path == "native"
        assert ours(x, y, 2) == theirs(x, y, 2)
        assert shop.Base.compute is inherited
        assert pickle.loads(pickle.dumps(ours)) is ours
        assert b"fastloss" not in pickle.dumps((ours, made))
        assert inspect.signature(ours) == inspect.signature(theirs)
        del sys.modules["shop.user"]
        again = importlib.import_module("shop.user")
        assert again.squared is ours
        with fastloss.patch("shop", "torch") as nested:
            assert nested.left["shop.losses.mse"] == "replaced before"
            assert "mse_loss" in nested.replaced
        assert shop.mse is ours
    assert theirs is top.mse is shop.mse is shop.TABLE["mse"] is again.squared
    assert "compute" not in vars(shop.Loss)
    assert shop.Sub.compute is inherited
    assert made.compute(x, y) == theirs(x, y, 1)


def test_why_left(shop):
    why = fastloss.patch("shop").left
    assert "no such name" in why["shop.losses.mae"]
    assert "no such name" in why["shop.losses.Sub.compute.more"]
    assert "cannot import" in why["shop.broken.mse"]
    assert "cannot import" in why["shop.nowhere.mse"]
    assert why["shop.user.mae"] == "no such loss"
    fastloss.unpatch()
    assert fastloss.patch("shop").left["shop.user.squared"].endswith("other arguments: x, y, more")
    fastloss.unpatch()
    shop.mse = torch.nn.functional.l1_loss
    assert "something else" in fastloss.patch("shop").left["shop.losses.mse"]


def test_what_others_replaced_stays(shop):
    mine = lambda *args: None  # noqa: E731
    with fastloss.patch("shop"):
        shop.mse = shop.Loss.compute = mine
    assert shop.mse is shop.Loss.compute is mine


def test_no_such_library(shop):
    """And then nothing is replaced."""
    with pytest.raises(ModuleNotFoundError, match=r"fastloss.patch: nowhere is not installed") as raised:
        fastloss.patch("torch", "shop", "nowhere")
    assert raised.value.name == "nowhere"
    with pytest.raises(ValueError, match=r"no library 'tim' is known, expected some of torch, shop, nowhere"):
        fastloss.patch("shop", "tim")
    del sys.modules["shop"]
    Path(shop.__file__).with_name("__init__.py").write_text("1 / 0")
    with pytest.raises(ImportError, match=r"shop cannot be imported \(division by zero\)"):
        fastloss.patch("torch", "shop")
    assert not adopt._replaced


def test_threads(shop):
    theirs = shop.mse

    def work():
        for _ in range(30):
            with fastloss.patch("shop"):
                shop.TABLE["mse"](X, Y)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shop.mse is shop.TABLE["mse"] is theirs
    assert "compute" not in vars(shop.Loss)


def test_script_and_compile(shop):
    wanted = shop.mse(X, Y)
    with fastloss.patch("shop"):
        for scripted in (shop.mse, shop.twice, shop.Module()):
            made = torch.jit.script(scripted)(X, Y)
            torch.testing.assert_close(made, 2 * wanted if scripted is shop.twice else wanted)
        compiled = torch.compile(lambda x, y: shop.mse(2 * x, 2 * y), fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(X, Y), 4 * wanted)


def test_nothing_is_imported_before():
    """Neither a library nor what we have for it, when fastloss is imported."""
    found = cases.python(
        f"import sys, fastloss; print([m for m in sys.modules if m.partition('.')[0] in {LIBRARIES} or 'integr' in m])"
    )
    assert found.stdout == "[]\n", found.stderr
