"""Whether the whole platform is well: every service, the database and Redis."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import aiohttp
from fastapi import APIRouter, Response
from pydantic import BaseModel

from vru.gateway.resources import Gateway, Resources
from vru.service.app import run_check

# More than a service gives its own checks: a busy one is slow, not away.
_PATIENCE_S = 6.0

router = APIRouter(tags=["service"])


class PartHealth(BaseModel):
    """One part's health. ``detail`` says what is wrong."""

    status: Literal["ok", "unavailable"]
    detail: str | None = None
    latency_ms: float


class PlatformHealth(BaseModel):
    """The platform's health: "degraded" if any part is not well."""

    status: Literal["ok", "degraded"]
    services: dict[str, PartHealth]


async def ping_redis(gateway: Resources) -> None:
    """Do nothing if Redis answers."""
    await gateway.redis.ping()


def _probes(gateway: Resources) -> dict[str, Callable[[], Awaitable[None]]]:
    def service(base_url: str) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            # /ready, not /health: a service that lost its database is not well, though its process answers.
            async with gateway.http.get(f"{base_url.rstrip('/')}/ready") as answer:
                if answer.status == 200:
                    return
                reasons = await _reasons(answer)
            raise ConnectionError(reasons or f"answers with status {answer.status}")

        return check

    settings = gateway.settings
    return {
        "database": gateway.database.check,
        "redis": lambda: ping_redis(gateway),
        "ml_engine": service(settings.ml_engine_url),
        "camera_service": service(settings.camera_service_url),
        "validation_engine": service(settings.validation_engine_url),
        "frontend": service(settings.frontend_url),
    }


async def _reasons(answer: aiohttp.ClientResponse) -> str:
    """What a service's /ready complains about, if it answers in this platform's way."""
    if answer.content_type != "application/json":
        return ""
    checks = (await answer.json()).get("checks", {})
    return "; ".join(f"{name}: {outcome}" for name, outcome in checks.items() if outcome != "ok")


async def _timed(check: Callable[[], Awaitable[None]]) -> PartHealth:
    began = time.perf_counter()
    outcome = await run_check(check, _PATIENCE_S)
    latency = round((time.perf_counter() - began) * 1000, 1)
    if outcome == "ok":
        return PartHealth(status="ok", latency_ms=latency)
    return PartHealth(status="unavailable", detail=outcome, latency_ms=latency)


@router.get("/health", summary="Whether every part of the platform is well", responses={503: {"model": PlatformHealth}})
async def get_platform_health(gateway: Gateway, response: Response) -> PlatformHealth:
    """200 if all is well, else 503 with what is not."""
    probes = _probes(gateway)
    parts = dict(zip(probes, await asyncio.gather(*map(_timed, probes.values())), strict=True))
    well = all(part.status == "ok" for part in parts.values())
    response.status_code = 200 if well else 503
    response.headers["Cache-Control"] = "no-store"
    return PlatformHealth(status="ok" if well else "degraded", services=parts)
