"""Momentum contrast in pure torch: losses, regularizers, queue and encoders, together or alone."""

from raymoco.ssl.build import build_method
from raymoco.ssl.encoders import build_encoder
from raymoco.ssl.key_queue import KeyQueue
from raymoco.ssl.losses import info_nce, sup_con, unified_contrastive
from raymoco.ssl.moco import MoCo
from raymoco.ssl.regularizers import cross_consistency, negative_uniformity

__all__ = [
    "KeyQueue",
    "MoCo",
    "build_encoder",
    "build_method",
    "cross_consistency",
    "info_nce",
    "negative_uniformity",
    "sup_con",
    "unified_contrastive",
]
