"""The model that every section of a config derives from."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator


class StrictModel(BaseModel):
    """A frozen mapping that refuses unknown keys, booleans for numbers, NaN and infinity."""

    # defaults are validated too: 1 and 1.0 would give one run two names
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_numbers(cls, value: Any, info: Any) -> Any:
        # pydantic would read `true` as 1; in a YAML file that is a mistake
        annotation = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and "bool" not in str(annotation):
            raise ValueError(f"{str(value).lower()} is not a value for this key")
        return value
