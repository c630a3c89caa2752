"""The provenance of a result as tags: data, code, versions, device."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from raymoco.config import ScaleConfig
from raymoco.data.loading.prepare import PreparedImages
from raymoco.engine.regime import TrainImages

PACKAGES = ("raymoco", "torch", "ray", "optuna", "mlflow")


def provenance(handle: PreparedImages, scale: ScaleConfig) -> dict[str, str]:
    """Return tags for an MLflow run; the commit is left out where it is unknown.

    The counts of `eval` and `test` are of labeled images, the denominators of an accuracy;
    `train_labels` counts the training images' labels, hidden ones too; below `data.limit` it is
    the expected number.
    """
    labeled = {split: handle.manifest.counts[split].labelled for split in ("eval", "test")}
    train = TrainImages.of(handle.manifest, handle.rows("train"))
    tags = {
        "raymoco.source": handle.manifest.source,
        "raymoco.data_digest": handle.manifest.fingerprint,
        "raymoco.train_images": str(handle.rows("train")),
        "raymoco.train_labels": str(round(sum(train.per_class))),
        "raymoco.classes": str(len(handle.classes)),
        "raymoco.eval_images": str(labeled["eval"]),
        "raymoco.test_images": str(labeled["test"]),
        "raymoco.versions": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "raymoco.python": platform.python_version(),
        "raymoco.machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "raymoco.gang": f"{scale.workers} x ({scale.cpus_per_worker:g} CPU, "
        f"{scale.gpus_per_worker:g} GPU)",
        "raymoco.device": "cuda" if scale.gpus_per_worker else "cpu",
    }
    commit = _commit()
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # raymoco in a job's working directory is not installed
        return "not installed"


def _commit() -> str:
    """The commit of the running code, if it is in a git checkout."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):  # no git on this machine
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
