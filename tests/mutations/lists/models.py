"""Heads, transfer weights and what is inside of networks."""

from tests.mutations.mutant import of

HEADS = "tests/models/test_model_heads.py"
RENORM = "tests/models/test_renorm.py"
PRETRAINED = "tests/models/test_pretrained.py"
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
        "cllab/models/_renorm.py",
        RENORM,
        ("unbiased variance", "over, correction=0)", "over, correction=1)"),
        ("r is not bounded below", "1 / self.r_max, self.r_max)", "0.0 * self.r_max, self.r_max)"),
        ("r is not bounded above", "1 / self.r_max, self.r_max)", "1 / self.r_max, 1e9 * self.r_max)"),
        ("r upside down", "torch.clamp(sig / self.std,", "torch.clamp(self.std / sig,"),
        ("d with the other sign", "(mu - self.mean) / self.std, -", "(self.mean - mu) / self.std, -"),
        ("d is not divided", "torch.clamp((mu - self.mean) / self.std,", "torch.clamp((mu - self.mean),"),
        ("d is not scaled", "self.weight * d + self.bias, True", "d + self.bias, True"),
        ("a step a batch", "self.r_max < r_bound, step * len(x)", "self.r_max < r_bound, step"),
        ("d opens on", "self.d_max < d_bound, step", "self.d_max < 1e9, step"),
        ("the mean stays", "self.mean.lerp_(mu, rate)", "self.mean.lerp_(mu, 0 * rate)"),
        ("variances are averaged", "self.std.lerp_(sig, rate)", "self.std.lerp_(var, rate)"),
        ("no eps at first", "+ norm.eps).sqrt())", ").sqrt())"),
        ("later tasks at the first rate", "self.settings[5] = later", "pass"),
        ("bounds stay closed later", "self.d_max.copy_(d_bound)", "pass"),
        ("the first task is a later one", "if index > 0:", "if index >= 0:"),
        ("statistics in half precision", "torch.var_mean(x.detach().float()", "torch.var_mean(x.detach()"),
        ("activations are lost", "nn.Sequential(made, *rest) if rest else made", "made"),
    ),
    *of(
        "cllab/models/_weights.py",
        PRETRAINED,
        ("shapes are not compared", "if found[name].shape != value.shape:", "if False:"),
        ("what is left over does not matter", "    if more:\n", "    if False:\n"),
        ("heads do not fit", "and not name.startswith(_ABOVE)]", "]"),
    ),
    *of(
        "cllab/models/efficientnet_lite0.py",
        PRETRAINED,
        ("more at the near end", "(wide // 2, wide - wide // 2,", "(wide - wide // 2, wide // 2,"),
        ("torch's eps", "eps=1e-3", "eps=1e-5"),
        ("no sum", "return h + x if self.adds else h", "return h"),
        ("unbounded ReLU", "h = F.relu6(self.bn1", "h = F.relu(self.bn1"),
    ),
    *of(
        "cllab/data/augment/pipeline.py",
        PRETRAINED,
        ("enlarged without curves", 'near, (size, size), mode="bicubic"', 'near, (size, size), mode="bilinear"'),
    ),
    *of(
        "cllab/engine/cuts.py",
        "tests/cli/test_cuts.py",
        ("inputs of a group are counted for all", "module.weight[0].numel()", "module.weight[0, 0].numel()"),
        ("the head does no work", "        network.head(x)\n", "        pass\n"),
        ("weights below", "whole - held)", "held)"),
        ("bytes of one number", "return each * math.prod(self.shape)", "return math.prod(self.shape)"),
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
