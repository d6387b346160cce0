"""Pools of processes that end with whoever started them, however that one ended."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from threading import Thread


def pool(processes: int) -> ProcessPoolExecutor:
    """A pool of fresh processes; each is gone at once when this process is, even in the middle of its work.

    Work that writes files must write them whole or not at all (`sandwich.data.corpus.write_whole`).
    """
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    Thread(target=_outlive_nobody, name="end with parent", daemon=True).start()


def _outlive_nobody() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # sys.exit would end this thread alone; an engine ends at the end of its input
