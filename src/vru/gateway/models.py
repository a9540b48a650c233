"""The model repository, as the ML engine sees it."""

from fastapi import APIRouter, Request, Response

from vru.gateway.auth.current import CurrentUser
from vru.gateway.parameters import problems
from vru.gateway.resources import Gateway
from vru.service.proxy import forward
from vru.service.schemas import ModelBody, Schema

router = APIRouter(prefix="/models", tags=["models"])


class ModelList(Schema):
    """All versions of all models."""

    items: list[ModelBody]
    total: int


@router.get("", summary="List models", response_model=ModelList, responses=problems(401, 503))
async def list_models(request: Request, user: CurrentUser, gateway: Gateway) -> Response:
    """What can be validated."""
    return await forward(
        request,
        gateway.http,
        gateway.settings.ml_engine_url,
        "/models",
        service="ml_engine",
        headers=gateway.asserter.headers("ml_engine", user.email),
    )
