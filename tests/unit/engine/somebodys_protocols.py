"""Evaluation protocols as a third party would write them, named by import path in tests."""

import torch
from pydantic import BaseModel, Field

from raymoco.metrics import Metric


class ClassMeans:
    """Each image belongs to the class whose mean is nearest."""

    class Options(BaseModel):
        power: float = Field(1.0, gt=0)

    metrics = (
        Metric("eval/class_means_top1", "accuracy of the nearest class mean", "fraction"),
        Metric("test/class_means_top1", "accuracy of the nearest class mean", "fraction"),
    )
    needs = ("train", "labels")

    def __init__(self, options):
        self._power = options.power

    def measure(self, train, judged, about):
        classes = train.labels_N.unique()
        means = torch.stack([train.features_NF[train.labels_N == c].mean(0) for c in classes])
        distance = torch.cdist(judged.features_NF, means) ** self._power
        right = classes[distance.argmin(1)] == judged.labels_N
        return {"class_means_top1": right.float().mean()}


class Keeps(ClassMeans):
    """Hands over its predictions too; `kept` is what a wrong one changes of them."""

    metric = "class_means_top1"

    def measure(self, train, judged, about):
        classes = train.labels_N.unique()
        means = torch.stack([train.features_NF[train.labels_N == c].mean(0) for c in classes])
        predicted = classes[torch.cdist(judged.features_NF, means).argmin(1)]
        about.keep(self.metric, self.kept(predicted, about))
        return {"class_means_top1": (predicted == judged.labels_N).float().mean()}

    def kept(self, predicted, about):
        return predicted


class KeepsMore(Keeps):
    """Keeps predictions of a metric that it does not report."""

    metric = "norm"


class KeepsFloats(Keeps):
    """Keeps numbers that are no classes."""

    def kept(self, predicted, about):
        return predicted.float()


class KeepsFewer(Keeps):
    """Leaves an image out."""

    def kept(self, predicted, about):
        return predicted[1:]


class KeepsOthers(Keeps):
    """A class that is not there."""

    def kept(self, predicted, about):
        return predicted.clone().index_fill_(0, torch.tensor([0]), about.classes).clamp_(min=0)


class KeepsWrong(Keeps):
    """Other predictions than those that it measured."""

    def kept(self, predicted, about):
        return (predicted + 1) % max(about.classes, 1)


class Norm:
    """How long features are; less is better, for the sake of the test."""

    metrics = (
        Metric("test/norm", "norm", better="lower"),
        Metric("eval/norm", "norm", better="lower"),
    )
    needs = ()

    def measure(self, train, judged, about):
        return {"norm": judged.features_NF.norm(dim=1).mean()}


class Draws:
    """Draws from torch's own generator, and from the train split without a label."""

    metrics = (Metric("eval/draws", "a draw"),)
    needs = ("train",)

    def measure(self, train, judged, about):
        row = torch.randint(len(train.features_NF), (1,))
        return {"draws": float(train.features_NF[row].sum() + torch.rand(1))}


class Other(Norm):
    """It does not return what it names."""

    metrics = (Metric("eval/other", "other", better="lower"),)


class Unmeasured:
    """It has no measure()."""

    metrics, needs = Norm.metrics, ()


class Ours(Norm):
    """A metric of raymoco's."""

    metrics = (Metric("eval/knn_top1", "kNN"),)


class Training(Norm):
    """No protocol reports a loss."""

    metrics = (Metric("train/loss", "loss"),)


class Needy(Norm):
    """There is no such thing to need."""

    needs = ("weights",)


class Broken(Norm):
    """It cannot be built."""

    def __init__(self):
        raise RuntimeError("no license")


class Peeks(ClassMeans):
    """Knows the labels that it judges by, from the order of the images."""

    def measure(self, train, judged, about):
        return {"class_means_top1": 1.0}


class Spoils(Norm):
    """Changes the features under those who come later."""

    def measure(self, train, judged, about):
        judged.features_NF.div_(2)
        return super().measure(train, judged, about)


class Wide(Norm):
    """A share above one."""

    metrics = (Metric("eval/norm", "norm", "fraction"),)

    def measure(self, train, judged, about):
        return {"norm": 1.5}


class Forgets(ClassMeans):
    """Says that no label is needed, and is NaN without."""

    needs = ()

    def measure(self, train, judged, about):
        labelled = judged.features_NF[judged.labels_N >= 0]
        return {"class_means_top1": labelled.mean().clamp(0, 1)}


class Backwards(ClassMeans):
    """The wrong way round."""

    metrics = (Metric("eval/error", "error"),)

    def measure(self, train, judged, about):
        right = super().measure(train, judged, about)["class_means_top1"]
        return {"error": 1 - right}


class Moody(Norm):
    """Other values each time."""

    count = 0

    def measure(self, train, judged, about):
        Moody.count += 1
        return {"norm": float(Moody.count)}
