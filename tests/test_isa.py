"""Instruction sets: chosen, forced, refused, and close to one another."""

import re
from pathlib import Path

import cases
import pytest
from cases import DTYPES, SOFTMAX

import fastloss
from fastloss._core import operators as _ops

AVAILABLE = fastloss.isa.available()
README = (Path(__file__).parents[1] / "README.md").read_text()
NAMES = re.findall(r"`(\w+)`", re.search(r"exist for (.*?)\. ", README, re.S)[1])  # of the instruction sets
needs_extension = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")


@needs_extension
def test_names():
    assert AVAILABLE
    assert set(AVAILABLE) <= set(fastloss.isa.compiled())
    assert fastloss.isa.active() in AVAILABLE
    assert AVAILABLE[-1] == fastloss.isa.compiled()[-1], "the baseline runs everywhere"
    info = fastloss.build_info()
    assert info["fastloss"] == fastloss.__version__
    assert info["ISA active"] == fastloss.isa.active()


@needs_extension
def test_use_and_force():
    before = fastloss.isa.active()
    for name in AVAILABLE:
        with fastloss.isa.use(name):
            assert fastloss.isa.active() == name
        assert fastloss.isa.active() == before
    with pytest.raises(KeyError), fastloss.isa.use(AVAILABLE[-1]):
        raise KeyError
    assert fastloss.isa.active() == before
    for bad in ("sse9", "", "AVX 2"):
        with pytest.raises(ValueError, match=AVAILABLE[-1]):
            fastloss.isa.force(bad)
    assert fastloss.isa.active() == before


@needs_extension
@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_readme(name):
    """Each is known, however it is written."""
    table = "baseline" if name == "sse2" and "baseline" in fastloss.isa.compiled() else name
    for written in (name, name.upper(), name.upper().replace("AVX", "AVX-").replace("_", "-")):
        if table in AVAILABLE:
            with fastloss.isa.use(written):
                assert fastloss.isa.active() == table
        else:
            reason = "not supported by this CPU" if table in fastloss.isa.compiled() else "unknown"
            with pytest.raises(ValueError, match=reason), fastloss.isa.use(written):
                pass


@needs_extension
@pytest.mark.parametrize("kind", ["index", "probability"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SOFTMAX, ids=str)
def test_close_to_one_another(case, dtype, kind, kernel):
    for shape in ((7, 333), (3, 21, 17)):
        x, target = cases.make_rows(shape, dtype, kind)
        results = []
        for name in AVAILABLE:
            with fastloss.isa.use(name):
                results.append(cases.run(case.functional, x, target, label_smoothing=0.1))
        for loss, grad in results[1:]:
            cases.check_loss(loss, results[0][0].double(), x)
            # Two roundings to dtype may fall on neighbours: compare within both.
            wanted = results[0][1].double()
            limit = 2 * (cases.slack(x) + cases.UNIT[dtype]) * wanted.abs().amax() + 2 * cases.UNDERFLOW[dtype]
            assert ((grad.double() - wanted).abs() <= limit).all()


PROGRAM = """
import torch, fastloss
print(fastloss.isa.active())
fastloss.functional.cross_entropy(torch.zeros(200, 100), torch.zeros(200, dtype=torch.int64))
"""


@needs_extension
@pytest.mark.parametrize("name", AVAILABLE)
def test_environment_forces(name):
    done = cases.python(PROGRAM, FASTLOSS_ISA=name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name]


@needs_extension
def test_environment_refuses():
    done = cases.python(PROGRAM, FASTLOSS_ISA="sse9")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "sse9" in last
    assert all(name in last for name in AVAILABLE)
