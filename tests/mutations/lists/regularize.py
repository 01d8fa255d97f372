"""Methods that hold weights where they mattered."""

from tests.mutations.mutant import of

PENALTY = "tests/methods/test_oracles_penalty.py"


def importance(*names: str) -> str:
    """These tests of the shared functions."""
    return " ".join(f"tests/methods/test_importance.py::test_{name}" for name in names)


MUTANTS = [
    *of(
        "cllab/methods/ewc.py",
        f"{PENALTY} tests/methods/test_task_aware.py "
        + importance(
            "ewc_keeps_a_share_of_the_old_fisher",
            "ewc_is_anchored_where_the_newest_task_ended",
            "gems_ewc_has_a_penalty_a_task_in_one",
        ),
        ("the old Fisher is not kept", "torch._foreach_add_(new, self.fisher, alpha=self.config.decay)", "pass"),
        (
            "the old Fisher is kept whole",
            "torch._foreach_add_(new, self.fisher, alpha=self.config.decay)",
            "torch._foreach_add_(new, self.fisher)",
        ),
        (
            "the anchor stays at the first task",
            "self.fisher, self.anchors = new, now\n",
            "self.fisher, self.anchors = new, self.anchors or now\n",
        ),
        ("the head is held too", 'if self.config.weights == "all" else', "if True else"),
        (
            "gem: penalties are not merged",
            "imp.merged((self.fisher, self.anchors), (new, now))",
            "(new, now)",
        ),
        ("gem: the usual estimate", 'if self.config.estimate == "mean-gradient":', "if False:"),
        (
            "published: the paper's algorithm",
            'return _Published if config.estimate == "published" else cls',
            "return cls",
        ),
        ("published: without the penalty's gradient", "self._penalty if self._holds else None)", "None)"),
        (
            "published: on the stream only",
            "self._overwrite(learner.memory.candidates(task.train, learner))",
            "self._overwrite(task.train)",
        ),
        (
            "published: the Fishers add up",
            "        self.anchors = [p.detach().clone() for p in params]",
            "        self.fisher = [f + a for f, a in zip(self.fisher, self.__dict__.get('sum', self.fisher))]\n"
            "        self.sum = self.fisher\n"
            "        self.anchors = [p.detach().clone() for p in params]",
        ),
        (
            "published: the anchor is not moved",
            "        self.anchors = [p.detach().clone() for p in params]",
            "        self.anchors = self.anchors or [p.detach().clone() for p in params]",
        ),
        ("a step is always explicit", 'if self._holds and self.config.step == "implicit":', "if False:"),
        ("a step is always implicit", 'if self._holds and self.config.step == "implicit":', "if self._holds:"),
        ("strength is forgotten", "return self.config.strength * imp.quadratic", "return imp.quadratic"),
        (
            "new rows of the head are held",
            "self.fisher, self.anchors = imp.padded(self.fisher, params), imp.padded(self.anchors, params)",
            "self.anchors = imp.padded(self.anchors, params)\n"
            "            self.fisher = [f + (f == 0) for f in imp.padded(self.fisher, params)]",
        ),
    ),
    *of(
        "cllab/methods/_importance.py",
        f"{PENALTY} tests/methods/test_task_aware.py "
        + importance(
            "penalty_and_its_gradient_equal_autograds",
            "the_head_is_free",
            "importances_are_scaled_over_all_weights_together",
            "fisher_is_the_mean_of_squared_gradients_sample_by_sample",
            "labels_are_drawn_with_the_models_probabilities",
            "the_published_estimate_squares_the_mean_of_a_batch",
        )
        + " tests/learner/test_heads.py::test_the_published_fisher_asks_for_the_most_likely_class_of_a_samples_task",
        (
            "the newest anchor for all tasks",
            "anchor.add_((theta - anchor) * torch.where(t > 0, v / t, 0))",
            "anchor.copy_(theta)",
        ),
        ("the newest weights for all tasks", "    return total, anchors\n", "    return more, anchors\n"),
        (
            "the data's labels instead of drawn ones",
            "            torch._foreach_add_(new, fisher_of_batch(",
            "            labels = batch.y if own is None else (batch.y.view(-1, 1) == own).long().argmax(1)\n"
            "            torch._foreach_add_(new, fisher_of_batch(",
        ),
        (
            "the most likely labels instead of drawn ones",
            "            labels = draw_labels(scores,",
            "            labels = scores.argmax(1) if True else draw_labels(scores,",
        ),
        (
            "all classes compete where tasks are named",
            "own = None if learner.heads is None else torch.tensor(task.classes, device=learner.device)",
            "own = None",
        ),
        ("more samples than asked", "            if count >= n:\n", "            if False:\n"),
        ("not divided by the samples", "torch._foreach_div_(new, count)", "torch._foreach_div_(new, 1)"),
        (
            "the estimate is made in train mode",
            '    with learner.bulk():\n        for batch in learner.batches(split, purpose="fisher", batch_size=size)',
            "    with __import__('contextlib').nullcontext():\n"
            '        for batch in learner.batches(split, purpose="fisher", batch_size=size)',
        ),
        (
            "gem: the mean of squares",
            "return list(torch._foreach_mul(known, known))",
            "return [k.abs() for k in known]",
        ),
        (
            "gem: random samples",
            "first = torch.arange(min(samples, len(split)), device=split.device)",
            "first = torch.randperm(len(split))[:samples]",
        ),
        (
            "gem: most likely labels",
            "loss = cross_entropy(learner.heads, scores, split.labels[first])",
            "loss = cross_entropy(learner.heads, scores, scores.argmax(1))",
        ),
        ("published: without the penalty", "                loss = loss + penalty()\n", "                pass\n"),
        ("published: the data's labels", "own.detach().argmax(dim=1)", "batch.y"),
        (
            "published: all classes compete where tasks are named",
            "own = scores if learner.heads is None else learner.heads.scores(scores, batch.y)",
            "own = scores",
        ),
        (
            "published: batches count alike",
            "len(batch.y) / len(split)",
            "1 / max(1, len(split) // len(batch.y))",
        ),
        (
            "published: in train mode",
            '    with learner.bulk():\n        for batch in learner.batches(split, purpose="fisher", augment=True)',
            "    with __import__('contextlib').nullcontext():\n"
            '        for batch in learner.batches(split, purpose="fisher", augment=True)',
        ),
        ("the factor 1/2", "torch._foreach_mul(ctx.pulls, 2 * grads[0])", "torch._foreach_mul(ctx.pulls, grads[0])"),
        ("unweighted", "pulls = torch._foreach_mul(weights, gaps)", "pulls = torch._foreach_mul(gaps, 1.0)"),
        ("the head is held", "if id(p) not in head]", "]"),
        ("products: a mean of gradients", "g.square().T @ a.square() / len(x)", "(g.T @ a).square() / len(x) ** 2"),
        (
            "products: a bias by its mean",
            "found[id(layer.bias)] = g.square().mean(dim=0)",
            "found[id(layer.bias)] = g.mean(dim=0).square()",
        ),
        (
            "products: inputs of a normalization as they are",
            "found[id(layer.weight)] = (g * a).square().mean(dim=0)",
            "found[id(layer.weight)] = g.square().mean(dim=0)",
        ),
        (
            "samples: squared after the mean",
            "return [g.square().mean(dim=0) for g in gradients.values()]",
            "return [g.mean(dim=0).square() for g in gradients.values()]",
        ),
        (
            "batches: a share is forgotten",
            "list(gradients), list(gradients), value=share)",
            "list(gradients), list(gradients))",
        ),
        (
            "labels are the most likely",
            "(scores.softmax(dim=1).cumsum(dim=1) < uniform).sum(dim=1)",
            "scores.argmax(dim=1)",
        ),
        (
            "labels are drawn uniformly",
            "(scores.softmax(dim=1).cumsum(dim=1) < uniform)",
            "((0 * scores).softmax(dim=1).cumsum(dim=1) < uniform)",
        ),
        (
            "scaled tensor by tensor",
            "return torch._foreach_div(values, top)",
            "return [v / v.max().clamp(min=1e-12) for v in values]",
        ),
        ("half the stiffness", "stiffness = 2 * strength * rate", "stiffness = strength * rate"),
        ("the rate is not in the stiffness", "stiffness = 2 * strength * rate", "stiffness = 2 * strength"),
        ("dividers of the task before", "or self._of[1] is not weights:", "or False:"),
        (
            "gradients are multiplied",
            "torch._foreach_div_([g for g, _ in held]",
            "torch._foreach_mul_([g for g, _ in held]",
        ),
    ),
    *of(
        "cllab/methods/rwalk.py",
        importance(
            "rwalk_importance_is_the_recurrence_of_the_paper",
            "rwalks_published_form_has_no_path_and_the_penalty_in_its_fisher",
            "rwalks_published_form_holds_what_it_has_after_every_phase",
        )
        + " tests/methods/test_oracles_penalty.py::test_rwalk_looks_at_the_gradient_before_and_the_way_after_a_step "
        "tests/methods/test_oracles_penalty.py::test_rwalks_scores_are_averaged_from_task_to_task",
        ("a step uphill earns too", "        torch._foreach_clamp_min_(saved, 0.0)\n", ""),
        ("saved with the other sign", "        torch._foreach_neg_(saved)\n", ""),
        ("the whole distance", "        torch._foreach_mul_(cost, 0.5)\n", ""),
        ("epsilon is forgotten", "torch._foreach_add_(cost, self.config.epsilon)", "torch._foreach_add_(cost, 1e-6)"),
        ("the Fisher forgets what it should keep", "keep = self.config.decay", "keep = 1 - self.config.decay"),
        (
            "the Fisher begins at nothing",
            "self.fisher = torch._foreach_mul(gradients, gradients)",
            "self.fisher = torch._foreach_mul(torch._foreach_mul(gradients, gradients), 1 - keep)",
        ),
        ("the penalty's gradient is in the Fisher", "alpha=2 * self.config.strength)", "alpha=0)"),
        (
            "half of the penalty's gradient is taken out",
            "alpha=2 * self.config.strength)",
            "alpha=self.config.strength)",
        ),
        ("the score is not averaged over tasks", "            torch._foreach_mul_(self.path, 0.5)\n", ""),
        (
            "the score of the last task alone",
            "            torch._foreach_add_(self.path, self.old_path)\n",
            "            torch._foreach_add_(self.path, self.path)\n",
        ),
        (
            "the score goes on into the next task",
            "self.old_path, self.path = self.path, []",
            "self.old_path = self.path",
        ),
        (
            "the Fisher alone",
            "torch._foreach_add(imp.normalized(self.fisher), imp.normalized(self.old_path))",
            "imp.normalized(self.fisher)",
        ),
        (
            "the path alone",
            "torch._foreach_add(imp.normalized(self.fisher), imp.normalized(self.old_path))",
            "imp.normalized(self.old_path)",
        ),
        (
            "not normalized",
            "torch._foreach_add(imp.normalized(self.fisher), imp.normalized(self.old_path))",
            "torch._foreach_add(self.fisher, self.old_path)",
        ),
        (
            "published: the anchor is that of the task's end",
            "        if published:\n            yield Work(self._hold)\n        yield Offer",
            "        yield Offer",
        ),
    ),
]
