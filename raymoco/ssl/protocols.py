"""What somebody else's loss, term or backbone must be: see docs/extending.md."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn


class Loss(Protocol):
    """What MoCo minimizes: a class, built once for a run and called in every step.

    It has no state: it is built anew when its temperature changes, and no checkpoint holds it.
    A pydantic model named `Options` in the class says what else its key may hold; an instance then
    comes as `options=`.

    Class attributes that it may have:
        uses_labels: False if labels do not change it. Default True.
        uses_queue: False if the queue does not change it. Default True.
        needs_labels: True if it learns from labeled images only. Default False.
        holds_gradient: True if its value comes with the gradient to the query taken already, and
            computed in fp32, as by `raymoco.ssl.query_gradient`. Default False: MoCo does that.
        no_host_read: True promises that no step waits for the device. Default False.
    """

    def __init__(self, temperature: float) -> None: ...

    def __call__(
        self, query: Tensor, key: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor
    ) -> Tensor:
        """The loss of one worker's batch.

        Args:
            query: L2-normalized queries, (B, D), with gradient.
            key: L2-normalized keys of the same images, (B, D), without.
            queue: L2-normalized older keys, (K, D), K >= 0, without.
            labels: (B,), integer, negative = unlabeled.
            queue_labels: (K,), the same.
        Returns:
            Scalar: the mean over the B images.
        """


class Term(Protocol):
    """A regularizer: a class, built for a run and called in every step where its weight is not 0.

    What `Loss` says of state, `Options` and class attributes holds for it too.

    One more attribute, of the class or of an instance:
        whole_batch: False if it is a mean over single images, each of which needs no other of the
            batch. Default True: it then gets the rows of all workers, and its gradient is that of
            one worker with the whole batch.
    """

    def __init__(self) -> None: ...

    def __call__(
        self, query: Tensor, key: Tensor, queue: Tensor, labels: Tensor, queue_labels: Tensor
    ) -> Tensor:
        """The term, unweighted: arguments and result as of `Loss`."""


class Backbone(Protocol):
    """From images to features: a function that makes a module, or a module's class itself.

    Its options are a pydantic model: `Options` in the class, or what the argument `options` of the
    function is annotated with. The size of the features is the module's attribute `feature_dim`;
    without one it is found by a forward pass of shapes.
    """

    def __call__(self, *, channels: int, image_size: int) -> nn.Module:
        """A module from images (B, channels, image_size, image_size) to features (B, F)."""
