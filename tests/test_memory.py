"""The gradient pool: blocks are used again, never while somebody holds them, and never add to the peak."""

import gc
import resource
import sys
import threading

import pytest
import torch

import fastloss
from fastloss import _memory, _ops

pytestmark = pytest.mark.skipif(not _ops.AVAILABLE, reason="the extension is not built")

MiB = 1 << 20


@pytest.fixture(autouse=True)
def empty_pool():
    gc.collect()
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
def rest():
    """100 MiB, released, and lent again for 52: of the block 48 are left over."""
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux gives a part of a block back; reads /proc")
    before = resident()
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


def test_empty_cache_gives_back_the_rest_of_a_larger_block(rest):
    fastloss.empty_cache()
    assert fastloss.memory_usage() == {"in_use": 52 * MiB, "idle": 0}
    assert resident() - rest < 62 * MiB


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
