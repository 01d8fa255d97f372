"""Methods that hold outputs."""

from tests.mutations.mutant import of

HEADS = "tests/learner/test_heads.py::test"
BIC = "tests/methods/test_bic.py::test"
ORACLES = "tests/methods/test_oracles_distill.py::test"
LWF = " ".join(
    f"{ORACLES}_lwf_{name}"
    for name in (
        "holds_the_old_outputs_to_the_network_that_there_was",
        "has_nobody_to_learn_from_in_its_first_task",
    )
)
ICARL = " ".join(
    f"{ORACLES}_{name}"
    for name in (
        "icarl_distils_the_old_classes_that_are_not_its_own",
        "the_published_icarl_distils_the_network_that_its_phase_began_with",
        "icarl_has_no_teacher_in_its_first_task_and_the_last_model_after_it",
    )
)
CORRECTED = " ".join(
    f"{ORACLES}_{name}"
    for name in (
        "bics_first_stage_weighs_by_the_share_of_old_classes",
        "the_published_bic_is_pure_distillation_in_a_blurry_stream",
        "the_published_validation_images_are_also_trained_on",
        "stage_2_is_cross_entropy_of_the_corrected_scores_and_moves_two_numbers",
    )
)

MUTANTS = [
    *of(
        "cllab/methods/lwf.py",
        f"{LWF} tests/methods/test_task_aware.py::test_lwf_distils_every_old_head tests/methods/test_lwf.py",
        (
            "teacher and student exchanged",
            "distill.soft_cross_entropy(compared, before[:, :known], temperature)",
            "distill.soft_cross_entropy(before[:, :known], compared, temperature)",
        ),
        (
            "named: teacher and student exchanged",
            "distill.soft_cross_entropy(mine, theirs, temperature)",
            "distill.soft_cross_entropy(theirs, mine, temperature)",
        ),
        ("new classes are distilled", "known = max(learner.old) + 1", "known = scores.shape[1]"),
        ("a class less is distilled", "known = max(learner.old) + 1", "known = max(learner.old)"),
        ("tasks: as they are", 'terms["cross-entropy"] / n', 'terms["cross-entropy"]'),
        ("tasks: without the factor T^2", "self.config.temperature**2 *", ""),
        ("tasks: the other share", "(1 - 1 / n) *", "1 / n *"),
        ("all outputs: old ones alone", 'scores if self.config.outputs == "all" else', "scores if False else"),
        ("without the temperature", "before[:, :known], temperature)", "before[:, :known], 1.0)"),
        (
            "named: without the temperature",
            "distill.soft_cross_entropy(mine, theirs, temperature)",
            "distill.soft_cross_entropy(mine, theirs, 1.0)",
        ),
        ("named: a mean over the heads", "return learner.task * distill", "return distill"),
        (
            "named: the current head too",
            "learner.heads.earlier(s, learner.task)",
            "learner.heads.earlier(s, learner.task + 1)",
        ),
        (
            "strength is forgotten",
            "self.config.strength * self._distillation(scores, before)",
            "self._distillation(scores, before)",
        ),
        (
            "the teacher is the first network for ever",
            "if self.learner.old and self.config.strength > 0:",
            "if self.learner.old and self.config.strength > 0 and self.teacher is None:",
        ),
        (
            "the teacher is the network itself",
            "self.teacher = self.learner.frozen_copy()",
            "self.teacher = self.learner.model",
        ),
        (
            "a teacher from the first task on",
            "if self.learner.old and self.config.strength > 0:",
            "if self.config.strength > 0:",
        ),
    ),
    *of(
        "cllab/methods/_distill.py",
        f"tests/methods/test_icarl.py {LWF}",
        (
            "the target is not softened",
            "target = (teacher / temperature).softmax(dim=1)",
            "target = teacher.softmax(dim=1)",
        ),
        (
            "the scores are not softened",
            "(scores / temperature).log_softmax(dim=1)[:,",
            "scores.log_softmax(dim=1)[:,",
        ),
        ("a sum over the batch", ".sum(dim=1).mean()\n\n\ndef mean_where", ".sum()\n\n\ndef mean_where"),
        ("a mean over all samples", "(values * weight).sum() / weight.sum().clamp(min=1)", "(values * weight).mean()"),
        (
            "all classes are marked",
            "mask.index_fill_(0, torch.tensor(known, device=device, dtype=torch.long), 1.0)",
            "mask.fill_(1.0)",
        ),
    ),
    *of(
        "cllab/methods/icarl.py",
        f"{ICARL} tests/methods/test_icarl.py {HEADS}_icarls_labels_speak_of_their_own_tasks_outputs",
        (
            "keeps all old classes, its own too",
            "kept = tuple(c for c in learner.old if c not in learner.own)",
            "kept = learner.old",
        ),
        ("keeps its own classes", "kept = tuple(c for c in learner.old if c not in learner.own)", "kept = learner.own"),
        ("keeps nothing", "kept = tuple(c for c in learner.old if c not in learner.own)", "kept = ()"),
        (
            "old classes are trained on labels too",
            '"classification": (errors * (1 - mask)).sum(dim=1).mean(),',
            '"classification": errors.sum(dim=1).mean(),',
        ),
        (
            "new classes are distilled",
            '"distillation": (held * mask).sum(dim=1).mean(),',
            '"distillation": held.sum(dim=1).mean(),',
        ),
        ("a mean over classes", "(held * mask).sum(dim=1).mean()", "(held * mask).mean()"),
        ("the teacher is not softened", ".div(self.config.temperature).sigmoid()", ".sigmoid()"),
        ("labels say something of all tasks", "        if batch.heads is not None:\n", "        if False:\n"),
        (
            "published: all classes compete",
            "loss = cross_entropies(batch.heads, scores, batch.y)",
            "loss = cross_entropies(None, scores, batch.y)",
        ),
        (
            "targets by softmax",
            ".div(self.config.temperature).sigmoid()",
            ".div(self.config.temperature).softmax(dim=1)",
        ),
        (
            "the teacher is exchanged at the task's beginning",
            "        kept = tuple(c",
            "        self.teacher = None\n        kept = tuple(c",
        ),
        (
            "published: the teacher is that of the task before",
            "            yield Work(self._keep)\n            yield Phase",
            "            yield Phase",
        ),
        (
            "published: the teacher sees augmented images",
            "self.teacher(self.learner.normalize(batch.raw))",
            "self.teacher(batch.x)",
        ),
        (
            "published: cross-entropy on old samples too",
            '"classification": distill.mean_where(loss, new)',
            '"classification": loss.mean()',
        ),
        ("published: distillation on new samples too", "distill.mean_where(errors, 1 - new)", "errors.mean()"),
        (
            "published: the classifier learns",
            "return [*model.backbone.parameters(), *linear]",
            "return list(model.parameters())",
        ),
        (
            "means of features as they are",
            "phi = F.normalize(learner.features(memory), dim=1)",
            "phi = learner.features(memory)",
        ),
        (
            "means are not normalized",
            "return F.normalize(sums, dim=1), present",
            "return sums / present.clamp(min=1).view(-1, 1), present",
        ),
        (
            "queries are not normalized",
            "phi = F.normalize(self.learner.model.features(x), dim=1)",
            "phi = self.learner.model.features(x)",
        ),
        (
            "the farthest mean",
            "return -torch.cdist(phi, means).square()",
            "return torch.cdist(phi, means).square()",
        ),
        ("classes without exemplars may win", '.masked_fill(present == 0, float("-inf"))', ""),
    ),
    *of(
        "cllab/methods/bic.py",
        f"{CORRECTED} {BIC}_validation_images_are_never_trained_on_and_the_budget_is_kept "
        f"{BIC}_only_the_newest_classes_are_corrected {BIC}_published_code_only_ever_corrects_the_last_group "
        f"{HEADS}_bic_distils_task_by_task_and_corrects_nothing_where_tasks_are_named",
        (
            "the share counts its own classes as old in a blurry stream",
            "tuple(c for c in learner.old if c not in learner.own)",
            "learner.old",
        ),
        (
            "published: its own classes are not old",
            "self.kept = torch.tensor(learner.old,",
            "self.kept = torch.tensor(tuple(c for c in learner.old if c not in learner.own),",
        ),
        (
            "the share is turned round",
            "share = len(self.kept) / max(1, len(learner.seen))",
            "share = 1 - len(self.kept) / max(1, len(learner.seen))",
        ),
        (
            "halves instead of shares",
            "share = len(self.kept) / max(1, len(learner.seen))",
            "share = 0.5 if len(self.kept) else 0.0",
        ),
        (
            "published: the teacher is that of the task before",
            "self._hold_out(task)\n        self._keep()",
            "self._hold_out(task)\n        self.teacher or self._keep()",
        ),
        (
            "the teacher is never made",
            "        yield Work(self._keep)\n",
            "",
        ),
        (
            "the teacher is not corrected",
            "self._corrected(self.teacher(batch.x), before=True)",
            "self.teacher(batch.x)",
        ),
        (
            "the teacher is corrected as now",
            "self._corrected(self.teacher(batch.x), before=True)",
            "self._corrected(self.teacher(batch.x))",
        ),
        (
            "named: all classes compete",
            "classification = cross_entropy(learner.heads,",
            "classification = cross_entropy(None,",
        ),
        ("named: something is held out", "if learner.heads is None else 0", "if True else 0"),
        (
            "named: distilled over all old classes at once",
            "        if heads is None:\n            return scores",
            "        if True:\n            return scores",
        ),
        ("another temperature", "TEMPERATURE = 2.0", "TEMPERATURE = 1.0"),
        (
            "new classes are distilled",
            "distill.soft_cross_entropy(self._old(scores), self._old(before), TEMPERATURE)",
            "distill.soft_cross_entropy(scores, before[:, : scores.shape[1]], TEMPERATURE)",
        ),
        (
            "teacher and student exchanged",
            "distill.soft_cross_entropy(self._old(scores), self._old(before), TEMPERATURE)",
            "distill.soft_cross_entropy(self._old(before), self._old(scores), TEMPERATURE)",
        ),
        (
            "all groups are corrected",
            "torch.where(self.group[: scores.shape[1]] == task,",
            "torch.where(self.group[: scores.shape[1]] <= task,",
        ),
        ("the shift is scaled", "scores * scale + shift, scores)", "(scores + shift) * scale, scores)"),
        (
            "stage 2 looks at the labels without a correction",
            "F.cross_entropy(self._corrected(scores), batch.y)}",
            "F.cross_entropy(scores + 0 * self._corrected(scores), batch.y)}",
        ),
        ("stage 2 in train mode", "train_mode=False", "train_mode=True"),
        ("stage 2 in the first task too", "if not epochs or task.index == 0 or not", "if not epochs or not"),
        ("stage 2 is forgotten", "self.bias[task] = torch.stack([p.detach() for p in self.live])", "pass"),
        (
            "validation images are trained on",
            "return task.train.subset((~self.held_out).nonzero().flatten()) if self.held_out.any() else task.train",
            "return task.train",
        ),
        ("the memory keeps its capacity", "memory.capacity -= self.n_valid", "memory.capacity -= 0"),
        ("old validation images are not cut", "        self._trim(quota)\n", ""),
        (
            "a quota of the old classes",
            "quota = self.n_valid // max(1, len(learner.seen))\n",
            "quota = self.n_valid // max(1, len(learner.old) or len(learner.seen))\n",
        ),
        (
            "published: every group is corrected",
            "self.group[-size:] = task.index if round(model.n_classes / size) - 1 == task.index else -1",
            "self.group[-size:] = task.index",
        ),
        (
            "published: one block for all tasks",
            "            model.add_block(self.config.features)\n",
            "            model.add_block(self.config.features) if not len(model.blocks) else None\n",
        ),
        (
            "published: validation images are taken out",
            'yield Phase("stream", task.train, replay="concat", cutmix=False)',
            'yield Phase("stream", task.train.subset(torch.arange(9)), replay="concat", cutmix=False)',
        ),
    ),
]
