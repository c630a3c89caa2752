"""What we borrow from other packages without their promise: listed once, and still there.

An upgrade that takes one of these away breaks here, by name, and not in somebody's sweep. Where the
loss would be silent, pyproject.toml has an upper bound as well.
"""

import ast
import importlib
import inspect
import logging
import re
from pathlib import Path

import pytest

import raymoco

PACKAGE = Path(raymoco.__file__).parent

# where it is used: what it is, as module:attribute
BORROWED = {
    "engine/cluster.py": ["ray.job_config:JobConfig"],  # its _py_driver_sys_path
    "engine/process_state.py": ["torch:_C._set_grad_enabled"],
    "engine/ray_train.py": [
        "ray.train.torch:TorchTrainer._create_default_callbacks",
        "ray.train.v2._internal.callbacks.datasets:DatasetsCallback",
        "ray.train.v2._internal.callbacks.placement_group_callback:PlacementGroupCleanerCallback",
    ],
    "engine/tokens.py": [
        "ray._private.authentication.authentication_token_setup"
        ":maybe_enable_token_auth_if_token_available",
        "ray._raylet:AuthenticationTokenLoader.instance",
    ],
    "ssl/batch_norm.py": ["torch.nn.modules.batchnorm:_BatchNorm"],
    "ssl/blockwise.py": ["torch._subclasses.fake_tensor:FakeTensor"],
    "ssl/encoders.py": ["torch:_foreach_lerp_"],
    "ssl/query_gradient.py": ["torch._subclasses.fake_tensor:FakeTensor"],
    "study/gangs/worker.py": ["torch._dynamo:config"],
    "study/proposals/considered.py": [
        "optuna.study:Study._get_trials",
        "optuna.study._multi_objective:_fast_non_domination_rank",
    ],
    "study/proposals/optuna_study.py": ["optuna.trial:FrozenTrial._trial_id"],
    "testing/rows.py": ["torch._subclasses:FakeTensorMode"],
    "testing/views.py": ["torch.utils._python_dispatch:TorchDispatchMode"],
    "study/proposals/warm_start.py": ["optuna.distributions:BaseDistribution._contains"],
}


def reach(path):
    module, _, names = path.partition(":")
    found = importlib.import_module(module)
    for name in names.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("path", sorted({path for paths in BORROWED.values() for path in paths}))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_we_borrow_exists(path):
    if path == "optuna.trial:FrozenTrial._trial_id":  # set by __init__
        import optuna

        assert optuna.trial.create_trial(value=0.0)._trial_id == -1
        return
    assert reach(path) is not None


def test_every_private_name_of_another_package_is_listed():
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        names = set()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Attribute):
                names.add(ast.unparse(node))
        foreign = ("torch", "ray", "optuna", "mlflow", "typer", "pydantic", "scipy", "sklearn")
        private = {
            name
            for name in names
            if re.fullmatch(rf"({'|'.join(foreign)})\.[\w.]+", name)
            and any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
        }
        if private:
            found[str(file.relative_to(PACKAGE))] = private
    assert found, "the search itself finds something"
    assert sorted(found.keys() - BORROWED.keys()) == []


def test_the_callbacks_that_we_leave_out_are_rays_own():
    from raymoco.engine.ray_train import SPARED

    listed = [path.rpartition(":")[2] for path in BORROWED["engine/ray_train.py"]]
    assert set(SPARED) <= set(listed)


def test_the_log_record_that_we_silence_is_still_written_there():
    from raymoco.data.ray_tasks import TASK_FAILURES

    assert importlib.import_module(TASK_FAILURES).logger is logging.getLogger(TASK_FAILURES)


def test_the_rule_of_the_median_keeps_results_by_trial():
    from ray.tune.schedulers import MedianStoppingRule

    assert "_results" in inspect.getsource(MedianStoppingRule.on_trial_result)


def test_mlflow_still_reads_the_shared_view_that_we_write():
    import mlflow

    bundles = Path(mlflow.__file__).parent / "server" / "js" / "build" / "static" / "js"
    text = "".join(file.read_text(encoding="utf-8") for file in bundles.glob("*.js"))
    for word in ("viewStateShareKey", "mlflow.sharedViewState", "compareRunCharts"):
        assert word in text
