from enum import StrEnum
from typing import Self


class OpenEnum(StrEnum):
    """An enum of the API. A value that this version doesn't know is kept as it is."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = value
        unknown._value_ = value
        return unknown
