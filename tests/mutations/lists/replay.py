"""Methods that replay, project and interpolate."""

from tests.mutations.mutant import of

PROJECTION = "tests/methods/test_oracles_projection.py"


def oracles(*names: str) -> str:
    """These tests of replay."""
    return " ".join(f"tests/methods/test_oracles_replay.py::test_{name}" for name in names)


def published(*names: str) -> str:
    """These tests of the bilevel methods' displacements and memories."""
    return " ".join(f"tests/methods/test_bilevel.py::test_{name}" for name in names)


INNER = oracles(
    "the_inner_loss_term_by_term",
    "targets_are_what_the_network_said_when_the_task_was_over",
    "bcl_single_goes_a_share_of_the_way_of_its_inner_steps",
)

MUTANTS = [
    *of(
        "cllab/methods/er.py",
        oracles(
            "er_is_the_mean_over_stream_and_replay_together",
            "rehearsing_er_draws_nothing_and_offers_its_memory_nothing",
            "halves_are_a_mean_each_with_statistics_of_their_own",
        )
        + " tests/methods/test_replay.py::test_er_remembers_samples_as_they_were_and_not_as_they_were_augmented"
        + " tests/methods/test_replay.py::test_er_offers_a_policy_that_looks_at_whole_tasks_every_task_once",
        (
            "offers its memory to itself while rehearsing",
            'if batch.phase == "stream" and not self',
            "if not self",
        ),
        ("replays while rehearsing", 'if batch.phase == "stream" and len(memory)', "if len(memory)"),
        (
            "a policy for whole tasks is offered nothing",
            "self.remember(task.train if self.learner.memory.info.per_task else None)",
            "self.remember(None)",
        ),
        ("as many as the batch whatever is asked", "self.config.replay_size or len(batch.y)", "len(batch.y)"),
        (
            "replayed samples are not normalized",
            "rp.with_replay(batch, learner.augment(raw), y)",
            "rp.with_replay(batch, raw.float(), y)",
        ),
        ("never the comparison's modes", "return cls if config.is_plain else ERControl", "return cls"),
    ),
    *of(
        "cllab/methods/_replay.py",
        oracles(
            "er_is_the_mean_over_stream_and_replay_together", "er_with_mixed_images_mixes_the_streams_labels_alone"
        ),
        ("replayed samples only", "x=torch.cat([batch.x, x]), y=torch.cat([batch.y, y])", "x=x, y=y"),
        (
            "replayed samples mix with the stream's labels",
            "torch.cat([batch.y_mix, y])",
            "torch.cat([batch.y_mix, y.flip(0)])",
        ),
    ),
    *of(
        "cllab/methods/_er_control.py",
        oracles("halves_are_a_mean_each_with_statistics_of_their_own", "modes_of_a_comparison_come_one_by_one")
        + " tests/methods/test_task_aware.py::test_replay_takes_as_many_steps_as_asked"
        + " tests/methods/test_task_aware.py::test_rehearsing_the_control_draws_nothing_and_offers_nothing",
        (
            "offers its memory to itself while rehearsing",
            'if batch.phase == "stream" and not self',
            "if not self",
        ),
        ("replays while rehearsing", 'len(batch.y)) if batch.phase == "stream" else None', "len(batch.y))"),
        (
            "a policy for whole tasks is offered nothing",
            "self.remember(task.train if self.learner.memory.info.per_task else None)",
            "self.remember(None)",
        ),
        (
            "halves: both at once although batch-normalized",
            "rp.forwards(learner.model, batch.x, learner.augment(raw), apart=self.apart)",
            "rp.forwards(learner.model, batch.x, learner.augment(raw), apart=False)",
        ),
        (
            "halves: replay competes with all classes",
            '"replay": cross_entropy(learner.heads, old, y)',
            '"replay": cross_entropy(None, old, y)',
        ),
        (
            "halves: replay counts double",
            '"replay": cross_entropy(learner.heads',
            '"replay": 2 * cross_entropy(learner.heads',
        ),
        ("halves whatever is asked", 'if self.config.weighting == "samples":', "if False:"),
        (
            "past: the current task is replayed",
            "memory.take(memory.draw(n, generator)[0])",
            "memory.take(memory.draw(n, generator, current=True)[0])",
        ),
        ("one step a batch", "for _ in range(self.config.steps):", "for _ in range(1):"),
    ),
    *of(
        "cllab/methods/agem.py",
        f"{PROJECTION} tests/methods/test_gem.py",
        (
            "draws from the current task",
            'learner.rng.cpu("replay"))\n        raw',
            'learner.rng.cpu("replay"), current=True)\n        raw',
        ),
        (
            "draws from the current task alone",
            "raw, y = memory.take(rows)",
            "raw, y = memory.take(memory.rows(-1) if len(memory.rows(-1)) else rows)",
        ),
        ("all of the past instead of a sample", "memory.draw(self.config.reference_size,", "memory.draw(10**6,"),
        ("projects always", "share = product.clamp(max=0)", "share = product"),
        ("projects what agrees", "share = product.clamp(max=0)", "share = product.clamp(min=0)"),
        ("adds the whole reference", "/ (flat @ flat).clamp(min=1e-30)", "/ (flat @ flat).clamp(min=1e-30).sqrt()"),
        (
            "the reference competes with all classes",
            "loss = cross_entropy(learner.heads,",
            "loss = cross_entropy(None,",
        ),
        ("the reference is not normalized", "learner.model(learner.augment(raw))", "learner.model(raw.float())"),
        (
            "is projected in other phases too",
            'if batch.phase != "stream" or learner.memory.capacity == 0:',
            "if learner.memory.capacity == 0:",
        ),
        ("stores in other phases too", '        if batch.phase == "stream":\n', "        if True:\n"),
        (
            "stores before it learns",
            "        learner = self.learner\n        if batch.phase",
            "        learner = self.learner\n        self.after_step(batch)\n        if batch.phase",
        ),
    ),
    *of(
        "cllab/methods/gem.py",
        f"{PROJECTION} tests/methods/test_gem.py",
        (
            "the current task constrains itself",
            "for k in range(len(memory.tasks) - 1)",
            "for k in range(len(memory.tasks))",
        ),
        (
            "the first task does not constrain",
            "for k in range(len(memory.tasks) - 1)",
            "for k in range(1, len(memory.tasks) - 1)",
        ),
        ("projects when all are violated", "if (toward < 0).any():", "if (toward < 0).all():"),
        ("projects always", "if (toward < 0).any():", "if True:"),
        (
            "without a margin",
            "dual(gram, toward, self.config.margin, self.config.ridge)",
            "dual(gram, toward, 0.0, self.config.ridge)",
        ),
        (
            "without a ridge",
            "dual(gram, toward, self.config.margin, self.config.ridge)",
            "dual(gram, toward, self.config.margin, 1e-12)",
        ),
        (
            "the past is taken away",
            "step = own + torch.from_numpy(v).to(own) @ past",
            "step = own - torch.from_numpy(v).to(own) @ past",
        ),
        ("memories of the task before", "        self.past = []\n        rp.begin_task", "        rp.begin_task"),
        (
            "is not normalized",
            "[(learner.normalize(raw), y) for raw, y in taken if len(y)]",
            "[(raw.float(), y) for raw, y in taken if len(y)]",
        ),
        ("in other phases too", 'if batch.phase != "stream" or memory.capacity == 0', "if memory.capacity == 0"),
    ),
    *of(
        "cllab/methods/_gradients.py",
        f"{PROJECTION} tests/methods/test_gem.py",
        (
            "memory competes with all classes",
            "loss = cross_entropy(learner.heads, learner.model(x), y)\n        gradients",
            "loss = cross_entropy(None, learner.model(x), y)\n        gradients",
        ),
        (
            "vectorized: all classes compete",
            "return cross_entropy(learner.heads, torch.func",
            "return cross_entropy(None, torch.func",
        ),
    ),
    *of(
        "cllab/methods/_qp.py",
        f"tests/methods/test_gem.py {PROJECTION}",
        ("the margin is not in the slope", "products + margin * p.sum(axis=1)", "products"),
        ("the margin is not added", "return margin + nonnegative", "return nonnegative"),
        (
            "the ridge is forgotten",
            "(gram + gram.T) / 2 + ridge * np.eye(len(gram))",
            "(gram + gram.T) / 2 + 1e-12 * np.eye(len(gram))",
        ),
        ("one variable at most", "for _ in range(30 * max(n, 1)):", "for _ in range(1):"),
        ("leaves the quadrant", "if not free.any() or wanted[free].min() > 0:", "if True:"),
    ),
    *of(
        "cllab/methods/ftml.py",
        oracles(
            "ftml_goes_on_the_batch_and_then_on_the_whole_memory_of_a_drawn_task",
            "ftml_draws_every_task_so_far_and_the_current_one_alike",
        ),
        (
            "never draws the current task",
            "torch.randint(len(memory.tasks), (1,)",
            "torch.randint(max(1, len(memory.tasks) - 1), (1,)",
        ),
        ("draws the current task alone", "memory.take(memory.rows(drawn))", "memory.take(memory.rows(-1))"),
        (
            "never draws the first task",
            "torch.randint(len(memory.tasks), (1,)",
            "torch.randint(min(1, len(memory.tasks) - 1), len(memory.tasks), (1,)",
        ),
        ("a part of a task's memory", "memory.take(memory.rows(drawn))", "memory.take(memory.rows(drawn)[:4])"),
        (
            "all classes compete in replay",
            "cross_entropy(self.learner.heads, self.learner.model(x), y)",
            "cross_entropy(None, self.learner.model(x), y)",
        ),
        (
            "one interpolation for all",
            "with bi.part_of_the_way(self.learner, config.beta,",
            "with bi.part_of_the_way(self.learner, 1.0,",
        ),
        ("one step on every task", "for _ in range(config.inner_steps):", "for _ in range(1):"),
        (
            "no steps on the batch",
            "terms = self._go(lambda: self.loss(batch), batch, descend)",
            "terms = self.loss(batch)",
        ),
        ("stores the batch afterwards", "        rp.store(batch, learner)\n", "        learner.memory.open(learner)\n"),
    ),
    *of(
        "cllab/methods/_bilevel.py",
        f"{INNER} "
        + oracles(
            "the_published_targets_are_of_a_pass_in_training_mode",
            "statistics_follow_or_are_interpolated",
            "adaptation_takes_full_batch_steps_on_a_tasks_memory",
        ),
        ("without the temperature", "(scores / temperature).log_softmax(dim=1)", "scores.log_softmax(dim=1)"),
        ("targets without the temperature", "(own / config.temperature).softmax(dim=1)", "own.softmax(dim=1)"),
        (
            "with the factor temperature^2",
            "return found / (len(scores)",
            "return temperature**2 * found / (len(scores)",
        ),
        (
            "the mean over the batch is one over elements",
            'len(scores) if mean == "batch" else scores.numel()',
            "scores.numel()",
        ),
        (
            "the mean over elements is one over the batch",
            'len(scores) if mean == "batch" else scores.numel()',
            "len(scores)",
        ),
        (
            "the teacher is in train mode",
            'learner.model.train(config.teacher == "train" and len(rows) > 1)',
            "learner.model.train(len(rows) > 1)",
        ),
        (
            "the published teacher is in eval mode",
            'learner.model.train(config.teacher == "train" and len(rows) > 1)',
            "learner.model.train(False)",
        ),
        ("targets of the first task again", "rows = memory.rows(-1)", "rows = memory.rows(0)"),
        (
            "targets know new classes",
            "scores[:, : max(learner.old) + 1] if learner.heads is None",
            "scores if learner.heads is None",
        ),
        (
            "targets over all classes where tasks are named",
            "else learner.heads.scores(scores, labels)\n    memory",
            "else scores\n    memory",
        ),
        (
            "distils the stream",
            "own = old if learner.heads is None",
            "own = mine[: len(y)] if learner.heads is None and len(mine) >= len(y) else old if learner.heads is None",
        ),
        ("strength is forgotten", "config.strength * divergence(", "divergence("),
        (
            "replay is not in the loss",
            '"replay": cross_entropy(learner.heads, old, y)}',
            '"replay": 0 * cross_entropy(learner.heads, old, y)}',
        ),
        (
            "replay competes with all classes",
            '"replay": cross_entropy(learner.heads, old, y)}',
            '"replay": cross_entropy(None, old, y)}',
        ),
        (
            "replay is not augmented nor normalized",
            "batch.x, learner.augment(raw), apart=apart",
            "batch.x, raw.float(), apart=apart",
        ),
        (
            "targets of other samples",
            ".index_select(0, rows)\n        terms",
            ".index_select(0, rows.flip(0))\n        terms",
        ),
        (
            "the share that is left instead of kept",
            "torch._foreach_lerp_(values, start, 1 - share)",
            "torch._foreach_lerp_(values, start, share)",
        ),
        ("the whole way", "    interpolate(values, start, beta)\n", "    pass\n"),
        (
            "statistics follow although interpolated",
            'moving(learner.model, buffers=statistics == "interpolate")',
            "moving(learner.model, buffers=False)",
        ),
        (
            "adapts in train mode",
            "copy.deepcopy(self.learner.model).eval()",
            "copy.deepcopy(self.learner.model).train()",
        ),
        ("adapts the network itself", "copy.deepcopy(self.learner.model).eval()", "self.learner.model.eval()"),
        ("adapts to all classes", "heads = None if self.every_class else self.learner.heads", "heads = None"),
        ("adapts once", "            for _ in range(self.steps):", "            for _ in range(1):"),
        ("climbs", "alpha=-self.lr", "alpha=self.lr"),
    ),
    *of(
        "cllab/methods/_tell.py",
        "tests/engine/test_trace.py "
        + oracles("the_length_of_a_way_is_that_of_all_weights_together")
        + " "
        + published("the_cosine_is_that_of_the_outer_update_and_a_gradient_of_plain_replay"),
        ("steps are not counted", "        self.number += 1\n", "        self.number = 1\n"),
        ("parts go on counting", 'f"{name}: " if name else "", 0', 'f"{name}: " if name else "", self.number'),
        ("the look moves the statistics", "learner.model.eval()  # a look", "learner.model.train()  # a look"),
        ("the network stays in eval mode", "        learner.model.train(was)\n", ""),
        ("a draw of the stream's replay", 'learner.rng.cpu("trace")', 'learner.rng.cpu("replay")'),
        ("inner gradients are not in the update", "g if p.grad is None else p.grad + g", "g"),
        ("the square of the length", "gaps.square().sum().sqrt()", "gaps.square().sum()"),
        ("the sum of the terms is their mean", "for t in terms.values()]).sum()", "for t in terms.values()]).mean()"),
        ("task numbers from 0", "index + 1", "index"),
    ),
    *of(
        "cllab/methods/bcl_single.py",
        INNER,
        (
            "draws from the current task",
            'memory.draw(config.replay_size, learner.rng.cpu("replay"))',
            'memory.draw(config.replay_size, learner.rng.cpu("replay"), current=True)',
        ),
        ("a step too few", "for _ in range(config.inner_steps):", "for _ in range(config.inner_steps - 1 or 1):"),
        (
            "passes together although batch-normalized",
            "self.apart = rp.has_batch_norm(self.learner.model)",
            "self.apart = False",
        ),
        ("no targets", "        bi.remember_targets(self.learner, self.config)\n", ""),
        ("does not replay", "config.replay and len(memory", "not config.replay and len(memory"),
        ("stores nothing", "        rp.store(batch, learner)\n", ""),
    ),
    *of(
        "cllab/methods/bcl_dual.py",
        oracles(
            "bcl_dual_steps_on_held_samples_at_a_rate_of_its_own",
            "validation_draws_reach_all_tasks_and_the_current_one",
            "all_earlier_samples_are_candidates_whatever_validates",
            "a_held_sample_keeps_the_labels_of_the_batch_together",
        )
        + " "
        + published(
            "displacement_of_a_batch_is_the_closed_form",
            "replay_and_validation_memory_hold_what_they_should",
            "published_draws_leave_out_the_numbers_of_the_validation_draw",
            "one_level_takes_as_many_steps",
            "one_level_goes_all_the_way_on_the_inner_objective",
        ),
        ("without its own outer rate", "lr=config.outer_lr or None", "lr=None"),
        ("validates on earlier tasks alone", 'part="held", current=True', 'part="held", current=False'),
        ("validates on what is replayed", 'part="held", current=True', 'part="replay", current=True'),
        (
            "validation competes with all classes",
            "loss = cross_entropy(learner.heads, learner.model(learner.augment(raw)), y)",
            "loss = cross_entropy(None, learner.model(learner.augment(raw)), y)",
        ),
        (
            "gradients are never cleared",
            'clear = self._validates(), config.gradients == "cleared"',
            "clear = self._validates(), False",
        ),
        (
            "gradients are always cleared",
            'clear = self._validates(), config.gradients == "cleared"',
            "clear = self._validates(), True",
        ),
        ("no outer step", "                if validates:\n", "                if False:\n"),
        ("one iteration", "        for i in range(config.meta_steps):", "        for i in range(1):"),
        ("one inner step", "                for k in range(config.inner_steps):", "                for k in range(1):"),
        (
            "draws as published",
            'left_out = self.latest if config.draws == "published" else None',
            "left_out = self.latest",
        ),
        (
            "never draws as published",
            'left_out = self.latest if config.draws == "published" else None',
            "left_out = None",
        ),
        ("the held sample is trained on", "rest = batch.without_first()", "rest = batch"),
        ("what leaves is lost", "        if block.filled == block.size:\n", "        if False:\n"),
        (
            "the last sample is held",
            'memory.write(batch.raw[:1], batch.y[:1], batch.ids[:1], self.learner, part="held")',
            'memory.write(batch.raw[-1:], batch.y[-1:], batch.ids[-1:], self.learner, part="held")',
        ),
        ("another share is held", "held=self.config.validation", "held=0.2"),
        (
            "replay is offered the batch before the exchange",
            "            batch = self._exchange(batch)\n            rp.ring(learner.memory)",
            "            batch, whole = self._exchange(batch), batch\n            rp.ring(learner.memory).write("
            "whole.raw, whole.y, whole.ids, learner)\n            rp.ring(learner.memory)",
        ),
        (
            "inner steps are too few for one level",
            "range(self.config.meta_steps * (self.config.inner_steps + self._validates()))",
            "range(self.config.meta_steps * self.config.inner_steps)",
        ),
        ("one level is two", 'return _OneLevel if config.levels == "one" else cls', "return cls"),
        (
            "batches of one where statistics are needed",
            "return 2 if self.apart else 1",
            "return 1",
        ),
    ),
    *of(
        "cllab/methods/_replay.py",
        INNER,
        ("one pass although apart", "    if apart or len(batches) == 1:\n", "    if len(batches) == 1:\n"),
        (
            "no network is batch-normalized",
            "return any(isinstance(module, (_BatchNorm, BatchRenorm)) for module in model.modules())",
            "return False",
        ),
        ("not all of the stream is stored", "len(fresh), device", "len(fresh) - 1, device"),
    ),
    *of(
        "cllab/methods/_replay.py",
        oracles(
            "er_is_the_mean_over_stream_and_replay_together",
            "rehearsing_er_draws_nothing_and_offers_its_memory_nothing",
        )
        + " tests/memory tests/methods/test_bilevel.py"
        + " tests/methods/test_replay.py::test_er_remembers_samples_as_they_were_and_not_as_they_were_augmented",
        (
            "stores the images as they were augmented",
            "Split(TensorImages(fresh.raw), positions",
            "Split(TensorImages(fresh.x.clamp(0, 1).mul(255).byte()), positions",
        ),
        (
            "stores one sample of a batch",
            "positions = torch.arange(len(fresh), device=fresh.y.device)",
            "positions = torch.arange(1)",
        ),
    ),
    *of(
        "cllab/learner/heads.py",
        "tests/learner/test_heads.py",
        (
            "a label is its own place",
            "F.cross_entropy(self.scores(logits, y), self.place.index_select(0, y))",
            "F.cross_entropy(self.scores(logits, y), y % self.width)",
        ),
        ("closed places compete", "own.masked_fill(~self.open.index_select(0, tasks), CLOSED)", "own"),
        (
            "all classes compete",
            "return F.cross_entropy(logits, y) if heads is None else",
            "return F.cross_entropy(logits, y) if True else",
        ),
        (
            "the current head is an earlier one",
            "self.tasks[:before].flatten()).view(len(logits), before, -1)",
            "self.tasks[1 : before + 1].flatten()).view(len(logits), before, -1)",
        ),
        ("shared labels have heads", "if len(parts) < 2 or len(flat) != len(set(flat)):", "if len(parts) < 2:"),
    ),
    *of(
        "cllab/learner/batch.py",
        "tests/engine/test_loop.py::test_half_and_half_batches_are_stream_first_then_memory",
        ("the stream is all of the batch", "return Samples(self.x[:n], self.y[:n]", "return Samples(self.x, self.y"),
        ("replayed samples are the stream's", "self.raw[n:], self.ids[n:]", "self.raw[:n], self.ids[:n]"),
        ("what was replayed is the stream's", "values[: self.n_stream], values[self.n_stream :]", "values, values"),
    ),
    *of(
        "cllab/learner/batch.py",
        "tests/methods/test_oracles_streams.py "
        + oracles(
            "er_is_the_mean_over_stream_and_replay_together", "halves_are_a_mean_each_with_statistics_of_their_own"
        ),
        ("the other label's share", "self.share * loss + (1 - self.share) *", "(1 - self.share) * loss + self.share *"),
        ("mixed images count as whole", "        if self.y_mix is None or self.share is None:\n", "        if True:\n"),
        (
            "a batch competes with all classes",
            "loss = cross_entropy(self.heads, logits, self.y)",
            "loss = cross_entropy(None, logits, self.y)",
        ),
    ),
    *of(
        "cllab/learner/learner.py",
        "tests/methods/test_oracles_streams.py "
        + oracles(
            "er_is_the_mean_over_stream_and_replay_together", "halves_are_a_mean_each_with_statistics_of_their_own"
        ),
        ("a teacher is in train mode", "{id(front): front}).eval()", "{id(front): front}).train()"),
        (
            "a teacher learns on",
            "copy.deepcopy(self.model, {} if front is None else {id(front): front}).eval()",
            "self.model",
        ),
        ("bulk passes are in train mode", "        self.model.eval()\n", ""),
        (
            "features are not normalized",
            "yield self.normalize(split.fetch(part)), split.labels[part]",
            "yield split.fetch(part).float(), split.labels[part]",
        ),
    ),
    *of(
        "cllab/methods/base.py",
        "tests/methods/test_oracles_streams.py "
        + oracles(
            "er_is_the_mean_over_stream_and_replay_together", "halves_are_a_mean_each_with_statistics_of_their_own"
        )
        + " tests/methods/test_replay.py::test_augmented_rows_stay_in_their_places",
        (
            "the memory is rehearsed as a stream",
            'yield Phase("memory", **rehearsal)',
            'yield Phase("memory", task.train, **rehearsal)',
        ),
        ("the memory is offered nothing", "        yield Offer(offered)\n", "        yield Offer(None)\n"),
        ("the stream alone", "task.train, replay=self.info.replay)", "task.train)"),
    ),
]
