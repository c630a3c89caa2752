"""The queue against a list, for batches of any size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raymoco.errors import ConfigError
from raymoco.ssl import KeyQueue

D = 3


@given(
    size=st.integers(1, 7),
    batches=st.lists(st.integers(0, 17), max_size=6),
    init=st.sampled_from(["random", "empty"]),
)
@settings(max_examples=60, deadline=None)
def test_the_queue_is_a_ring_of_the_last_keys_for_any_batch_size(size, batches, init):
    queue = KeyQueue(size, D, init)
    storage = queue.keys.data_ptr()
    rows = list(zip(queue.keys.tolist(), queue.labels.tolist(), strict=True))
    number = 0
    for count in batches:
        numbers = torch.arange(number, number + count)
        queue.enqueue(numbers[:, None].repeat(1, D).float(), numbers % 4 - 1)
        for entry in numbers.tolist():
            rows[entry % size] = ([float(entry)] * D, entry % 4 - 1)
        number += count
    assert list(zip(queue.keys.tolist(), queue.labels.tolist(), strict=True)) == rows
    assert queue.cursor == number % size
    assert queue.keys.data_ptr() == storage
    keys, labels = queue.filled()
    visible = size if init == "random" else min(number, size)
    assert keys.shape == (visible, D)
    assert labels.shape == (visible,)
    assert visible == 0 or keys.data_ptr() == storage


def test_a_random_queue_starts_with_unit_vectors_without_labels():
    queue = KeyQueue(50, 8)
    torch.testing.assert_close(queue.keys.norm(dim=1), torch.ones(50))
    assert (queue.labels == -1).all()
    assert queue.keys.dtype == torch.float32
    assert queue.labels.dtype == torch.int64
    assert not queue.keys.requires_grad


def test_a_generator_decides_the_random_queue_and_spares_the_global_state():
    before = torch.get_rng_state()
    first, second = (
        KeyQueue(4, 8, generator=torch.Generator().manual_seed(7)).keys for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), before)


def test_half_precision_keys_with_gradient_are_stored_in_fp32_without_it():
    queue = KeyQueue(4, D)
    keys = torch.ones(2, D, dtype=torch.bfloat16, requires_grad=True)
    queue.enqueue(keys, torch.tensor([1, 2], dtype=torch.int32))
    assert queue.keys.dtype == torch.float32
    assert not queue.keys.requires_grad
    assert torch.equal(queue.keys[:2], torch.ones(2, D))


@pytest.mark.parametrize("init", ["random", "empty"])
def test_a_restored_queue_goes_on_where_it_stood(init):
    queue, restored = KeyQueue(5, D, init), KeyQueue(5, D, init)
    queue.enqueue(torch.randn(3, D), torch.arange(3))
    restored.load_state_dict(queue.state_dict())
    for either in (queue, restored):
        either.enqueue(torch.ones(4, D), torch.arange(4))
    assert torch.equal(queue.keys, restored.keys)
    assert torch.equal(queue.labels, restored.labels)
    assert queue.cursor == restored.cursor == 2
    assert len(restored.filled()[0]) == 5


def test_impossible_queues_and_keys_are_refused():
    with pytest.raises(ConfigError, match="size is 0, but must be at least 1"):
        KeyQueue(0, D)
    with pytest.raises(ConfigError, match="dim is 0"):
        KeyQueue(4, 0)
    with pytest.raises(ConfigError, match="init is 'zeros', but must be one of: random, empty"):
        KeyQueue(4, D, "zeros")
    queue = KeyQueue(4, D)
    with pytest.raises(ConfigError, match=r"\(2, 4\).*\(4, 3\)"):
        queue.enqueue(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ConfigError, match=r"\(3,\).*\(2, 3\)"):
        queue.enqueue(torch.zeros(2, D), torch.zeros(3, dtype=torch.int64))
