"""Refuse a sweep whose file names missing code, before anything starts.

Reading a sweep file imports no third-party code, so that an old folder can be shown anywhere.
"""

from __future__ import annotations

from raymoco.engine.check_choices import check_choices
from raymoco.errors import ConfigError
from raymoco.study.sweepfile.ablation_spec import AblationSpec
from raymoco.study.sweepfile.equivalent_cells import refuse_equivalent_cells
from raymoco.study.sweepfile.load import Sweep


def check_named_code(sweep: Sweep) -> None:
    """Import and check the code that the run, a value of an axis or a cell names.

    Raises:
        ConfigError: a wrong path, a class that does not keep its Protocol, or wrong options; names
            the axis or the cell. Or two cells train identically, by what the code says that it
            uses.
    """
    for what, values in [("run", {}), *sweep.corners]:
        try:
            check_choices(sweep.base.with_values(values))
        except ConfigError as error:
            raise ConfigError(f"{what}: {error}") from None
    if isinstance(sweep.spec, AblationSpec):
        refuse_equivalent_cells(sweep.spec.tuned_cells, sweep.base, look=True)
