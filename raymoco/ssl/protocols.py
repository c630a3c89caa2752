"""The Protocols of losses, terms and backbones; docs/extending.md explains them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn


class Loss(Protocol):
    """A loss for MoCo: a class, constructed once for a run and called in every step.

    It has no state: it is constructed again when its temperature changes, and no checkpoint
    contains it. A pydantic model named `Options` in the class defines its options; the constructor
    then gets an instance as `options=`.

    Optional class attributes:
        uses_labels: False if it does not depend on labels. Default True.
        uses_queue: False if it does not depend on the queue. Default True.
        needs_labels: True if it learns from labeled images only. Default False.
        holds_gradient: True if it computes in fp32 and returns a value whose gradient to the query
            is computed already, as `raymoco.ssl.query_gradient` does. Default False: MoCo does it.
        no_host_read: True promises that it never makes a step wait for the device. Default False.
    """

    def __init__(self, temperature: float) -> None: ...

    def __call__(
        self, query: Tensor, key: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor
    ) -> Tensor:
        """Compute the loss of one worker's batch.

        Args:
            query: L2-normalized queries, (B, D), with gradient.
            key: L2-normalized keys of the same images, (B, D), without gradient.
            queue: L2-normalized older keys, (K, D), K >= 0, without gradient.
            labels: (B,), integer, negative = unlabeled.
            queue_labels: (K,), integer, negative = unlabeled.
        Returns:
            Scalar: the mean over the B images.
        """


class Term(Protocol):
    """A regularizer: a class, constructed for a run and called in each step unless its weight is 0.

    State, `Options` and class attributes are as for `Loss`.

    One more optional attribute, of the class or of an instance:
        whole_batch: False if it is a mean over images that depends on no pairs of images. Default
            True: it gets the rows of all workers, and its gradient is that of one worker with the
            whole batch.
    """

    def __init__(self) -> None: ...

    def __call__(
        self, query: Tensor, key: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor
    ) -> Tensor:
        """Compute the unweighted term; arguments and result are as for `Loss`."""


class Backbone(Protocol):
    """Builds a module from images to features: a function, or the module's class.

    A pydantic model defines its options: `Options` in the class, or the annotation of the
    function's argument `options`. The number of features is the module's attribute `feature_dim`;
    without one raymoco finds it by a forward pass on the meta device.
    """

    def __call__(self, *, channels: int, image_size: int) -> nn.Module:
        """Build a module from images (B, channels, image_size, image_size) to features (B, F)."""
