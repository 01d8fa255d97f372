"""Augmentation of whole uint8 batches on their device, with one draw of parameters per sample.

Images are (B, C, H, W) uint8 with C = 1 or 3; the operations agree with PIL's, which the published results used.
"""

from cllab.data.augment.basic import cutout, random_crop, random_flip, random_rotation, random_vertical_flip
from cllab.data.augment.cutmix import cutmix
from cllab.data.augment.perturb import PERTURBATIONS, Perturbation, perturbations
from cllab.data.augment.pipeline import BATCH_AUGMENT, SAMPLE_AUGMENT, Augment, normalize
from cllab.data.augment.policy import (
    OPS,
    Policy,
    apply_policy,
    auto_augment,
    draw_auto_augment,
    draw_rand_augment,
    rand_augment,
)

__all__ = [
    "BATCH_AUGMENT",
    "OPS",
    "PERTURBATIONS",
    "SAMPLE_AUGMENT",
    "Augment",
    "Perturbation",
    "Policy",
    "apply_policy",
    "auto_augment",
    "cutmix",
    "cutout",
    "draw_auto_augment",
    "draw_rand_augment",
    "normalize",
    "perturbations",
    "rand_augment",
    "random_crop",
    "random_flip",
    "random_rotation",
    "random_vertical_flip",
]
