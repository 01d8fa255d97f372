"""The training process: a run folder in, events out. `python -m cllab.worker RUN_DIR [--resume]`."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import torch

from cllab.engine import checkpoint, networks
from cllab.engine.control import Control, StopRequested
from cllab.engine.parts import open_dataset, pick_device
from cllab.engine.run import Session
from cllab.errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, CllabError, UsageError
from cllab.io.files import write_atomically, write_error
from cllab.learner.rng import Rng
from cllab.record import events as ev
from cllab.record.lock import LockedError
from cllab.record.runs import Run
from cllab.settings import registry, rules
from cllab.settings.config import RunConfig


def precheck(config: RunConfig) -> None:
    """What can be refused before a run folder exists: device, scenario, data.

    Raises:
        UsageError: for a combination that cannot work.
        DataError: when the data is not there.
    """
    pick_device(config.device)
    scenario = registry.component("scenario", config.scenario.name)
    dataset = registry.component("dataset", config.dataset.name)
    reason = scenario.check(
        {**config.scenario.values, "seed": config.seed},
        config.dataset.values.get("n_classes", dataset.info.n_classes),
        rules.training_images(config, dataset.info.n_train),
    )
    if reason:
        raise UsageError(f"scenario '{config.scenario.name}': {reason}")
    data = open_dataset(config, torch.device("cpu"))
    # what only the data can tell, such as file lists that name images which are not there
    scenario(scenario.Config(**config.scenario.values)).stream(data, Rng(config.seed))
    networks.precheck(config, data)


def train(
    run: Run,
    *,
    sinks: Sequence[ev.Sink] = (),
    resume: bool = False,
    signals: bool = True,
    waiting: bool = False,
    trace: int = 0,
) -> int:
    """Train what `run` asks for; everything goes into its folder and to `sinks`.

    Args:
        run: its folder.
        sinks: who else hears the records.
        resume: go on from the newest checkpoint that can be read; begin again where there is none.
        signals: SIGINT and SIGTERM stop at the next batch.
        waiting: heed a command that a viewer gave before this function was called, while the process was starting.
        trace: how many steps are traced at the beginning of every task.

    Returns:
        the exit code; whatever goes wrong ends as a `RunEnded` record with the reason in one sentence.
    """
    try:
        lock = run.take()
    except LockedError as error:
        print(f"cllab: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"cllab: {write_error(error)}", file=sys.stderr)
        return EXIT_FAILED
    control = Control(run.control_path, waiting=waiting)
    control.trace_each = trace
    if signals:
        control.install_signals()
    try:
        return _train(run, control, sinks, resume)
    finally:
        control.remove_signals()
        run.control_path.unlink(missing_ok=True)  # what was asked of this process is not meant for the next one
        lock.release()


def _train(run: Run, control: Control, sinks: Sequence[ev.Sink], resume: bool) -> int:
    state, torn = None, ""
    device = torch.device("cpu")
    try:
        config = run.config(trusted=True)
        device = pick_device(config.device)
        if resume:
            state, torn = checkpoint.newest(run.checkpoint_path, device)
        for folder in (run.memory_folder, run.checkpoint_path.parent):
            folder.mkdir(exist_ok=True)
        writer = run.sink(keep_bytes=int(state["events_bytes"]) if state else 0)
    except CllabError as error:
        print(f"cllab: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"cllab: {write_error(error)}", file=sys.stderr)
        return EXIT_FAILED
    run.result_path.unlink(missing_ok=True)

    session: Session | None = None

    def emit(event: ev.Event) -> None:
        if state is not None and session is None and isinstance(event, ev.Working):
            return  # the data are read again; the first record of a resumed process says that it goes on
        writer(event)
        for sink in sinks:
            sink(event)

    status, reason, code = "done", "", EXIT_DONE
    try:
        if state is None:
            emit(ev.PhaseStarted(phase="loading"))
        session = Session(config, emit, control, run)
        session.bytes_written = writer.sync
        if state is not None:
            session.restore(state)
        else:
            session.start()
        if torn:
            emit(ev.Warned(message=torn))
        session.walk()
    except StopRequested as stop:
        status, reason, code = "stopped", "stopped on request; cllab resume goes on from here", stop.exit_code
        reason = _save_quietly(session) or reason
    except KeyboardInterrupt:
        status, reason, code = "stopped", "interrupted", EXIT_INTERRUPTED
    except CllabError as error:
        status, reason, code = "failed", str(error), error.exit_code
    except OSError as error:
        status, reason, code = "failed", str(write_error(error)), EXIT_FAILED
    except Exception as error:
        status, code = "failed", EXIT_FAILED
        if _is_memory(error):
            reason = (
                f"out of memory on {device} {_where(session)}; a smaller train.batch_size may help ({_first(error)})"
            )
        else:
            traceback.print_exc(file=sys.stderr)
            reason = f"{type(error).__name__} {_where(session)}: {_first(error)}"
    code = _finish(run, session, emit, status, reason, code)
    if status == "done":
        checkpoint.former(run.checkpoint_path).unlink(missing_ok=True)
    try:
        writer.close()
    except OSError as error:
        print(f"cllab: {write_error(error)}", file=sys.stderr)
        return code or EXIT_FAILED
    return code


def _finish(run: Run, session: Session | None, emit: ev.Sink, status: str, reason: str, code: int) -> int:
    try:
        metrics = session.metrics() if session is not None else {}
        seconds = session.all_seconds() if session is not None else {}
        emit(ev.RunEnded(status=status, reason=reason, metrics=dict(metrics), seconds=seconds))
        if session is not None:
            write_atomically(run.result_path, json.dumps(session.result(status, reason), indent=1) + "\n")
    except OSError as error:
        print(f"cllab: {write_error(error)}", file=sys.stderr)
        return code or EXIT_FAILED
    return code


def _save_quietly(session: Session | None) -> str:
    """A checkpoint at the end; returns why there is none."""
    if session is None:
        return ""
    try:
        session.save()
    except OSError as error:
        return f"stopped, but the checkpoint could not be written: {write_error(error)}"
    return ""


def _is_memory(error: Exception) -> bool:
    """Whether `error` says that memory ran out: NumPy and CUDA have a class for it, torch on the CPU only words."""
    words = ("can't allocate memory", "Storage size calculation overflowed")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def _where(session: Session | None) -> str:
    if session is None:
        return "while loading"
    return f"at task {session.learner.task + 1}, step {session.learner.step}"


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def main(arguments: list[str]) -> int:
    """Entry point of `python -m cllab.worker`."""
    folders = [a for a in arguments if not a.startswith("--")]
    if len(folders) != 1 or not (Path(folders[0]) / "config.toml").is_file():
        print("usage: python -m cllab.worker RUN_DIR [--resume]", file=sys.stderr)
        return UsageError.exit_code
    return train(Run(Path(folders[0])), resume="--resume" in arguments, waiting=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
