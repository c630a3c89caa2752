"""The loop of one run: epochs of steps, evaluations, checkpoints, reports.

It runs in every worker, and is the same under one TorchTrainer, on a warm gang and in a test.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from raymoco.choices import LOSSES
from raymoco.config import RunConfig
from raymoco.data.loading.batch import Batch
from raymoco.data.loading.loader import Loader, open_images
from raymoco.data.loading.prepare import PreparedImages
from raymoco.data.loading.train_plan import Reader
from raymoco.data.views.build import build_views
from raymoco.data.views.two_views import Normalize
from raymoco.engine.checkpoint import SPARE, Checkpoint, load_newest, save_checkpoint
from raymoco.engine.probes import Features, extract_features, view_features
from raymoco.engine.profiler import StepProfiler
from raymoco.engine.protocols.judge import build_protocols, finite, measure, needed, of_split
from raymoco.engine.protocols.protocol import LABELS, TRAIN, VIEWS, Evaluation
from raymoco.engine.protocols.record import Record
from raymoco.engine.session import Session
from raymoco.engine.start_weights import start_run
from raymoco.engine.step import Step, build_optimizer, to_device
from raymoco.engine.stopwatch import Stopwatch
from raymoco.errors import DataError, NotFiniteError
from raymoco.metrics import (
    CHANGED_VALUE,
    COMPUTE_SECONDS,
    DATA_WAIT,
    IMAGES_PER_SECOND,
    LOSS_TERM,
    STEP_SECONDS,
    TRAIN_LR,
    VIEWS_SECONDS,
    Row,
)
from raymoco.ssl import MoCo, build_method
from raymoco.ssl.schedules import learning_rate
from raymoco.yamlfile import flatten

EVAL_BATCH = 1024
ALIGNMENT_IMAGES = 1024


def seed_epoch(seed: int, epoch: int, rank: int) -> None:
    """Seed torch for one epoch of one worker: a resumed run draws what an undisturbed one draws."""
    digest = hashlib.sha256(f"{seed}:{epoch}:{rank}".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def run_loop(
    config: RunConfig, handle: PreparedImages, session: Session, resume_from: Path | None = None
) -> Row:
    """Train one run to its end and return its last row.

    Args:
        config: resolved, see `resolve`.
        handle: the images, as the driver prepared them.
        session: this worker's place; hears of every epoch, may stop the run by raising `Stopped`.
        resume_from: a checkpoint of the same config to go on from.
    Raises:
        NotFiniteError: the loss is NaN or infinite; on every rank alike.
        DataError: images or checkpoint cannot be used.
    """
    torch.set_num_threads(session.threads)
    return _Run(config, handle, session).train(resume_from)


class _Run:
    """The parts of one run, on one worker."""

    def __init__(self, config: RunConfig, handle: PreparedImages, session: Session) -> None:
        self.config, self.session, self.handle = config, session, handle
        self.device = session.device
        reader = Reader(
            config.seed,
            config.optim.batch_size,
            session.rank,
            session.workers,
            epochs=config.epochs,
        )
        self.images: Loader = open_images(
            handle,
            config.data,
            reader,
            labeled_only=LOSSES.facts(config.method.loss, look=True).needs_labels,
        )
        mean, std = handle.manifest.mean, handle.manifest.std
        size, channels = self.images.view_size, self.images.channels
        self.views = build_views(
            config.data.views,
            channels=channels,
            image_size=size,
            mean=mean,
            std=std,
            device=self.device,
        )
        self.normalize = Normalize(mean, std).to(self.device)
        module: nn.Module = build_method(
            config.model,
            config.method,
            channels=channels,
            image_size=size,
            classes=len(self.images.classes),
            seed=config.seed,
        )
        self.module = module.to(self.device).to(memory_format=torch.channels_last)
        self.optimizer = build_optimizer(config.optim, self.module.parameters())
        self.step = Step(
            self.module,
            self.optimizer,
            device=self.device,
            bf16=config.precision == "bf16",
            workers=session.workers,
        )
        self.protocols = build_protocols(config.eval).values()
        self.train_seconds = 0.0
        self.rows: list[Row] = []
        self._profile = session.profile

    def train(self, resume_from: Path | None) -> Row:
        first = self._restore(resume_from) if resume_from is not None else 0
        if first:
            # the receiver may have been killed before recording these; it skips known rows
            for row in self.rows:
                self.session.report(row, None)
        else:
            session, images = self.session, self.images
            if self.config.model.weights is not None:
                session.text(start_run(self.module, self.config.model))
            session.text(
                f"{images.visible} visible labels, {images.steps(0)} steps an epoch, "
                f"{images.short_batch(0)} images left over in the first"
            )
        try:
            for epoch in range(first, self.config.epochs):
                self._epoch(epoch)
        finally:
            self.images.close()
        return self.rows[-1]

    def _epoch(self, epoch: int) -> None:
        config = self.config
        done, last = epoch + 1, epoch + 1 == config.epochs
        started = time.perf_counter()
        row: Row = {"epoch": done, **self._train_epoch(epoch)}
        if last or done % config.eval.every == 0:
            if self.session.rank == 0:
                row.update(self._evaluate(last))
            self.train_seconds += time.perf_counter() - started
        else:
            self.train_seconds += time.perf_counter() - started
        row["train_seconds"] = self.train_seconds
        self.rows.append(row)
        path = None
        if (last or done % config.checkpoint.every == 0) and self.session.rank == 0:
            path = self._save(done, last)
        self.session.report(row, path)

    def _train_epoch(self, epoch: int) -> Row:
        config, watch = self.config.at(epoch), Stopwatch(self.device)
        if self.config.changes and isinstance(self.module, MoCo):
            self.module.adjust(config.method)
        seed_epoch(config.seed, epoch, self.session.rank)
        self.module.train()
        steps = self.images.steps(epoch)
        sums: dict[str, Tensor] = {}
        lr = 0.0
        started = time.perf_counter()
        batches = self.images.epoch(epoch)
        # --profile records the first epoch of this process
        folder, self._profile = self._profile, None
        with StepProfiler(folder, steps, self.device) as profiler:
            for number in range(steps):
                self.session.step()
                lr = learning_rate(
                    epoch + number / steps,
                    base=config.optim.lr,
                    epochs=config.epochs,
                    warmup_epochs=config.optim.warmup_epochs,
                    schedule=config.optim.schedule,
                )
                with record_function("whole step"):
                    losses = self._train_step(batches, watch, lr)
                    for name, loss in losses.items():
                        sums[name] = sums[name] + loss if name in sums else loss
                profiler.step()
        seen = steps * config.optim.batch_size
        # the only place where an epoch waits for the device
        names = list(sums)
        means = self.session.mean(torch.stack([sums[name].float() for name in names]) / steps)
        row: Row = {
            LOSS_TERM.of(name): value for name, value in zip(names, means.tolist(), strict=True)
        }
        # the weights too: the last step may have broken what no loss has seen yet. They are equal
        # on all ranks, so all raise alike
        finite = torch.stack([p.isfinite().all() for p in self.module.parameters()]).all()
        if not (bool(torch.isfinite(means).all()) and bool(finite)):
            raise NotFiniteError(f"nan at epoch {epoch + 1}")
        seconds = time.perf_counter() - started
        spent = watch.totals()
        now = flatten(config.model_dump(include={"method", "optim"}))
        changed = {key for values in self.config.changes.values() for key in values}
        return row | {
            **{CHANGED_VALUE.of(key): now[key] for key in sorted(changed)},
            TRAIN_LR: lr,
            IMAGES_PER_SECOND: seen / seconds,
            STEP_SECONDS: seconds / steps,
            DATA_WAIT: spent.get("data", 0.0) / steps,
            VIEWS_SECONDS: spent.get("views", 0.0) / steps,
            COMPUTE_SECONDS: spent.get("compute", 0.0) / steps,
        }

    def _train_step(
        self, batches: Iterator[Batch], watch: Stopwatch, lr: float
    ) -> dict[str, Tensor]:
        with watch.wait("data"), record_function("data"):
            batch = next(batches)
        with watch.measure("views"), record_function("views"):
            images = to_device(batch.images, self.device)
            view_a, view_b = (
                view.contiguous(memory_format=torch.channels_last) for view in self.views(images)
            )
            labels = to_device(batch.labels, self.device)
        with watch.measure("compute"):
            return self.step(view_a, view_b, labels, lr)

    def _evaluate(self, last: bool) -> Row:
        labeled = bool(self.images.classes)  # otherwise nothing has a label
        protocols = [one for one in self.protocols if labeled or LABELS not in one.needs]
        judged = protocols if last else of_split(protocols, "eval")
        features = self._labeled_features if labeled else self._features
        chosen = features("eval")
        train = features("train") if needed(judged, TRAIN) else chosen.without_rows()
        views = self._alignment_views() if needed(judged, VIEWS) else None
        record = Record(self.handle)
        about = Evaluation(
            "eval",
            choose=chosen,
            classes=len(self.images.classes),
            seed=self.config.seed,
            views=views and view_features(self._encoder, views),
            keep=record.keep("eval"),
        )
        row = measure(judged, train, chosen, about)
        # told before the run began: judges.py
        tested = self.handle.manifest.counts["test"].labelled or not labeled
        if last and tested and of_split(judged, "test"):
            about = replace(about, split="test", views=None, keep=record.keep("test"))
            row |= measure(judged, train, features("test"), about)
        if last and self.session.predictions is not None:
            # before the last checkpoint and report: a run that is over has them
            record.write(self.session.predictions)
        found = finite(row)
        if len(found) < len(row):
            self.session.text(
                f"not measurable, and left out: {', '.join(sorted({*row} - {*found}))}"
            )
        return found

    def _features(self, split: str) -> Features:
        if not self.handle.rows(split):
            raise DataError(f"the {split} split has no image, so nothing can be judged by it.")
        batches = self.images.split(split, EVAL_BATCH)
        return extract_features(self._encoder, batches, self.normalize, self.device)

    def _labeled_features(self, split: str) -> Features:
        found = self._features(split)
        if split == "train" and self.config.eval.labels == "visible":
            found = Features(found.features_NF, self.images.visible_labels.to(self.device))
        found = found.labeled()
        if len(found.labels_N) == 0:
            raise DataError(
                f"the {split} split has no labeled image, so nothing can be judged by it."
            )
        return found

    def _alignment_views(self) -> tuple[Tensor, Tensor]:
        # a generator of its own: evaluating more often must not change what training draws
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.config.seed)
            batches = self.images.split("eval", ALIGNMENT_IMAGES, whole=True)
            images = next(iter(batches)).images
            view_a, view_b = self.views(images.to(self.device))
            return view_a, view_b

    @property
    def _encoder(self) -> nn.Module:
        encoder = self.module.encoder
        assert isinstance(encoder, nn.Module)
        return encoder

    def _save(self, done: int, last: bool) -> Path:
        keep = self.config.checkpoint.keep
        checkpoint = Checkpoint(
            config=self.config.model_dump(),
            epoch=done,
            module=self.module.state_dict(),
            optimizer=self.optimizer.state_dict(),
            data={
                "channels": self.images.channels,
                "image_size": self.images.view_size,  # what the encoder sees
                "classes": list(self.images.classes),
                "mean": list(self.normalize.mean.flatten().tolist()),
                "std": list(self.normalize.std.flatten().tolist()),
                "rows": [dict(row) for row in self.rows],
                "reading": self.images.reading,
            },
        )
        return save_checkpoint(self.session.folder, checkpoint, keep if last else max(keep, SPARE))

    def _restore(self, path: Path) -> int:
        checkpoint = load_newest(path, self.device, self.session.text)
        if checkpoint is None:
            return 0
        if not checkpoint.whole:
            raise DataError(
                f"{path} has the query encoder only (checkpoint.losers), so that no training can "
                "go on from it."
            )
        self.module.load_state_dict(checkpoint.module)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.rows = [dict(row) for row in checkpoint.data["rows"]]
        self.train_seconds = float(self.rows[-1]["train_seconds"])
        self.session.text(f"resumed after epoch {checkpoint.epoch}")
        return checkpoint.epoch
