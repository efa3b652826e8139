"""A share of `make soak` and of `make abuse`; what they ask of a call stands in soak.py and abuse.py."""

from __future__ import annotations

import functools
import inspect
import math
from unittest import mock

import abuse
import pytest
import soak
import torch

import fastloss
from fastloss._core import operators as _ops

# Cases of each function: about a minute on one core, always the same ones.
CASES = 250


@pytest.mark.soak
@pytest.mark.parametrize("name", soak.functions())
def test_random_calls_agree_with_float64(name):
    torch.set_num_threads(1)
    assert not (wrong := soak.soak(name, CASES, None)), "\n".join(wrong)


def test_every_function_is_drawn():
    """A new loss is known to soak.py, with every tensor and hyperparameter of its signature."""
    for name in soak.functions():
        if name in soak.OTHERS or name in soak.GAN:
            continue
        shared = {
            "input", "target", "labels", "negatives", "size_average", "reduce", "reduction", "weight", "mask",
            "options", "normalizer", "empty", "loss_dtype", "inplace", "return_stats", "ignore_index", "pos_weight",
            "mining", "label_smoothing", "positives", "group",
        }  # fmt: skip
        known = shared | set(soak.MAIN[name]) | set(soak.HYPER[name])
        unknown = set(inspect.signature(getattr(fastloss.functional, name)).parameters) - known
        assert not unknown, f"soak.py draws no {', '.join(sorted(unknown))} for {name}"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda loss, x: loss * (1 + 1e-4), "number"),
        (lambda loss, x: loss + 1e-4 * x.detach().abs().sum(), "number"),
        (lambda loss, x: torch.where(loss.isnan(), loss, math.nan), "special"),
        (lambda loss, x: loss.unsqueeze(0), "shape works"),
        (lambda loss, x: (_ for _ in ()).throw(ValueError("no")), "raises"),
    ],
)
@pytest.mark.parametrize("name", ["huber_loss", "cross_entropy", "triplet_margin_loss", "clip_loss"])
def test_planted_faults_are_found(name, change, kind):
    right = getattr(fastloss.functional, name)

    @functools.wraps(right)  # its signature
    def wrong(**arguments):
        result = right(**arguments)
        loss = result[0] if isinstance(result, tuple) else result
        changed = change(loss, arguments[soak.MAIN[name][0]])
        return (changed, result[1]) if isinstance(result, tuple) else changed

    with mock.patch.object(fastloss.functional, name, wrong):
        found = []
        broken = soak.soak(name, 60, None, lambda kind, call, text: found.append(kind))
    assert not broken
    assert any(word in one for word in kind.split() for one in found), found


def test_a_program_makes_its_call_again():
    call = soak.Call(
        "mse_loss", {"input": soak.T("real", (3, 4), layout="strided", grad=True), "target": soak.T("number 0.5", ())}
    )
    made: dict = {}
    exec(call.program().replace("check(", "made = ("), made)
    again = made["made"].make()
    assert all(torch.equal(again[k], v) and again[k].stride() == v.stride() for k, v in call.make().items())


@pytest.mark.skipif(not _ops.AVAILABLE, reason="the compiled extension is missing")
def test_operators_refuse_random_arguments():
    """Without the sanitizers: what ends a process, hangs or takes a gigabyte."""
    names = abuse.operators()
    ran, faults = abuse.abuse(names, 40, 0, abuse.ROOT, {})
    assert not faults, "\n".join(faults)
    assert ran == 40 * len(names)
