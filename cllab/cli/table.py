"""cllab table, check-claims: many runs at once, to fill a table or to hold presets to what they claim."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from cllab.cli.many import STOPPED, Jobs, run_missing
from cllab.cli.options import Json, Quiet, Runs
from cllab.errors import EXIT_DONE, CllabError, DataError, UsageError
from cllab.io.files import expand


def table(
    plan: Annotated[
        str, typer.Argument(metavar="PLAN", help="A plan file, or the name of a shipped one.", show_default=False)
    ],
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write the Markdown there.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run.")] = False,
    jobs: Jobs = 1,
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Fill a table of experiments; prints Markdown. Stopped, the same command goes on."""
    from cllab.io.files import write_atomically
    from cllab.io.output import narrate
    from cllab.record import outcome
    from cllab.record.runs import RunStore
    from cllab.study import plan as plans

    wanted = plans.load(plan)
    cells = list(wanted.cells())
    store = RunStore(runs)
    done = plans.Done(outcome.finished(store))
    missing = plans.missing(cells, done)
    if not quiet or dry_run:
        total = sum(len(cell.configs) for cell in cells)
        narrate(f"{wanted.title}: {total} runs, {len(missing)} of them to be run")
    if dry_run:
        for config in missing:
            print(f"{config.name} seed {config.seed} {config.signature}")
        return
    code = run_missing(missing, store, done, quiet=quiet, jobs=jobs)
    text = plans.markdown(wanted, cells, done)
    if out is None:
        print(text, end="")
    else:
        write_atomically(expand(out), text)
        print(out)
    raise typer.Exit(code)


def check_claims(
    preset: Annotated[
        str, typer.Argument(metavar="PRESET", help="A preset, or 'all' shipped ones.", show_default=False)
    ],
    reuse: Annotated[bool, typer.Option("--reuse", help="Take finished runs of the runs folder.")] = False,
    as_json: Json = False,
    runs: Runs = None,
    quiet: Quiet = False,
) -> None:
    """Run what presets claim in [[expect]] and compare."""
    from cllab.io.output import Paper, narrate
    from cllab.record import outcome
    from cllab.record.runs import RunStore
    from cllab.settings import presets
    from cllab.study import claims
    from cllab.study.plan import Done

    names = presets.names() if preset == "all" else [preset]
    loaded = [presets.load(name) for name in names]
    claiming = [p for p in loaded if p.expect]
    if not claiming:
        raise UsageError(f"preset '{preset}' claims nothing: it has no [[expect]]")
    store = RunStore(runs)
    done = Done(outcome.finished(store)) if reuse else Done()
    verdicts = []
    code = EXIT_DONE
    paper = Paper.of(sys.stdout)
    for one in claiming:
        for expectation in one.expect:
            configs = claims.configurations(one, expectation)
            try:
                missing = [c for c in configs if done.get(c) is None]
                code = run_missing(missing, store, done, quiet=quiet, go_on=reuse) or code
            except DataError as error:
                if preset != "all":
                    raise
                narrate(f"passed over: {one.name}: {error}")
                continue
            if code in STOPPED:
                raise typer.Exit(code)
            found = {c.seed: o for c in configs if (o := done.get(c)) is not None}
            verdict = claims.judge(one, expectation, found)
            verdicts.append(verdict)
            if not as_json:
                print(verdict.text(paper), flush=True)
    if as_json:
        print(json.dumps([_plain(v) for v in verdicts]))
    failed = sum(not v.holds for v in verdicts)
    if failed:
        raise CllabError(f"{failed} of {len(verdicts)} claims do not hold")
    raise typer.Exit(code)


def _plain(verdict: object) -> dict[str, object]:
    from cllab.study.claims import Verdict

    assert isinstance(verdict, Verdict)
    e, found = verdict.expectation, verdict.found
    return {
        "preset": verdict.preset,
        "metric": e.metric,
        "holds": verdict.holds,
        "value": e.value,
        "tolerance": e.tolerance,
        "seeds": list(e.seeds),
        "mean": found.mean if found else None,
        "deviation": found.deviation if found else None,
        "n": found.n if found else 0,
    }
