"""How stream and memory make batches, and what a task begins with."""

from tests.mutations.mutant import of

STREAMS = "tests/methods/test_oracles_streams.py"
TASKS = "tests/methods/test_replay.py::test"

MUTANTS = [
    *of(
        "cllab/methods/rm.py",
        f"{STREAMS} {TASKS}_gdumb_trains_on_its_memory_alone {TASKS}_gdumb_draws_a_fresh_network_at_every_task",
        ("half a batch in the memory phase", 'if self.config.memory_batch == "half" else size', "if True else size"),
        ("never half a batch", 'if self.config.memory_batch == "half" else size', "if False else size"),
        ("the last batch is dropped", "drop_last=False)", "drop_last=True)"),
        ("mixed as one set", 'task.train, replay="half")', 'task.train, replay="concat")'),
    ),
    *of(
        "cllab/methods/gdumb.py",
        f"{STREAMS} {TASKS}_gdumb_trains_on_its_memory_alone {TASKS}_gdumb_draws_a_fresh_network_at_every_task",
        ("goes on with its network", "learner.begin_anew(self.config.head)", "None"),
        (
            "trains on the stream",
            'yield Phase("memory", epochs',
            'yield Phase("memory", task.train, epochs',
        ),
        ("the memory has not seen the task", "        yield Offer(task.train)\n", ""),
    ),
    *of(
        "cllab/methods/joint.py",
        f"{STREAMS} {TASKS}_gdumb_trains_on_its_memory_alone {TASKS}_gdumb_draws_a_fresh_network_at_every_task",
        (
            "the current task alone",
            "splits = [t.train for t in learner.stream.tasks[: task.index + 1]]",
            "splits = [task.train]",
        ),
        (
            "the whole stream from the first task on",
            "learner.stream.tasks[: task.index + 1]]\n        if",
            "learner.stream.tasks]\n        if",
        ),
        (
            "waits for the last task always",
            'if self.config.when == "last" and task.index < learner',
            "if task.index < learner",
        ),
        ("goes on with its network", "learner.begin_anew(self.config.head)", "None"),
    ),
    *of(
        "cllab/methods/offline.py",
        STREAMS,
        ("the last task alone", "everything = join(everything, other.train)", "everything = other.train"),
        ("the epochs of [train]", "epochs=self.config.epochs)", "epochs=None)"),
        ("at every task", "        if task.index < len(tasks) - 1:\n", "        if False:\n"),
    ),
    *of(
        "cllab/engine/batches.py",
        STREAMS,
        ("half: more of the memory", "n_half = batch_size // 2", "n_half = batch_size // 4"),
        (
            "half: the same stored samples at every round",
            "drawn = torch.cat([torch.randperm(n_memory, generator=order_replay) for _ in range(rounds)])",
            "drawn = torch.cat([torch.arange(n_memory) for _ in range(rounds)])",
        ),
        (
            "half: the stream in its own order",
            "stream = torch.randperm(n, generator=order)[: steps * n_stream] + n_memory",
            "stream = torch.arange(n)[: steps * n_stream] + n_memory",
        ),
        ("half: stored samples instead of the stream's", "[: steps * n_stream] + n_memory", "[: steps * n_stream]"),
        (
            "half: the memory comes first",
            "torch.cat([stream.view(steps, -1), drawn.view(steps, -1)], dim=1)",
            "torch.cat([drawn.view(steps, -1), stream.view(steps, -1)], dim=1)",
        ),
        (
            "concat: not shuffled together",
            "flat = mixed_in\n",
            "flat = torch.cat([flat + n_memory, mixed_in[mixed_in < n_memory]])\n",
        ),
        ("the last batch is never dropped", "if not cuts or (not drop_last and rest > 1):", "if not cuts or rest > 1:"),
        ("the last batch is always dropped", "if not cuts or (not drop_last and rest > 1):", "if not cuts:"),
        (
            "CutMix labels of other samples",
            "permutation.to(y.device)).flatten())",
            "permutation.argsort(1).to(y.device)).flatten())",
        ),
        (
            "replay draws from the stream's generator",
            "for of, generator in ((0, drawing[0]), (1, drawing[-1])):",
            "for of, generator in ((0, drawing[0]), (1, drawing[0])):",
        ),
        ("images are not normalized", "x = learner.normalize(seen)", "x = seen.float()"),
        (
            "images are not augmented",
            "seen = augmented(learner, raw, sizes, epoch.from_stream[first:last], list(drawing.values()))",
            "seen = raw",
        ),
    ),
    *of(
        "cllab/engine/run.py",
        "tests/engine/test_checkpoint.py",
        ("a checkpoint at every task", "if over or pausing or self._is_old():", "if True:"),
        ("none at the end", "if over or pausing or self._is_old():", "if pausing or self._is_old():"),
        ("none by the clock at the end of a task", "if over or pausing or self._is_old():", "if over or pausing:"),
        ("work of no time has one before it", "if took is not None and took < UNSAVED_SECONDS:", "if False:"),
        ("work not known has none before it", "if took is not None and took < UNSAVED", "if (took or 0) < UNSAVED"),
        (
            "the record after the checkpoint",
            "                self.emit(ev.CheckpointSaved(task=task.index))\n                self.save()\n",
            "                self.save()\n                self.emit(ev.CheckpointSaved(task=task.index))\n",
        ),
    ),
    *of(
        "cllab/engine/run.py",
        "tests/methods/test_oracles_penalty.py tests/methods/test_oracles_streams.py "
        "tests/engine/test_loop.py::test_momentum_lives_through_the_phases_of_a_task_and_dies_with_it",
        (
            "an optimizer kept over tasks",
            '        self.loop.optimizers.drop("task")\n',
            "",
        ),
        (
            "the current task's classes are old",
            "learner.old = learner.seen\n",
            "learner.old = tuple(sorted({*learner.seen, *task.exposed}))\n",
        ),
        ("the head is drawn anew although it is kept", 'if self.config.train.head == "reset":', "if True:"),
        ("the head is kept although it is drawn anew", 'if self.config.train.head == "reset":', "if False:"),
        ("its own classes are all that are exposed", "learner.own = task.classes", "learner.own = task.exposed"),
    ),
]
