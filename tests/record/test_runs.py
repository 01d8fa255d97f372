"""Run folders: created, found, followed while they are written, and read after their process died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cllab.errors import CllabError, UsageError
from cllab.io.files import write_atomically
from cllab.record import events as ev
from cllab.record.lock import LockedError, RunLock, is_locked
from cllab.record.log import EventWriter, Tail
from cllab.record.runs import Run, RunStore, runs_folder
from cllab.settings.config import RunConfig
from tests.conftest import toy

posix = pytest.mark.skipif(sys.platform == "win32", reason="locks of POSIX")


def task(n: int) -> ev.TaskEnded:
    return ev.TaskEnded(task=n, seconds={})


def step(n: int) -> ev.StepEnded:
    return ev.StepEnded(
        task=0, phase="stream", step=n, phase_step=n, phase_steps=9, epoch=0, samples=n, losses={"loss": 0.5}, lr=0.1
    )


@pytest.fixture
def run(store: RunStore) -> Run:
    return store.create(toy("finetune"))


# -- creating and finding


def test_a_new_run_holds_its_complete_configuration(store: RunStore) -> None:
    config = toy("rm", seed=7)
    run = store.create(config)
    assert run.config() == config
    assert run.id.endswith("-toy-rm-s7")
    assert sorted(p.name for p in run.folder.iterdir()) == ["checkpoint", "config.toml", "described.json", "memory"]
    assert run.result() is None
    assert list(run.events()) == []
    assert run.status().state == "starting"


def test_runs_of_one_second_get_folders_of_their_own(store: RunStore) -> None:
    made = [store.create(toy("finetune")) for _ in range(4)]
    assert len({r.id for r in made}) == 4
    assert {r.id for r in store} == {r.id for r in made}


def test_finding_by_path_id_beginning_part_and_last(store: RunStore) -> None:
    for name in ("20250101-000000-alpha-s1", "20250102-000000-beta-s1", "20250102-000000-beta-s12"):
        folder = store.folder / name
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text("")
    assert store.find("20250101").id.endswith("alpha-s1")
    assert store.find("alpha").id.endswith("alpha-s1")
    assert store.find("20250102-000000-beta-s1").id.endswith("beta-s1"), "a whole id wins over a beginning"
    assert store.find("last").id.endswith("s12")
    assert store.find(str(store.folder / "20250101-000000-alpha-s1")).id.endswith("alpha-s1")
    with pytest.raises(UsageError, match="'beta' could be 2 runs: 20250102-000000-beta-s12, 20250102-000000-beta-s1"):
        store.find("beta")
    with pytest.raises(UsageError, match="no run 'gamma' in "):
        store.find("gamma")
    assert [r.id[-8:] for r in store] == ["beta-s12", "-beta-s1", "alpha-s1"], "newest first"


def test_an_empty_or_missing_store(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "nowhere")
    assert list(store) == []
    with pytest.raises(UsageError, match=r"no run 'x': there are no runs in .*nowhere"):
        store.find("x")


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match=r"--runs .*file/runs: cannot be written: Not a directory"):
        RunStore(tmp_path / "file" / "runs").create(toy("finetune"))


def test_where_runs_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLLAB_RUNS", str(tmp_path / "env"))
    assert runs_folder("given") == Path("given")
    assert runs_folder() == tmp_path / "env"
    monkeypatch.delenv("CLLAB_RUNS")
    assert runs_folder() == Path("runs")


# -- the log


def test_records_are_read_back_in_order_and_stamped(run: Run) -> None:
    sink = run.sink()
    for n in range(3):
        sink(task(n))
    sink.close()
    events = list(run.events())
    assert [e.task for e in events] == [0, 1, 2]  # type: ignore[attr-defined]
    assert all(abs(e.t - time.time()) < 60 for e in events)
    assert sink.bytes == run.events_path.stat().st_size


def test_a_torn_last_line_is_not_a_record_and_is_completed_later(run: Run) -> None:
    sink = run.sink()
    sink(task(0))
    line = ev.to_line(task(1))
    with run.events_path.open("a") as file:
        file.write(line[:20])
    assert len(list(run.events())) == 1
    assert run.last_event() == list(run.events())[-1]
    tail = Tail(run.events_path)
    assert len(tail.read()) == 1
    assert tail.read() == []
    with run.events_path.open("a") as file:
        file.write(line[20:] + "\n")
    assert [e.task for e in tail.read()] == [1]  # type: ignore[attr-defined]


def test_rubbish_in_the_middle_is_passed_over(run: Run) -> None:
    lines = [ev.to_line(task(0)), "rubbish", '{"kind":"Unheard"}', "", ev.to_line(task(1))]
    run.events_path.write_text("\n".join(lines) + "\n")
    assert [e.task for e in run.events()] == [0, 1]  # type: ignore[attr-defined]


def test_a_log_longer_than_one_read_is_read_whole(run: Run) -> None:
    line = ev.to_line(ev.Warned(message="x" * 3000)) + "\n"
    n = (9 << 20) // len(line)
    run.events_path.write_text(line * n + ev.to_line(ev.RunEnded(status="done")) + "\n")
    events = list(run.events())
    assert len(events) == n + 1
    assert isinstance(events[-1], ev.RunEnded)
    assert len(list(run.events(follow=True))) == n + 1


def test_a_hole_in_a_log_is_passed_over_and_not_kept(run: Run) -> None:
    records = [f"{ev.to_line(task(n))}\n".encode() for n in range(4)]
    run.events_path.write_bytes(records[0] + bytes(40 << 20) + b"\n" + b"".join(records[1:3]))
    tail, found = Tail(run.events_path), []
    while events := tail.read(1 << 20) or (tail.position < run.events_path.stat().st_size and [None]):
        found += [e.task for e in events if e is not None]  # type: ignore[attr-defined]
        assert len(tail._rest) < 18 << 20
    assert found == [0, 1, 2]
    write_atomically(run.events_path, bytes(20 << 20))
    while tail.position < 20 << 20:
        assert tail.read() == []
    write_atomically(run.events_path, records[3])
    assert [e.task for e in tail.read()] == [3]  # type: ignore[attr-defined]


def test_a_rewritten_log_is_read_anew(run: Run) -> None:
    tail = Tail(run.events_path)
    assert tail.read() == []
    run.events_path.write_text("".join(ev.to_line(task(n)) + "\n" for n in range(5)))
    assert len(tail.read()) == 5
    assert not tail.restarted
    write_atomically(run.events_path, "".join(ev.to_line(task(10 + n)) + "\n" for n in range(5)))
    assert [e.task for e in tail.read()] == [10, 11, 12, 13, 14]  # type: ignore[attr-defined]
    assert tail.restarted
    tail.read()
    assert not tail.restarted
    run.events_path.write_text(ev.to_line(task(20)) + "\n")  # cut in place
    assert [e.task for e in tail.read()] == [20]  # type: ignore[attr-defined]
    assert tail.restarted


def test_resuming_cuts_the_log_at_the_checkpoint_and_keeps_the_rest_aside(run: Run) -> None:
    sink = run.sink()
    sink(task(0))
    keep = sink.bytes
    sink(task(1))
    sink(task(2))
    sink.close()
    again = run.sink(keep_bytes=keep)
    assert again.bytes == keep
    again(task(7))
    assert [e.task for e in run.events()] == [0, 7]  # type: ignore[attr-defined]
    aside = (run.folder / "discarded.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["task"] for line in aside] == [1, 2]


def test_a_write_that_falls_short_leaves_no_half_line(run: Run) -> None:
    sink = run.sink()
    sink(task(0))
    whole = run.events_path.read_bytes()

    class Short:
        def __init__(self, file: object) -> None:
            self.file = file

        def write(self, data: bytes) -> int:
            return self.file.write(data[:10])  # type: ignore[attr-defined,no-any-return]

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

    sink._file = Short(sink._file)  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left"):
        sink(task(1))
    assert run.events_path.read_bytes() == whole


def test_following_a_run_while_it_is_written(run: Run) -> None:
    lock = RunLock(run.lock_path)

    def write() -> None:
        sink = run.sink()
        for n in range(30):
            sink(task(n))
            time.sleep(0.002)
        sink(ev.RunEnded(status="done"))

    writer = threading.Thread(target=write)
    writer.start()
    seen = list(run.events(follow=True, poll=0.001))
    writer.join()
    lock.release()
    assert [e.task for e in seen[:-1]] == list(range(30))  # type: ignore[attr-defined]
    assert isinstance(seen[-1], ev.RunEnded)


def test_following_ends_when_the_process_is_lost(run: Run) -> None:
    run.sink()(task(0))
    assert len(list(run.events(follow=True, poll=0.001))) == 1


def test_concurrent_readers_never_see_a_mixed_line(run: Run) -> None:
    done = threading.Event()
    wrong: list[bytes] = []

    def read() -> None:
        while not done.is_set():
            data = run.events_path.read_bytes() if run.events_path.exists() else b""
            wrong.extend(line for line in data.split(b"\n")[:-1] if ev.from_line(line) is None)

    reader = threading.Thread(target=read)
    reader.start()
    sink = run.sink()
    for n in range(300):
        sink(step(n))
    done.set()
    reader.join()
    assert not wrong


# -- status


@posix
def test_status_follows_lock_and_log(run: Run) -> None:
    lock = RunLock(run.lock_path)
    assert run.status().state == "starting"
    sink = run.sink()
    sink(task(0))
    status = run.status()
    assert (status.state, status.pid) == ("training", os.getpid())
    sink(ev.Paused(task=0, step=3))
    assert run.status().state == "paused"
    lock.release()
    lost = run.status()
    assert lost.state == "lost"
    assert "worker.log" in lost.reason
    sink(ev.RunEnded(status="failed", reason="no luck"))
    assert (run.status().state, run.status().reason) == ("failed", "no luck")


def made_long_ago(run: Run) -> None:
    old = time.time() - 3600
    os.utime(run.folder, (old, old))


def test_a_folder_for_which_nothing_was_started_is_lost_after_a_while(run: Run) -> None:
    assert run.status().state == "starting"
    made_long_ago(run)
    assert (run.status().state, run.status().reason) == ("lost", "it never started")


SLEEPER = f"{sys.executable} -c 'import time; time.sleep(60)'"
"""A training process on a machine so busy that it does not come up."""


@posix
def test_a_process_that_is_slow_to_come_up_is_starting_until_it_dies(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", SLEEPER)
    process = run.start_worker()
    made_long_ago(run)
    assert (run.status().state, run.status().pid, run.is_alive) == ("starting", process.pid, True)
    run.command("stop")
    assert run.wish("starting") == "stopping"
    with pytest.raises(LockedError, match=f"already being trained by process {process.pid}"):
        run.start_worker()
    with pytest.raises(LockedError, match="stop it first"):
        run.delete()
    assert run.kill()
    process.wait()
    status = run.status()
    assert (status.state, status.reason) == ("lost", "its process ended before it began to train; see worker.log")
    assert not run.kill()


@posix
def test_a_run_that_is_taken_up_again_is_starting_until_it_trains(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", SLEEPER)
    RunLock(run.lock_path).release()
    run.sink()(ev.RunEnded(status="stopped", reason="stopped on request"))
    assert run.status().state == "stopped"
    process = run.start_worker(resume=True)
    assert run.status().state == "starting"
    with pytest.raises(LockedError):  # whatever it is that trains here later, this folder has its process
        run.start_worker(resume=True)
    lock = run.take()
    assert not run.launched_path.exists()
    assert run.status().pid == os.getpid()
    lock.release()
    assert run.status().state == "stopped", "although the process that was started still lives"
    process.kill()
    process.wait()


def test_a_launcher_that_cannot_be_started_leaves_a_run_that_can(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", "/nothing/there")
    with pytest.raises(FileNotFoundError):
        run.start_worker()
    assert not run.is_alive
    monkeypatch.setenv("CLLAB_WORKER_CMD", f"{sys.executable} -c 0")
    assert run.start_worker().wait() == 0


def test_several_folders_are_made_or_none(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    made, create = [], RunStore.create

    def full(self: RunStore, config: RunConfig) -> Run:
        if len(made) == 2:
            raise UsageError("the disk is full")
        made.append(create(self, config))
        return made[-1]

    monkeypatch.setattr(RunStore, "create", full)
    with pytest.raises(UsageError, match="the disk is full"):
        store.create_all([toy("finetune", seed=seed) for seed in (1, 2, 3)])
    assert len(made) == 2
    assert list(store.folder.iterdir()) == []


@posix
def test_a_lock_is_held_by_one_and_released_by_death(run: Run) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom cllab.record.lock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1]))\nprint('locked', flush=True)\ntime.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(run.lock_path)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        assert is_locked(run.lock_path)
        with pytest.raises(LockedError, match=f"is already being trained by process {child.pid}; use cllab attach"):
            RunLock(run.lock_path)
        with pytest.raises(LockedError, match="stop it first"):
            run.delete()
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
    assert not is_locked(run.lock_path)
    RunLock(run.lock_path).release()
    run.delete()
    assert not run.folder.exists()


@posix
def test_a_forked_child_does_not_keep_the_lock(run: Run) -> None:
    lock = RunLock(run.lock_path)
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - the child
        os.write(tell, b".")
        time.sleep(60)
        os._exit(0)
    try:
        assert os.read(ready, 1) == b"."
        assert is_locked(run.lock_path)
        lock.release()
        assert not is_locked(run.lock_path), "although the child still lives"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(tell)


@posix
def test_a_stop_that_cannot_be_written_down_is_a_signal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLLAB_WORKER_CMD", SLEEPER)
    process = run.start_worker()
    run.control_path.mkdir()  # in the way of the file, as a full disk is
    run.stop()
    assert process.wait(20) == -signal.SIGTERM
    with pytest.raises(CllabError, match=r"Is a directory: .*control"):
        run.stop()


def test_commands_need_a_known_name(run: Run) -> None:
    with pytest.raises(UsageError, match="pause"):
        run.command("puase")
    run.command("pause")
    assert run.control_path.read_text().split()[1] == "pause"


# -- files


def test_the_configuration_of_a_run_that_was_edited_out_of_shape(run: Run) -> None:
    before, train, after = run.config_path.read_text().partition("[train]")
    run.config_path.write_text(before + train + after.replace("lr = 0.05", "lr = -3"))
    with pytest.raises(UsageError, match=r"config.toml:\d+: train.lr must be a number from 0 to 100, not -3"):
        run.config()
    run.config_path.unlink()
    with pytest.raises(UsageError, match=r"config\.toml: No such file"):
        run.config()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"status": '])
def test_a_torn_result_is_no_result(text: str, run: Run) -> None:
    run.result_path.write_text(text)
    assert run.result() is None


def test_writing_atomically_never_shows_half(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomically(path, "old")
    path.with_name(f"x.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new" * 10_000)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_the_log_of_the_process_is_shown_from_its_end(run: Run) -> None:
    assert run.log_tail() == []
    run.log_path.write_bytes(b"\xff bad byte\n" + b"".join(b"line %d\n" % n for n in range(50)))
    assert run.log_tail(2) == ["line 48", "line 49"]


def test_a_sink_appends_to_what_is_there(run: Run) -> None:
    run.sink()(task(0))
    EventWriter(run.events_path)(task(1))
    assert [e.task for e in run.events()] == [0, 1]  # type: ignore[attr-defined]
