"""Worlds of processes. They cost seconds to start, so a world runs everything at once and leaves behind what failed."""

import datetime
import os
import pickle

import torch
import torch.distributed as dist


def run(rank, world, folder, jobs):
    """In a process of a world: what ``jobs`` has by name, up to the first that fails. Ends the process."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        timeout=datetime.timedelta(seconds=60),
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world,
    )
    failed = {}
    for name, job in jobs.items():
        try:
            job()
        except Exception as error:  # reported by the test of that name
            failed[name] = f"rank {rank}: {type(error).__name__}: {error}"
        count = torch.tensor([int(name in failed)])  # a process that failed has missed messages: all stop together
        dist.all_reduce(count)
        if count:
            break
    dist.barrier()
    with open(f"{folder}/{rank}.pickle", "wb") as file:
        pickle.dump((failed, name, list(jobs)), file)
    # No teardown: gloo's threads and DistributedDataParallel's, still referring to the group, race there, and now and
    # then one ends a process that has done its work with std::terminate.
    os._exit(0)


def outcome(work, world, folder):
    """What failed in a world of processes that each do ``work``, by name; the last that ran; all that were to run."""
    torch.multiprocessing.spawn(work, (world, str(folder)), world)
    failed = {}
    for rank in range(world):
        more, last, names = pickle.loads((folder / f"{rank}.pickle").read_bytes())
        failed.update({name: failed.get(name, "") + text for name, text in more.items()})
    return failed, last, names


def check(name, outcome):
    failed, last, names = outcome
    assert name not in failed, failed[name]
    assert names.index(name) <= names.index(last), f"not run, since {last} failed"
