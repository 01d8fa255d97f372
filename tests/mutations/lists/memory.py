"""What a memory keeps and what is drawn from it."""

from tests.mutations.mutant import of

ORACLES = "tests/memory/test_oracles.py"
POLICIES = "tests/memory/test_policies.py"
SLOTS = "tests/memory/test_slots.py tests/memory/test_columns.py"


def some(*names: str) -> str:
    """The oracles, and these tests of the policies: the statistical ones take seconds."""
    return " ".join([ORACLES, *(f"{POLICIES}::test_{name}" for name in names)])


MUTANTS = [
    *of(
        "cllab/memory/base.py",
        some(
            "ranks_within_a_class_follow_the_given_order",
            "after_many_updates_the_memory_is_full_and_no_fuller",
            "every_class_gets_its_quota_and_scores_are_kept_beside_the_samples",
        )
        + f" {SLOTS}",
        ("what is stored is not a candidate", "return join(stored, replace(", "return (replace("),
        (
            "the task of a sample is the current one",
            "origin = task if new.origin is None else new.origin",
            "origin = task",
        ),
        (
            "draws with replacement",
            "torch.randperm(len(self), generator=generator)[:n], self.device)",
            "torch.randint(len(self), (n,), generator=generator), self.device)",
        ),
        (
            "draws the first ones",
            "torch.randperm(len(self), generator=generator)[:n], self.device)",
            "torch.arange(n), self.device)",
        ),
        (
            "labels of other samples are drawn",
            'self.slots.rows("labels", chosen), chosen',
            'self.slots.views()["labels"][:n], chosen',
        ),
        ("a sample entered at the first step", "torch.full_like(come, learner.step)", "torch.zeros_like(come)"),
        ("kept samples count as added", "self.added += len(come)", "self.added += len(positions)"),
        ("scores are lost", "blank if scores is None else scores)", "blank)"),
        (
            "one more than the capacity",
            "if len(candidates) <= self.capacity:",
            "if len(candidates) <= self.capacity + 1:",
        ),
        (
            "ranks do not follow the order",
            "by_class = order[torch.argsort(labels[order], stable=True)]",
            "by_class = torch.argsort(labels, stable=True)",
        ),
        (
            "ranks over all classes together",
            "torch.arange(len(order), device=order.device) - starts[sorted_labels]",
            "torch.arange(len(order), device=order.device)",
        ),
        ("filling does not put the chosen first", "key = noise - chosen.to(noise.dtype)", "key = noise"),
        (
            "filling in order instead of at random",
            "noise = torch.rand(len(chosen), generator=generator).to(chosen.device)",
            "noise = torch.arange(len(chosen)) / (len(chosen) + 1)",
        ),
    ),
    *of(
        "cllab/settings/budgets.py",
        "tests/settings/test_budgets.py",
        ("kB are KiB", '"kB": 10**3', '"kB": 2**10'),
        ("scores take nothing", 'SCORE if facts["memory"].get("score") else 0', "0"),
        ("every policy scores", 'SCORE if facts["memory"].get("score") else 0', "SCORE"),
        ("columns take nothing", "+ SCORE * len(columns) * (n_classes or 0)", ""),
        ("labels take nothing", "int(math.prod(shape)) + LABEL_AND_ORIGIN", "int(math.prod(shape))"),
        ("gray is color", '1 if values["channels"] == "gray" else 3', "3"),
        (
            "one more than fits",
            "size // (sample_bytes(config) or size + 1)",
            "-(-size // (sample_bytes(config) or size + 1))",
        ),
        ("behind a cut like an image", 'config.model.common["cut"] or (columns', "(columns"),
        ("both may be given", "elif given not in (None, capacity):", "elif False:"),
    ),
    *of(
        "cllab/memory/_slots.py",
        SLOTS,
        (
            "columns in the order of slots",
            "column[: self.size].clone() if order is None else",
            "column[: self.size] if True else",
        ),
        ("rows of other samples", "where = positions if self._order is None else", "where = positions if True else"),
        (
            "an order that is not the policy's",
            "        self._order = order\n",
            "        self._order = order.sort().values\n",
        ),
        ("samples beyond the filled slots stay there", "stays = slots < m", "stays = slots >= 0"),
        ("samples that move are lost", "name: column[move] for", "name: column[: len(move)] for"),
        ("slots of samples that stay are written", "taken[slots[stays]] = True", "taken[slots[~stays]] = True"),
        ("what was lent is written to", "and (self._lent is None or self._lent() is None):", "and True:"),
        ("every write goes on in a copy", 'if len(self._columns["labels"]) >= capacity and', "if False and"),
        ("a copy is empty", "self._columns[name][: self.size] = column[: self.size]", "pass"),
        ("a sample without a column has the former one's", "if name not in rows}", "if False}"),
        (
            "a column that comes later is zero",
            "column = nothing(capacity, values)",
            "column = 0 * nothing(capacity, values).nan_to_num()",
        ),
        (
            "assigned in the order of slots",
            "slice(0, self.size) if self._order is None else self._order",
            "slice(0, self.size)",
        ),
    ),
    *of(
        "cllab/memory/random.py",
        some("random_keeps_a_uniform_choice_of_memory_and_stream"),
        (
            "the first candidates",
            'torch.randperm(len(candidates), generator=learner.rng.cpu("memory"))',
            "torch.arange(len(candidates))",
        ),
        (
            "the same choice at every update",
            'generator=learner.rng.cpu("memory")',
            "generator=torch.Generator().manual_seed(0)",
        ),
    ),
    *of(
        "cllab/memory/class_balanced.py",
        some("greedy_sampler_balances_whatever_the_order", "after_many_updates_the_memory_is_full_and_no_fuller"),
        ("a sample of a largest class enters too", "if len(own) >= largest:", "if len(own) > largest:"),
        (
            "always the first of the largest classes loses",
            "source.choice(fullest)",
            "fullest[0]",
        ),
        ("any class loses a sample", "if len(members) == largest]", "if members]"),
        (
            "how large the largest are is never looked up again",
            "if len(fullest) == 1:",
            "if False:",
        ),
        (
            "the oldest of the class goes",
            "members[source.randrange(largest)] = members[-1]",
            "members[0] = members[-1]",
        ),
        (
            "the latest of the class goes",
            "members[source.randrange(largest)] = members[-1]",
            "members[-1] = members[-1]",
        ),
        (
            "samples are met in the order of the stream",
            "stream = n_old + torch.randperm(len(candidates) - n_old, generator=generator)",
            "stream = n_old + torch.arange(len(candidates) - n_old)",
        ),
        ("what is stored is forgotten", "held.setdefault(labels[i], []).append(i)", "held.setdefault(labels[i], [])"),
        (
            "quota over the classes at hand",
            "quota = capacity // max(1, len(learner.seen))",
            "quota = capacity // len(labels.unique())",
        ),
        (
            "one less of every class",
            "ranks_within_class(labels, order) < quota",
            "ranks_within_class(labels, order) < quota - 1",
        ),
        (
            "the first samples of every class",
            "order = torch.randperm(len(labels), generator=generator).to(labels.device)",
            "order = torch.arange(len(labels))",
        ),
    ),
    *of(
        "cllab/memory/reservoir.py",
        some("reservoir_sample_by_sample_equals_one_update", "a_restored_memory_goes_on_like_the_saved_one"),
        ("the exact rule is off by one", 'seen + (self.config.rule == "exact")', "seen"),
        ("the published rule is exact", 'seen + (self.config.rule == "exact")', "seen + 1"),
        ("a second update counts from nothing", "self.seen + fitting, fitting)", "fitting, fitting)"),
        ("samples seen are not counted", "        self.seen += n\n", "        self.seen += max(fitting, 1)\n"),
        ("few: every sample enters", "int(draw * max(1, first + i))", "int(draw * self.capacity)"),
        ("many: every sample enters", "(draws.numpy() * spans)", "(draws.numpy() * self.capacity)"),
        ("few: the first of them alone", "slot: position + i for i, slot", "slot: position for i, slot"),
        ("many: counted from the first", "(position + taken).tolist()", "taken.tolist()"),
        ("the first draws are those of what fits", "self._drawn(draws[fitting:],", "self._drawn(draws[: n - fitting],"),
        ("a replaced sample keeps its label", '"labels": new.labels[source]', '"labels": new.labels[: len(source)]'),
        ("identities of other samples", '"ids": new.sample_ids()[source]', '"ids": new.sample_ids()[: len(source)]'),
        (
            "the task of a sample is the first",
            "task = torch.full((count,), learner.task,",
            "task = torch.full((count,), 0,",
        ),
        ("the count is not saved", 'self.seen = int(state["seen"])', "self.seen = 0"),
    ),
    *of(
        "cllab/memory/prototype.py",
        some(
            "herding_equals_the_papers_algorithm_computed_naively",
            "prototype_memory_holds_the_herded_exemplars_best_first",
            "more_classes_cut_exemplars_by_rank",
            "the_published_herding_compares_directions",
            "a_class_that_comes_again_is_herded_anew_unless_as_published",
        ),
        (
            "features are not normalized",
            "phi = torch.nn.functional.normalize(learner.features(split), dim=1)",
            "phi = learner.features(split)",
        ),
        (
            "quota over old classes only",
            "quota = max(1, self.capacity // max(1, len(learner.seen)))",
            "quota = max(1, self.capacity // max(1, len(learner.old)))",
        ),
        ("exemplars are cut from the wrong end", "kept.append(old[:quota])", "kept.append(old[-quota:])"),
        (
            "a class that comes again keeps its exemplars",
            "elif len(old) >= quota and len(old) == len(members):",
            "elif len(old) >= quota:",
        ),
        (
            "old exemplars are no candidates",
            "kept.append(members[self._herd(candidates.subset(members), quota,",
            "members = members[members >= n_old]\n"
            "            kept.append(members[self._herd(candidates.subset(members), quota,",
        ),
        ("published: exemplars are cut by rank", "old = old[torch.argsort(noise[old])][:quota]", "old = old[:quota]"),
        (
            "published: a full class is herded anew",
            "                if len(old) >= quota:\n",
            "                if False:\n",
        ),
        (
            "published: running means are not directions",
            "return herd(phi, quota, self.means[name], normalize=True, look",
            "return herd(phi, quota, self.means[name], look",
        ),
        (
            "herding by the farthest",
            '.masked_fill(taken, float("inf")).argmin()',
            '.masked_fill(taken, -float("inf")).argmax()',
        ),
        ("a sample is herded twice", "taken = taken.index_fill(0, best.view(1), True)", "taken = taken"),
        (
            "herding forgets what it has",
            "total = total + phi.index_select(0, best.view(1)).squeeze(0)",
            "total = total",
        ),
        ("herding aims at the mean, not at k times it", "(total - k * target)", "(total - target)"),
        ("herding without the square", "cost = square + 2 *", "cost = 2 *"),
        (
            "the target is the median",
            "target = phi.mean(dim=0) if mean is None",
            "target = phi.median(dim=0).values if mean is None",
        ),
        ("herding ranks are not kept", "return positions, ranks.float()", "return positions, None"),
    ),
    *of(
        "cllab/memory/uncertainty.py",
        "tests/learner/test_heads.py::test_uncertainty_is_of_the_classes_of_a_samples_task "
        + some(
            "published_stride_example",
            "even_picks_are_at_floor_of_j_n_over_q",
            "small_classes_are_kept_whole",
            "ties_are_broken_by_the_seed_and_not_by_position",
            "every_class_gets_its_quota_and_scores_are_kept_beside_the_samples",
            "the_published_first_task_is_a_balanced_draw",
        ),
        ("uncertainty in train mode", "with learner.bulk(), learner.passes", "with learner.passes"),
        (
            "all classes are voted for where tasks are named",
            "own = scores if heads is None else",
            "own = scores[:, : heads.width] if heads else scores if heads is None else",
        ),
        (
            "uncertainty without normalization",
            "learner.model(learner.normalize(view(raw, generator)))",
            "learner.model(view(raw, generator).float() / 255)",
        ),
        ("the same view twelve times", "for view in views:", "for view in views[:1] * len(views):"),
        ("one view twice", "for view in views:", "for view in (*views[:-1], views[0]):"),
        (
            "every view is seen with the same draws",
            "                winner = ",
            "                generator.manual_seed(0)\n                winner = ",
        ),
        ("views without a perturbation", "view(raw, generator)", "raw"),
        (
            "the share of agreement instead of its complement",
            "return 1 - votes.max(dim=1).values / len(views)",
            "return votes.max(dim=1).values / len(views)",
        ),
        (
            "votes for the label are counted",
            "votes.max(dim=1).values",
            "votes.gather(1, split.labels.view(-1, 1)).squeeze(1)",
        ),
        (
            "entropy instead of the largest vote",
            "1 - votes.max(dim=1).values / len(views)",
            "torch.special.entr(votes / len(views)).sum(dim=1)",
        ),
        (
            "another set of perturbations",
            "vote_uncertainty(candidates, learner, self.config.perturbation)",
            'vote_uncertainty(candidates, learner, "cutout")',
        ),
        (
            "the first task is drawn at random",
            'if learner.task == 0 and self.config.first_task == "random":',
            "if learner.task == 0:",
        ),
        (
            "published: later tasks are drawn at random too",
            'if learner.task == 0 and self.config.first_task == "random":',
            'if self.config.first_task == "random":',
        ),
        (
            "most uncertain first",
            "order = noise[torch.argsort(scores[noise], stable=True)]",
            "order = noise[torch.argsort(-scores[noise], stable=True)]",
        ),
        (
            "ties by position",
            "noise = torch.randperm(len(labels), generator=generator).to(labels.device)",
            "noise = torch.arange(len(labels))",
        ),
        (
            "even picks one later",
            "taken = (j * n // q == ranks) & (j < q)",
            "taken = (j * n // q + 1 == ranks) & (j < q)",
        ),
        ("the least uncertain only", "taken = (j * n // q == ranks) & (j < q)", "taken = ranks < q"),
        ("the stride reaches on", "& (ranks // stride < q)", ""),
        ("the stride is rounded up", "stride = (n // q).clamp(min=1)", "stride = -(-n // q)"),
        (
            "quota over old classes only",
            "quota = self.capacity // max(1, len(learner.seen))",
            "quota = self.capacity // max(1, len(learner.old))",
        ),
        (
            "scores of other samples",
            "return positions, scores[positions]",
            "return positions, scores[: len(positions)]",
        ),
        (
            "picked ones are left out where room is filled",
            "positions = fill(picked, self.capacity, generator)",
            "positions = fill(~picked, self.capacity, generator)",
        ),
    ),
    *of(
        "cllab/memory/ring.py",
        f"tests/memory/test_ring.py {ORACLES}",
        ("all of the capacity for one task", "quota = self.capacity // learner.n_tasks", "quota = self.capacity"),
        (
            "what does not fit goes round",
            "n = min(len(labels), block.size - block.pointer)",
            "n = min(len(labels), block.size)",
        ),
        (
            "the pointer stops at the end",
            "block.pointer = (block.pointer + n) % block.size",
            "block.pointer = min(block.pointer + n, block.size - 1)",
        ),
        ("the pointer goes on in a new task", 'self.config.start == "continue" else 0', "True else 0"),
        ("the pointer never goes on", 'if self.tasks and self.config.start == "continue" else 0', "if False else 0"),
        (
            "the current task is drawn",
            "self._earlier[part] if part in self._earlier else",
            "self._rows(self.blocks[part]) if part in self._earlier else",
        ),
        ("the current task is never drawn", "if current and self.tasks:", "if False:"),
        (
            "with replacement",
            "chosen = torch.randperm(len(rows), generator=generator)[:n]",
            "chosen = torch.randint(len(rows), (min(n, len(rows)),), generator=generator)",
        ),
        (
            "the first rows",
            "chosen = torch.randperm(len(rows), generator=generator)[:n]",
            "chosen = torch.arange(len(rows))[:n]",
        ),
        (
            "only what is left out is drawn",
            "chosen[~torch.isin(chosen, left_out)]",
            "chosen[torch.isin(chosen, left_out)]",
        ),
        ("nothing is left out", "        if left_out is not None:\n", "        if False:\n"),
        ("the held share is rounded up", "int(held * quota)", "-int(-held * quota // 1)"),
        (
            "the earliest of a large offer are kept",
            "start = max(0, end - self.blocks[name][-1].size)",
            "start, end = 0, min(end, self.blocks[name][-1].size)",
        ),
        ("unfilled slots hold nothing", 'if not block.filled and self.config.unfilled == "first-sample":', "if False:"),
        ("labels of another batch", 'buffers["labels"][rows] = labels', 'buffers["labels"][rows] = labels.flip(0)'),
        (
            "drawn labels do not belong to the images",
            'self.buffers["labels"].index_select(0, rows)',
            'self.buffers["labels"][: len(rows)]',
        ),
        (
            "a wider payload loses what it held",
            "self.buffers[name] = widened(known, width)\n        return",
            "self.buffers[name] = widened(known if known.shape[1] >= width else known * 0, width)\n        return",
        ),
        (
            "held samples are replayed",
            "rows = self.earlier(part)",
            'rows = torch.cat([self.earlier("replay"), self.earlier("held")])',
        ),
        (
            "unwritten slots count",
            "fresh = max(0, min(written, block.size) - block.filled)",
            "fresh = block.size - block.filled",
        ),
    ),
]
