# SPDX-License-Identifier: LGPL-2.1-or-later
"""Delta debugging: leaves out of a sequence of operations what a difference does not need."""

import time

RERUNS, SECONDS = 200, 120


class Budget:
    def __init__(self):
        self.reruns = RERUNS
        self.end = time.monotonic() + SECONDS

    def left(self):
        return self.reruns > 0 and time.monotonic() < self.end


def candidates(operations):
    """What is often not needed at all: an actor, a kind of operation."""
    last = operations[-1]
    for part in (0, 1):
        for value in sorted({operation[part] for operation in operations[:-1]}):
            if part == 0 and value == last[0]:
                continue
            yield lambda operation, part=part, value=value: operation[part] != value


def shrink(operations, effective, difference, rerun):
    """(shorter sequence, its difference), or two None if it does not come again. rerun takes a
    sequence and returns a difference or None; only one of the same kind counts."""
    budget = Budget()
    best, last = list(operations), difference

    def attempt(shorter):
        nonlocal best, last
        if len(shorter) == len(best) or not budget.left():
            return False
        budget.reruns -= 1
        found = rerun(shorter)
        if found is None or found.key != difference.key:
            return False
        best, last = shorter, found
        return True

    keep = best[-1:]
    found = rerun(best) or rerun(best)
    if found is None:
        return None, None
    # What failed or only asked rarely matters. The last operation may be among them.
    attempt(effective + (keep if effective[-1:] != keep else []))
    for wanted in candidates(best):
        attempt([operation for operation in best[:-1] if wanted(operation)] + keep)
    size = len(best) // 2
    while size and budget.left():
        start, removed = 0, False
        while start < len(best) and budget.left():
            if attempt(best[:start] + best[start + size:]):
                removed = True
            else:
                start += size
        size = size if removed and size == 1 else size // 2
    return best, last
