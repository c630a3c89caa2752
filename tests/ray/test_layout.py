"""Which gangs fit on which cluster; its GPUs are only counted here, none is used."""

import json
import os
import subprocess
import sys

LAYOUTS = """\
import json, ray
from raymoco.config import ScaleConfig
from raymoco.engine.cluster import check_layout
from raymoco.errors import ConfigError

ray.init("local", num_cpus=5, num_gpus=2, include_dashboard=False, log_to_driver=False)
said = []
for workers, cpus, gpus, gangs in [
    (1, 1, 0.5, 4), (1, 0.5, 0.25, 8), (2, 1, 1, 1), (2, 1, 0, 2),
    (1, 1, 0.5, 5), (2, 1, 0.5, 1), (1, 1, 0.75, 2), (1, 1, 0.75, 3), (1, 1, 0, 5),
]:
    scale = ScaleConfig(workers=workers, cpus_per_worker=cpus, gpus_per_worker=gpus)
    try:
        check_layout(scale, gangs)
        said.append("")
    except ConfigError as error:
        said.append(str(error))
print(json.dumps(said))
ray.shutdown()
"""


def test_gangs_may_share_gpus_and_have_several_workers_as_far_as_there_is_room():
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LAYOUTS],
        env={**environment, "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said[:4] == [""] * 4
    assert "hold 2.5 GPUs, but the cluster has 2" in said[4]
    assert "which NCCL refuses" in said[5]
    assert said[6] == ""
    # 2.25 of 2 GPUs
    assert "hold 2.25 GPUs" in said[7]
    assert "Ray Data needs one that no gang holds" in said[8]
