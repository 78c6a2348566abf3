# SPDX-License-Identifier: MIT
"""asyncio's set of all tasks, kept by C functions: what it holds, and when.

Each program is a process of its own: the functions stay for as long as asyncio does.
"""

from __future__ import annotations

import sys

import pytest
from programs import output_of

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.version_info >= (3, 14), reason="CPython does so itself"),
]

HEAD = """
import asyncio, asyncio.tasks, gc, threading, weakref
from asgiserver import _core
all_of_them = getattr(asyncio.tasks, "_scheduled_tasks", None)
if all_of_them is None:
    all_of_them = asyncio.tasks._all_tasks
"""
TAKEN = HEAD + "assert _core.register_tasks()\n"


def test_tasks_are_in_it_while_they_live() -> None:
    program = """
async def main():
    task = asyncio.create_task(asyncio.sleep(0))
    seen = asyncio.all_tasks()
    print(task in seen, asyncio.current_task() in seen, len(seen), len(all_of_them))
    await task
    print(task in asyncio.all_tasks(), task in all_of_them)
    del task, seen
    await asyncio.sleep(0)
    gc.collect()
    print(len(all_of_them))

asyncio.run(main())
gc.collect()
print(len(all_of_them), len(all_of_them.data))
"""
    expected = "True True 2 2\nFalse True\n1\n0 0"
    assert output_of(TAKEN + program) == expected
    assert output_of(HEAD + program) == expected


def test_a_task_that_dies_while_somebody_iterates() -> None:
    program = """
async def main():
    tasks = [asyncio.create_task(asyncio.sleep(0)) for _ in range(20)]
    await asyncio.gather(*tasks)
    await asyncio.sleep(0)
    walk = iter(all_of_them)
    first = next(walk)
    n = len(all_of_them.data)
    del tasks, first
    gc.collect()
    print(len(all_of_them.data) == n, len(all_of_them._pending_removals) > 15)
    list(walk)
    asyncio.create_task(asyncio.sleep(0))
    print(len(all_of_them._pending_removals), len(all_of_them.data))

asyncio.run(main())
"""
    seen = output_of(TAKEN + program)
    assert seen == output_of(HEAD + program)
    assert seen.startswith("True True\n0 ")


def test_many_tasks_in_many_threads() -> None:
    program = """
async def main():
    for _ in range(200):
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(20)))

threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(4)]
for thread in threads:
    thread.start()
for _ in range(300):
    len(list(all_of_them))
for thread in threads:
    thread.join()
gc.collect()
all_of_them._commit_removals()
print(len(all_of_them.data))
"""
    assert output_of(TAKEN + program) == "0"


def test_what_is_not_as_known_is_left_alone() -> None:
    assert (
        output_of(TAKEN + "print(_core.register_tasks(), _core.register_tasks())") == "False False"
    )
    for change in [
        "class Own(weakref.WeakSet): pass\nall_of_them = Own()",
        "all_of_them = set()",
        "all_of_them.add = print",
        "all_of_them.data = frozenset()",
        "del all_of_them._iterating",
        "del asyncio.tasks.NAME",
    ]:
        program = f"""
NAME = "_scheduled_tasks" if hasattr(asyncio.tasks, "_scheduled_tasks") else "_all_tasks"
{change.replace("del asyncio.tasks.NAME", "delattr(asyncio.tasks, NAME)")}
if hasattr(asyncio.tasks, NAME):
    setattr(asyncio.tasks, NAME, all_of_them)
before = getattr(all_of_them, "add", None)
print(_core.register_tasks(), getattr(all_of_them, "add", None) == before)
"""
        assert output_of(HEAD + program) == "False True", change


def test_no_reference_is_kept() -> None:
    program = """
import sys
class Item:
    pass
item = Item()
before = sys.getrefcount(item), sys.getrefcount(None)
for _ in range(5000):
    all_of_them.add(item)
    all_of_them.add(Item())
print(sys.getrefcount(item) == before[0], abs(sys.getrefcount(None) - before[1]) < 100)
print(len(all_of_them))
try:
    all_of_them.add(1)
except TypeError as error:
    print(error)
"""
    expected = "True True\n1\ncannot create weak reference to 'int' object"
    assert output_of(TAKEN + program) == expected
