"""The gradient pool: blocks are used again, never while somebody holds them, and never add to the peak."""

import ctypes
import gc
import os
import resource
import sys
import threading

import cases
import pytest
import torch

import fastloss
from fastloss._core import memory as _memory
from fastloss._core import operators as _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")

MiB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def _nothing_from_before():
    gc.collect()


@pytest.fixture(autouse=True)
def empty_pool(young_garbage):
    fastloss.empty_cache()
    before = fastloss.memory_usage()
    assert before["idle"] == 0
    yield
    gc.collect()
    assert fastloss.memory_usage()["in_use"] == before["in_use"], "a gradient's memory did not come back"
    fastloss.empty_cache()


def used():
    return fastloss.memory_usage()["in_use"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(
    "like",
    [
        lambda dtype: torch.empty(512, 1000, dtype=dtype),
        lambda dtype: torch.empty(1000, 512, dtype=dtype).t(),
        lambda dtype: torch.empty(4, 21, 64, 64, dtype=dtype).to(memory_format=torch.channels_last),
        lambda dtype: torch.empty(512, 2000, dtype=dtype)[:, ::2],
        lambda dtype: torch.empty(512, 1, dtype=dtype).expand(512, 1000),
    ],
    ids=["contiguous", "transposed", "channels_last", "strided", "expanded"],
)
def test_is_empty_like(like, dtype):
    tensor = like(dtype)
    ours, wanted = _memory.empty_like(tensor), torch.empty_like(tensor)
    assert (ours.shape, ours.stride(), ours.dtype) == (wanted.shape, wanted.stride(), wanted.dtype)
    assert used() >= tensor.numel() * tensor.element_size()
    assert ours.data_ptr() % 64 == 0
    ours.fill_(1)
    assert bool((ours == 1).all())


def test_small_tensors_do_not_use_it():
    before = used()
    small = torch.empty(10, 10)
    assert _memory.empty_like(small).shape == small.shape
    assert used() == before


def test_block_is_used_again():
    tensor = torch.empty(MiB)
    first = _memory.empty_like(tensor)
    address = first.data_ptr()
    second = _memory.empty_like(tensor)
    assert second.data_ptr() != address
    del first
    assert _memory.empty_like(tensor).data_ptr() == address


def test_a_view_keeps_the_block():
    tensor = torch.empty(MiB)
    view = _memory.empty_like(tensor)[5:10]
    view.fill_(3)
    _memory.empty_like(tensor).fill_(4)
    assert view.tolist() == [3] * 5


@pytest.mark.parametrize("sizes", [[8, 4, 2, 1], [1, 2, 4, 8], [3, 8, 5, 7, 1, 6], [1, 1, 1]], ids=str)
def test_never_holds_more_than_was_in_use(sizes):
    most = 0
    for size in sizes * 3:
        held = _memory.empty_like(torch.empty(size * MiB))
        most = max(most, used())
        assert sum(fastloss.memory_usage().values()) <= most
        del held
        assert sum(fastloss.memory_usage().values()) <= most


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.fixture
def fresh_heap():
    """The memory in use while the C library's heap has no pages to lend: what the pool takes is then counted."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux gives a part of a block back; reads /proc")
    ctypes.CDLL(None).malloc_trim(0)
    return resident()


@pytest.fixture
def rest(fresh_heap):
    """100 MiB, released, and lent again for 52: of the block 48 are left over."""
    before = fresh_heap
    _memory.empty_like(torch.empty(25 * MiB)).fill_(1)
    first = _memory.empty_like(torch.empty(13 * MiB)).fill_(2)
    assert fastloss.memory_usage() == {"in_use": 52 * MiB, "idle": 48 * MiB}
    assert resident() - before > 90 * MiB
    yield before
    assert bool((first == 2).all())


def test_rest_of_a_larger_block_is_given_back(rest):
    """104 MiB are in use, not 152: it has to go for them."""
    second = _memory.empty_like(torch.empty(13 * MiB)).fill_(3)
    assert fastloss.memory_usage() == {"in_use": 104 * MiB, "idle": 0}
    assert resident() - rest < 114 * MiB
    del second
    assert fastloss.memory_usage() == {"in_use": 52 * MiB, "idle": 52 * MiB}


def test_a_block_of_more_than_twice_the_size_is_not_lent():
    """Of 100 MiB for 40 of them the rest would be 60; those 100 go instead, for more than 100 were never in use."""
    _memory.empty_like(torch.empty(25 * MiB))
    kept = _memory.empty_like(torch.empty(10 * MiB))
    assert fastloss.memory_usage() == {"in_use": 40 * MiB, "idle": 0}
    del kept


def test_empty_cache_gives_back_the_rest_of_a_larger_block(rest):
    fastloss.empty_cache()
    assert fastloss.memory_usage() == {"in_use": 52 * MiB, "idle": 0}
    assert resident() - rest < 62 * MiB


def test_empty_cache_gives_back_blocks_of_the_heap(fresh_heap):
    """After one free of 31 MiB, glibc takes blocks of 8 from its heap, where a later one keeps those below it."""
    c = ctypes.CDLL(None)
    c.malloc.restype, c.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    c.free(c.malloc(ctypes.c_size_t(31 * MiB)))
    held = [_memory.empty_like(torch.empty(2 * MiB)).fill_(1) for _ in range(12)]
    assert resident() - fresh_heap > 80 * MiB
    later = c.malloc(ctypes.c_size_t(MiB))
    del held
    fastloss.empty_cache()
    assert resident() - fresh_heap < 16 * MiB
    c.free(later)


def test_empty_cache():
    _memory.empty_like(torch.empty(MiB))
    assert fastloss.memory_usage()["idle"] >= 4 * MiB
    fastloss.empty_cache()
    assert fastloss.memory_usage()["idle"] == 0


def step(logits, target):
    fastloss.functional.cross_entropy(logits, target).backward()


def test_training_uses_one_block():
    logits = torch.randn(1024, 1000, requires_grad=True)
    target = torch.randint(1000, (1024,))
    addresses = set()
    for _ in range(5):
        logits.grad = None
        step(logits, target)
        addresses.add(logits.grad.data_ptr())
    assert len(addresses) == 1
    logits.grad = None
    assert fastloss.memory_usage()["idle"] > 0


def test_gradients_that_are_kept_stay():
    target = torch.randint(1000, (512,))
    steps = [torch.randn(512, 1000, requires_grad=True) for _ in range(4)]
    for logits in steps:
        step(logits, target)
    for logits in steps:
        x = logits.detach().requires_grad_()
        torch.nn.functional.cross_entropy(x, target).backward()
        torch.testing.assert_close(logits.grad, x.grad, rtol=1e-4, atol=1e-9)


def test_accumulation_and_retained_graph():
    logits = torch.randn(512, 1000, requires_grad=True)
    target = torch.randint(1000, (512,))
    loss = fastloss.functional.cross_entropy(logits, target)
    loss.backward(retain_graph=True)
    once = logits.grad.clone()
    loss.backward()
    torch.testing.assert_close(logits.grad, 2 * once)


def test_threads():
    """Blocks are taken and released from several threads at once; each keeps what it wrote."""
    wrong = []

    def work(mark):
        for _ in range(200):
            block = _memory.empty_like(torch.empty(64 * 1024))
            block.fill_(mark)
            if not bool((block == mark).all()):
                wrong.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# What PyTorch does with a gradient's storage: everywhere, and where that is its own memory.
ALWAYS = {
    "out of the same size": lambda g: torch.add(torch.ones_like(g), 1, out=g),
    "out of nothing": lambda g: torch.add(torch.ones(3), 1, out=g.resize_(0)),
    "resize_ to the same size": lambda g: g.resize_(g.shape),
    "resize_ to another shape": lambda g: g.resize_(g.numel()),
    "resize_ to a smaller size": lambda g: g.resize_(3, 5),
    "resize_as_": lambda g: g.resize_as_(torch.empty(2, 2)),
    "in place": lambda g: g.mul_(2).zero_(),
    "set_": lambda g: g.set_(torch.ones(1000, 1000)),
    "data": lambda g: setattr(g, "data", torch.ones(1000, 1000)),
    "swap": lambda g: torch.utils.swap_tensors(g, torch.ones(1000, 1000)),
    "share_memory_": lambda g: g.share_memory_(),
}
OWN_MEMORY = {
    "out of a larger size": lambda g: torch.add(torch.ones(1000, 1000), 1, out=g.resize_(0)),
    "resize_ to a larger size": lambda g: g.resize_(1000, 1000),
    "resize_as_ a larger one": lambda g: g.resize_as_(torch.empty(1000, 1000)),
    "storage to nothing": lambda g: g.untyped_storage().resize_(0),
    "storage to more": lambda g: g.untyped_storage().resize_(4_000_000),
}


def large_gradient():
    x = torch.randn(300, 300, requires_grad=True)
    (grad,) = torch.autograd.grad(fastloss.functional.cross_entropy(x, torch.arange(300)), x)
    return grad


@pytest.mark.parametrize("operation", ALWAYS)
def test_gradients_are_ordinary(operation):
    ALWAYS[operation](large_gradient())


@pytest.mark.parametrize("operation", OWN_MEMORY)
def test_storage_cannot_be_resized(operation):
    grad = large_gradient()
    before = grad.clone()
    with pytest.raises(RuntimeError, match="Trying to resize storage that is not resizable"):
        OWN_MEMORY[operation](grad)
    grad.set_(grad.untyped_storage(), 0, before.shape)
    assert torch.equal(grad, before)


def test_without_the_pool():
    program = """
import os, sys
sys.path.insert(0, os.environ["TESTS"])
import torch, fastloss, test_memory as t
x, y = torch.randn(300, 300, requires_grad=True), torch.randn(300, 300)
for loss in (t.large_gradient(), torch.autograd.grad(fastloss.functional.huber_loss(x, y), x)[0],
             torch.autograd.grad(fastloss.functional.clip_loss(x, y, 2.0), x)[0]):
    assert loss.untyped_storage().resizable()
for operation in (*t.ALWAYS.values(), *t.OWN_MEMORY.values()):
    operation(t.large_gradient())
fastloss.empty_cache()
assert fastloss.memory_usage() == {"in_use": 0, "idle": 0}
print("done")
"""
    for switch in ("0", "1"):
        found = cases.python(program, FASTLOSS_POOL=switch, TESTS=os.path.dirname(__file__))
        assert (found.stdout.strip() == "done") == (switch == "0"), found.stderr
