"""What all bodies have in common."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from vru.domain import VruError
from vru.domain.texts import check_name

_SURROGATE = re.compile("[\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Whether UTF-8 and PostgreSQL can hold ``value``."""
    return "\0" not in value and not _SURROGATE.search(value)


class Schema(BaseModel):
    """Base of all bodies: unknown keys are refused, so that a typo is an error and not a silent default.

    So are NaN and infinity, which JSON and PostgreSQL's jsonb do not have: what is not known is null. So is text that
    neither UTF-8 nor PostgreSQL has: the character NUL, and halves of surrogate pairs.
    """

    model_config = ConfigDict(extra="forbid", from_attributes=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, data: Any) -> Any:
        # Each model looks at its own level; what is below are models, too.
        for key, value in data.items() if isinstance(data, dict) else ():
            for text in (key, *(value if isinstance(value, list) else (value,))):
                if isinstance(text, str) and not is_text(text):
                    place = key if isinstance(key, str) and is_text(key) else "a key"
                    raise ValueError(f"{place} must not contain the character NUL or half a surrogate pair")
        return data


def _name(text: str) -> str:
    try:
        check_name(text)
    except VruError as error:
        raise ValueError(error.message.rstrip(".")) from error
    return text


# What people call something.
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_name)]
# JSON's true is no number.
Whole = Annotated[int, Field(strict=True)]
