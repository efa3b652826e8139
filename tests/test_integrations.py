"""What fastloss.integrations has for users to import."""

import doctest
import inspect
import os
import subprocess
import sys
import types
from pathlib import Path

import peers
import pytest
import torch
import torch.distributed as dist

import fastloss
from fastloss.integrations import open_clip, transformers


@pytest.mark.parametrize("what", [open_clip.ClipLoss, transformers.causal_lm_loss])
def test_examples_of_docstrings_run(what):
    test = doctest.DocTestParser().get_doctest(inspect.getdoc(what), {"torch": torch}, what.__name__, None, 0)
    assert test.examples
    assert not doctest.DocTestRunner().run(test).failed


def test_causal_lm_loss():
    logits, labels = torch.randn(2, 8, 50, requires_grad=True), torch.randint(50, (2, 8))
    wanted = fastloss.functional.causal_lm_loss(logits, labels, 28, z_loss=0.1)
    for outputs in ({"logits": logits}, types.SimpleNamespace(logits=logits)):
        assert transformers.causal_lm_loss(outputs, labels, torch.tensor(28), z_loss=0.1) == wanted


def test_clip_loss_refuses():
    for options in ({"use_horovod": True}, {"world_size": 2, "local_loss": True}):
        with pytest.raises(ValueError, match=r"fastloss.ClipLoss: "):
            open_clip.ClipLoss(**options)


SHARED = """
import os, sys
import peers, torch, torch.distributed as dist
from fastloss.integrations import open_clip

rank, world, store = int(sys.argv[1]), 2, dist.FileStore(sys.argv[2], 2)
dist.init_process_group("gloo", store=store, rank=rank, world_size=world)

def draw(seed):
    return torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

def shared(loss):
    '''The loss and its gradients, the mean of the processes, as DistributedDataParallel takes it.'''
    model = torch.nn.Linear(4, 4, bias=False, dtype=torch.float64)
    torch.nn.init.eye_(model.weight)
    scale = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    value = loss(model(draw(0)[rank]), model(draw(1)[rank]) ** 2, scale, output_dict=True)["contrastive_loss"]
    made = [value.detach(), *torch.autograd.grad(value, (model.weight, scale))]
    for t in made:
        dist.all_reduce(t)
    return [t / world for t in made]

theirs = peers.open_clip().ClipLoss
for local, with_grad in ((False, True), (True, True), (False, False)):
    options = dict(local_loss=local, gather_with_grad=with_grad, rank=rank, world_size=world)
    for a, b in zip(shared(open_clip.ClipLoss(**options)), shared(theirs(**options)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
print("done", flush=True)
os._exit(0)  # gloo's threads race with its teardown
"""


@pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="this PyTorch has no gloo")
def test_clip_loss_of_processes(tmp_path):
    """Whole gradients and open_clip's smaller ones, after the processes' mean."""
    peers.open_clip()
    here = Path(__file__).parent
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SHARED, str(rank), str(tmp_path / "store")],
            env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in started:
        said, error = process.communicate(timeout=120)
        assert said == "done\n", error


def test_lightning_stats():
    """Logged as `return_stats` gives them; the caller's own and validation stay as they are."""
    lightning = pytest.importorskip("lightning.pytorch", reason="it is not installed")
    from fastloss.integrations.lightning import LossStats

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.plain, self.own = fastloss.CrossEntropyLoss(), fastloss.MSELoss(return_stats=True)
            self.logged = []

        def log(self, name, value):
            self.logged.append((name, value))

    module, callback = Module(), LossStats(every=2, fields=("accuracy", "count"))
    logits, target = torch.randn(60, 5, requires_grad=True), torch.randint(5, (60,))
    wanted = fastloss.CrossEntropyLoss(return_stats=True)(logits, target)
    callback.on_train_start(None, module)
    for batch in range(3):
        callback.on_train_batch_start(None, module, None, batch)
        assert len(module.own(logits, logits)) == len(module.plain(logits, target, return_stats=True)) == 2
        assert module.plain(logits, target).shape == ()
        callback.on_train_batch_end(None, module, None, None, batch)
    module.eval()
    module.plain(logits, target)
    assert not callback._found
    assert module.logged == 2 * [("plain/accuracy", wanted[1].accuracy.float()), ("plain/count", 60.0)]
    callback.on_train_end(None, module)
    assert not module.plain._forward_hooks
    assert not module.plain._forward_pre_hooks
