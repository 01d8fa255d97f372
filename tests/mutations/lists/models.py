"""Heads, transfer weights and what is inside of networks."""

from tests.mutations.mutant import of

HEADS = "tests/models/test_model_heads.py"
TRANSFER = "tests/sketches/test_transfer_weights_come_back.py"

MUTANTS = [
    *of(
        "cllab/models/heads/base.py",
        HEADS,
        ("known rows are drawn anew", "else value[:known]).copy_(old)", "else value[:known])"),
        ("given rows are not taken", "fresh.put(torch.arange(known, n_classes", "fresh.put(torch.arange(known, known"),
        ("a frozen row thaws", "value.requires_grad_(old.requires_grad)", "pass"),
        ("heads shrink", "if n_classes <= known:", "if n_classes == known:"),
        ("the mode is lost", "fresh.train(self.training)", "fresh"),
    ),
    *of(
        "cllab/models/heads/cosine.py",
        HEADS,
        ("without the factor", "self.sigma * F.linear", "F.linear"),
        ("the length of features counts", "F.normalize(features, dim=1), ", "features, "),
        ("the length of rows counts", "F.normalize(self.weight, dim=1))", "self.weight)"),
    ),
    *of(
        "cllab/models/heads/nearest_mean.py",
        HEADS,
        ("sums instead of means", "self.sums / self.counts.clamp(min=1).unsqueeze(1)", "self.sums"),
        ("the farthest", "-torch.cdist", "torch.cdist"),
        ("distance, not squared", ".square()", ""),
        ("empty classes have a mean at 0", "self.counts == 0", "self.counts < 0"),
    ),
    *of(
        "cllab/models/heads/consolidated.py",
        HEADS,
        ("trained rows answer", "self.weight if self.training else self.rows", "self.weight"),
        ("consolidated rows learn", "self.weight if self.training else self.rows", "self.rows"),
        ("absent classes are loaded", "again = present & self.known", "again = self.known"),
        ("nothing is loaded", "self.stored, 0.0))", "0.0 * self.stored, 0.0))"),
        ("the past counts for nothing", "(wp * self.stored + self.weight", "(self.stored + self.weight"),
        ("no shift", "self.weight - shift)", "self.weight)"),
        ("a sum, not a mean", "self.weight - shift) / (wp + 1)", "self.weight - shift)"),
        ("a class without a row has a past", "torch.where(self.known, past_weight, 0.0)", "past_weight"),
        ("classes that were not trained on change", "(counts > 0)", "(counts >= 0)"),
        ("counts do not add up", "self.past += counts", "self.past.copy_(counts)"),
    ),
    *of(
        "cllab/models/_transfer.py",
        TRANSFER,
        ("kernels learn", "value.requires_grad_(False)", "pass"),
        ("no factor", "return weight * self.factor", "return weight + 0 * self.factor"),
        ("no shift", "return bias + self.shift", "return bias + 0 * self.shift"),
        ("twice is twice", "if parametrize.is_parametrized(layer):", "if False:"),
        ("a factor a weight", "*[1] * (weight.dim() - 2)", "*weight.shape[2:]"),
    ),
]
