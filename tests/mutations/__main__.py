"""Tries every wrong line and prints which the tests notice: `python -m tests.mutations [--jobs N] [-k WORD]`.

Exits with 1 when less than 95 in 100 are noticed, when one survives that is not argued, when one that is argued is
noticed after all, or when one does not fit the code any more.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import gc
import resource
import sys
import time
from collections import Counter

from tests.mutations import running
from tests.mutations.lists import MUTANTS
from tests.mutations.mutant import Mutant, StaleError

WANTED = 0.95


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--limit", type=int, default=60, help="seconds of computing after which a mutant hangs")
    parser.add_argument("-k", dest="word", default="", help="only mutants whose file or description has this word")
    parser.add_argument("--trust", action="store_true", help="do not first see the tests pass on the code as it is")
    options = parser.parse_args()
    began = time.monotonic()
    chosen = [m for m in MUTANTS if options.word in m.file or options.word in m.breaks]
    fitting = [m for m in chosen if _fits(m)]
    running.warm()
    if not options.trust and not _sound(fitting, options.jobs, options.limit):
        return 1
    found = []
    for outcome in running.run([(m, m.tests) for m in fitting], options.jobs, options.limit):
        assert outcome.mutant is not None
        found.append(outcome)
        _say(outcome.kind, outcome.mutant, outcome.seconds, outcome.by)
    kinds = Counter(o.kind for o in found)
    noticed = [o for o in found if o.kind in ("noticed", "timeout")]
    survived = [o.mutant for o in found if o.kind == "survived" and o.mutant]
    argued = [m for m in survived if m.argued]
    print(f"\n{len(noticed)} of {len(chosen)} noticed ({100 * len(noticed) / max(1, len(chosen)):.1f} %), ", end="")
    print(f"{len(survived)} survived, {len(argued)} of them argued, {kinds['broken']} broken, ", end="")
    print(f"{len(chosen) - len(fitting)} do not apply any more")
    computed = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"{time.monotonic() - began:.0f} s, of which {computed:.0f} s were computed")
    for area, total in sorted(Counter(_area(m) for m in chosen).items()):
        print(f"  {area:<12} {sum(_area(o.mutant) == area for o in noticed if o.mutant):>4} of {total}")
    for mutant in argued:
        print(f"argued: {mutant.file}: {mutant.breaks}: {mutant.argued}")
    wrongly_argued = [o.mutant for o in noticed if o.mutant and o.mutant.argued]
    for mutant in wrongly_argued:
        print(f"noticed although argued: {mutant.file}: {mutant.breaks}")
    whole = len(noticed) + len(survived) == len(chosen)
    good = whole and len(argued) == len(survived) and not wrongly_argued and len(noticed) >= WANTED * len(chosen)
    return 0 if good else 1


def _fits(mutant: Mutant) -> bool:
    try:
        mutant.source()
    except StaleError as error:
        print(f"does not apply any more: {error}", flush=True)
        return False
    return True


def _sound(mutants: list[Mutant], jobs: int, limit: int) -> bool:
    """Whether the tests pass on the code as it is: without that, a failure says nothing."""
    targets = sorted({target for m in mutants for target in m.tests})
    parts = [tuple(targets[k::jobs]) for k in range(min(jobs, len(targets)))]
    good = True
    for outcome in running.run([(None, part) for part in parts], jobs, limit * len(targets)):
        if outcome.kind != "survived":
            good = False
            print(f"fails on the code as it is: {outcome.by}", flush=True)
    return good


def _say(kind: str, mutant: Mutant, seconds: float, by: str) -> None:
    label = {"survived": "argued" if mutant.argued else "SURVIVED", "broken": "BROKEN"}.get(kind, kind)
    print(f"{label:<9}{seconds:5.1f} s  {mutant.file.removeprefix('cllab/')}: {mutant.breaks}  [{by}]", flush=True)


def _area(mutant: Mutant) -> str:
    parts = mutant.file.split("/")
    return "augmentation" if "augment" in parts else parts[1].removesuffix(".py")


if __name__ == "__main__":
    code = main()
    gc.unfreeze()
    sys.exit(code)
