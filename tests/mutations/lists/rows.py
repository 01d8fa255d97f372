"""Latent replay, consolidated rows, and importance gathered on the way."""

from tests.mutations.mutant import of

TESTS = "tests/methods/test_latent_replay.py"

MUTANTS = [
    *of(
        "cllab/methods/_latent_replay.py",
        TESTS,
        ("rounds of the batch alone", "rounds = max(1, (n + stored) // size)", "rounds = max(1, n // size)"),
        (
            "as many stored ones as the batch has",
            "return native, n // native, max(0, size - native)",
            "return native, n // native, size",
        ),
        ("divided by zero", "rounds = max(1, (n + stored) // size)", "rounds = (n + stored) // size"),
        ("stored ones are not shuffled anew", "if self.taken >= len(self.order):", "if not len(self.order):"),
        ("slices begin where they ended", "(self.taken % self.rounds) * self.inject", "self.taken * self.inject"),
        ("labels of others", 'memory.payload("labels", where))', 'memory.payload("labels", where.flip(0)))'),
        ("decay of scales", 'free = None if config.decay == "all" else 0.0', "free = None"),
        ("momentum is lost", 'kept = index > 0 and config.momentum == "kept"', "kept = False"),
        ("later batches at the first rate", "self.config.later_lr if index else 0.0", "0.0"),
        ("the head as slow as the rest", "factor=config.head_rate", "factor=1.0"),
        ("padded behind", "[positions[: size - n % size], positions]", "[positions, positions[: size - n % size]]"),
        ("every batch is padded", 'if task.index or self.config.first == "plain"', 'if self.config.first == "plain"'),
        ("the tail is always dropped", 'drop_last=self.config.tail == "dropped"', "drop_last=True"),
    ),
    *of(
        "cllab/memory/share.py",
        TESTS,
        ("a share too many", "self.capacity // (learner.task + 1)", "self.capacity // max(1, learner.task)"),
        (
            "the first ones stay",
            "torch.randperm(held, generator=generator)[: self.capacity - n]",
            "torch.arange(self.capacity - n)",
        ),
        ("half of the batch", "[:n] + held", "[: n // 2] + held"),
    ),
    *of(
        "cllab/methods/_cwr.py",
        TESTS,
        ("the past counts linearly", "(of.past / cur.clamp(min=1)).sqrt()", "(of.past / cur.clamp(min=1))"),
        ("stored samples are not counted", "cur = current + stored\n", "cur = current.clone()\n"),
        ("g over rows that are not there", "times = present.float()\n", "times = torch.ones_like(cur)\n"),
        ("g is a sum", "/ (times.sum() * of.width)", ""),
        ("once more for a native class", "times = stored + (current > 0)", "times = stored + 0.0"),
        ("published: consolidated once", "kept = (wp / (wp + 1)) ** times", "kept = wp / (wp + 1)"),
        ("a base stage is forgotten", "if learner.step == began and len(before):", "if False:"),
        ("rows of before are not kept", "head(learner).weight[: len(before)] = before", "pass"),
    ),
    *of(
        "cllab/methods/cwr.py",
        TESTS,
        ("the network learns on", 'index > 0 or self.config.backbone == "frozen"', 'self.config.backbone == "frozen"'),
        ("its statistics move on", "model.backbone.eval()", "pass"),
        ("rows of the first batch are not scaled", "head.stored.mul_(self.config.first_scale)", "pass"),
        (
            "CWR+ without a shift",
            'if variant == "cwr+" else torch.zeros(())',
            'if variant == "cwr" else torch.zeros(())',
        ),
        ("CWR+ with a past", 'head.past.clone() if variant == "cwr"', 'head.past.clone() if variant != ""'),
        ("CWR begins where it ended", "head.weight.copy_(self.initial)", "pass"),
    ),
    *of(
        "cllab/methods/ar1.py",
        TESTS,
        (
            "damped the wrong way round",
            "p.grad.mul_(1 - self.importance[i] / top)",
            "p.grad.mul_(self.importance[i] / top)",
        ),
        ("decay is not damped", "p.grad.add_(p.detach(), alpha=decay)", "pass"),
        ("decayed twice", "Optim((Group(kernels.parameters, decay=0.0), *others)", "Optim((kernels, *others)"),
        (
            "steps instead of their squares",
            "torch._foreach_addcmul_(self.path, moved, moved)",
            "torch._foreach_add_(self.path, moved)",
        ),
        ("gathered whole", "torch._foreach_mul(self.path, config.gather)", "torch._foreach_mul(self.path, 1.0)"),
        ("rows of unseen classes stay", 'if self.config.unseen == "zero":', "if False:"),
        ("everything is held", "else self._trunk(vectors=False)", "else imp.trunk(self.learner.model)"),
    ),
    *of(
        "cllab/methods/_path.py",
        TESTS,
        ("uphill", "torch._foreach_sub_(path, moved)", "torch._foreach_add_(path, moved)"),
        ("half of the pull is left in", "pull, alpha=2 * strength)", "pull, alpha=strength)"),
        ("what went uphill counts", "[p.clamp(min=0) for p in path]", "[p.clone() for p in path]"),
        ("the way is not squared", "cost = torch._foreach_mul(gone, gone)", "cost = torch._foreach_abs(gone)"),
        ("earlier tasks are forgotten", "    if known:\n", "    if False:\n"),
        ("no bound", "    if clip > 0:\n", "    if False:\n"),
    ),
    *of(
        "cllab/methods/si.py",
        TESTS,
        (
            "the penalty is followed too",
            "self.anchors, self.importance, strength)\n        self.before",
            "self.anchors, [], strength)\n        self.before",
        ),
        ("without its strength", "self.config.strength * held", "held"),
        (
            "anchored where the task began",
            "self.anchors = [p.detach().clone() for p in params]",
            "self.anchors = self.start",
        ),
    ),
]
