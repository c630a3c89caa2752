"""Batch norm over groups, and what it is with one worker."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from raymoco.errors import ConfigError
from raymoco.ssl.batch_norm import SplitBatchNorm, SyncBatchNorm, convert_batch_norm


def some_norm(kind):
    norm = nn.BatchNorm2d(3) if kind == 4 else nn.BatchNorm1d(3)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.normal_()
        norm.running_mean.normal_()
    return norm.double()


@pytest.mark.parametrize("dims", [2, 4])
@pytest.mark.parametrize("groups", [2, 4])
def test_split_normalizes_each_group_as_its_own_batch(groups, dims):
    plain = some_norm(dims)
    split = convert_batch_norm(copy.deepcopy(plain), "split", groups)
    images = torch.randn(8, 3, *[5, 4][: dims - 2], dtype=torch.float64)
    apart = [copy.deepcopy(plain) for _ in range(groups)]
    expected = torch.cat([norm(part) for norm, part in zip(apart, images.chunk(groups))])  # noqa: B905
    torch.testing.assert_close(split(images), expected)
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(norm, name) for norm in apart]).mean(0)
        torch.testing.assert_close(getattr(split, name), mean)
    assert split.num_batches_tracked == 1
    plain.load_state_dict(split.state_dict())
    torch.testing.assert_close(split.eval()(images), plain.eval()(images))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_split_takes_a_short_batch_in_fewer_groups(size):
    split = convert_batch_norm(nn.BatchNorm2d(3), "split", 4)
    assert split(torch.randn(size, 3, 4, 4)).isfinite().all()


def test_split_keeps_channels_last():
    split = convert_batch_norm(nn.BatchNorm2d(3), "split", 2)
    images = torch.randn(8, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert split(images).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dims", [2, 4])
@pytest.mark.parametrize("training", [True, False])
def test_sync_with_one_worker_is_plain_batch_norm(training, dims):
    plain = some_norm(dims).train(training)
    sync = convert_batch_norm(copy.deepcopy(plain), "sync")
    images = torch.randn(8, 3, *[5, 4][: dims - 2], dtype=torch.float64)
    assert torch.equal(sync(images), plain(images))
    assert all(torch.equal(sync.state_dict()[k], v) for k, v in plain.state_dict().items())


@pytest.mark.parametrize(("name", "kind"), [("split", SplitBatchNorm), ("sync", SyncBatchNorm)])
def test_every_batch_norm_is_replaced_and_keeps_its_parameters(name, kind):
    module = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))
    before = dict(module.named_parameters())
    after = convert_batch_norm(module, name, 2)
    assert type(after[1][0]) is kind
    assert all(parameter is before[path] for path, parameter in after.named_parameters())
    assert after.state_dict().keys() == module.state_dict().keys()


@pytest.mark.parametrize("name", ["plain", "shuffle"])
def test_plain_and_shuffle_leave_the_module_as_it_is(name):
    norm = nn.BatchNorm2d(3)
    assert convert_batch_norm(norm, name) is norm


def test_an_unknown_batch_norm_is_refused():
    with pytest.raises(ConfigError, match="batch_norm is 'layer', but must be one of"):
        convert_batch_norm(nn.BatchNorm2d(3), "layer")
    with pytest.raises(ConfigError, match="bn_groups is 0"):
        convert_batch_norm(nn.BatchNorm2d(3), "split", 0)
