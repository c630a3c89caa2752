"""Two gloo processes agree with one process on the joint batch."""

from __future__ import annotations

import pytest
import torch
from tests.dist import worker_steps
from tests.dist.gloo_pool import WorkerFailedError

from raymoco.ssl.collectives import batch_order


def mean_losses(workers):
    """Per step and term, the mean over the workers: what the joint batch would give."""
    steps = zip(*(losses for losses, _, _ in workers), strict=True)
    return [{n: sum(w[n] for w in step) / len(step) for n in step[0]} for step in steps]


def assert_same_training(workers, alone, buffers=True):
    losses, gradients, state = alone
    torch.testing.assert_close(mean_losses(workers), losses, rtol=1e-9, atol=1e-9)
    for _, worker_gradients, worker_state in workers:
        torch.testing.assert_close(worker_gradients, gradients, rtol=1e-8, atol=1e-9)
        names = [name for name in state if buffers or "running" not in name]
        torch.testing.assert_close(
            {name: worker_state[name] for name in names},
            {name: state[name] for name in names},
            rtol=1e-8,
            atol=1e-9,
        )


@pytest.mark.parametrize(
    "options",
    [
        {"loss": "unicon"},
        {"loss": "sup_con_out", "symmetric": True, "queue_init": "empty"},
        {"loss": "info_nce", "cross_consistency": {"weight": 1.0, "form": "batch_transpose"}},
        {
            "loss": "unicon",
            "cross_consistency": {"weight": 0.5, "form": "batch_kl"},
            "negative_uniformity": {"weight": 0.7, "form": "kl"},
        },
        {
            "loss": "unicon",
            "symmetric": True,
            "cross_consistency": {"weight": 2.0, "form": "batch_pairs"},
            "negative_uniformity": {"weight": 0.3, "form": "entropy"},
        },
        {"loss": "unicon", "cross_consistency": {"weight": 0.5, "form": "queue_kl"}},
        {
            "loss": "tests.somebodys:Contrast",
            "terms": {
                "spread": {"use": "tests.somebodys:Spread", "weight": 0.5},
                "anchor": {"use": "tests.somebodys:Anchor", "weight": 0.3},
            },
        },
    ],
    ids=lambda options: "-".join(options),
)
def test_with_sync_two_workers_train_as_one_on_the_joint_batch(pool, options):
    options = options | {"batch_norm": "sync"}
    workers = pool.run("tests.dist.worker_steps", "train", options)
    assert_same_training(workers, worker_steps.train(options))


def test_with_plain_each_worker_normalizes_its_own_images(pool):
    options = {"batch_norm": "plain", "negative_uniformity": {"weight": 0.7}}
    workers = pool.run("tests.dist.worker_steps", "train", options)
    # one process, batch norm over two groups that nothing permutes
    assert_same_training(workers, worker_steps.train(options, split_in=2), buffers=False)


@pytest.mark.parametrize("batch_norm", ["shuffle", "split"])
def test_the_keys_come_from_the_permuted_batch_and_return_to_their_places(pool, batch_norm):
    options = {"batch_norm": batch_norm, "bn_groups": 3}
    workers = pool.run("tests.dist.worker_steps", "train", options, None, 1)
    groups = 2 if batch_norm == "shuffle" else 6
    key_encoder = worker_steps.build({"batch_norm": "plain"}, split_in=groups).encoders.key
    _, view_b = worker_steps.some_images(0)
    order = batch_order(worker_steps.B, 1, 0)
    expected = torch.empty(worker_steps.B, 6, dtype=torch.float64)
    expected[order] = key_encoder(view_b[order])
    for _, _, state in workers:
        torch.testing.assert_close(state["queue.keys"][: worker_steps.B], expected)
        assert torch.equal(state["queue.labels"][: worker_steps.B], worker_steps.LABELS)


def test_shuffle_then_unshuffle_is_the_identity_and_loses_no_image(pool):
    workers = pool.run("tests.dist.worker_steps", "shuffle_and_back", 3, 5)
    joint = torch.arange(worker_steps.B * 4.0).reshape(-1, 1, 2, 2)
    first, second = workers
    assert torch.equal(first[4], second[4])
    for images, shuffled, back, everything, order in workers:
        assert torch.equal(back, images)
        assert not torch.equal(shuffled, images)
        assert torch.equal(everything, joint[order])


def test_cross_entropy_weighs_every_label_alike(pool):
    options = {"loss": "cross_entropy", "batch_norm": "sync"}
    workers = pool.run("tests.dist.worker_steps", "train", options)
    assert_same_training(workers, worker_steps.train(options))


def test_two_workers_repeat_a_training_bit_for_bit(pool):
    options = {"batch_norm": "shuffle", "symmetric": True}
    first = pool.run("tests.dist.worker_steps", "train", options)
    again = pool.run("tests.dist.worker_steps", "train", options)
    for one, other in zip(first, again, strict=True):
        assert one[0] == other[0]
        assert all(torch.equal(value, other[2][name]) for name, value in one[2].items())


def test_a_failure_in_a_worker_arrives_with_its_traceback_and_the_pool_lives_on(pool):
    with pytest.raises(WorkerFailedError, match=r"(?s)rank 1.*raise ValueError.*on purpose"):
        pool.run("tests.dist.worker_steps", "fail_in_the_second")
    assert pool.run("tests.dist.worker_steps", "world_size") == [2, 2]
