"""What the validation engine asks the ML engine about models."""

from http import HTTPStatus
from urllib.parse import quote

import aiohttp
from pydantic import TypeAdapter, ValidationError

from vru.domain import VruError
from vru.service.errors import NotFoundError, UnavailableError
from vru.service.schemas import ModelBody, Problem

_versions = TypeAdapter(list[ModelBody])


async def find_model(session: aiohttp.ClientSession, ml_engine_url: str, name: str, version: str | None) -> ModelBody:
    """The model's version, or its newest.

    Raises:
        NotFoundError: there is no such model or version; names it and says which there are.
        UnavailableError: the ML engine does not answer.
    """
    url = f"{ml_engine_url}/models/{quote(name, safe='')}" + (f"/{quote(version, safe='')}" if version else "")
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=10)) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise UnavailableError(
            f"The ML engine does not answer, so model {name!r} cannot be looked up.", "Try again in a minute."
        ) from error
    try:
        if response.status == HTTPStatus.NOT_FOUND:
            problem = Problem.model_validate_json(text)
            raise NotFoundError(problem.detail, problem.fix or "")
        if response.status != HTTPStatus.OK:
            raise UnavailableError(f"The ML engine answered {response.status} when asked about model {name!r}.")
        if version:
            return ModelBody.model_validate_json(text)
        # The oldest version comes first.
        return _versions.validate_python((await response.json())["items"])[-1]
    except (ValidationError, ValueError, KeyError, IndexError) as error:
        raise VruError(f"The ML engine's answer about model {name!r} is not understood.") from error
