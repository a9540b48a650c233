"""Whether the whole platform is well: every service, the database and Redis."""

import asyncio
import math
import re
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import aiohttp
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from vru.gateway.auth.current import Sessions, is_logged_in
from vru.gateway.resources import Gateway, Resources
from vru.service.app import run_check

# More than a service gives its own checks: a busy one is slow, not away.
_PATIENCE_S = 6.0
_FRESH_S = 1.0
_TIMED_OUT = re.compile(r"(?:\w+: )?no answer within [\d.]+ s(?:; (?:\w+: )?no answer within [\d.]+ s)*")

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


class LatestHealth:
    """The last look at all parts. Whoever asks within a second gets the same: six questions follow from each look."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._looked = -math.inf
        self._parts: dict[str, PartHealth] = {}

    async def parts(self, gateway: Resources) -> dict[str, PartHealth]:
        """Every part's health, at most a second old."""
        async with self._lock:
            if time.monotonic() - self._looked >= _FRESH_S:
                probes = _probes(gateway)
                answers = await asyncio.gather(*map(_timed, probes.values()))
                self._parts = dict(zip(probes, answers, strict=True))
                self._looked = time.monotonic()
            return self._parts


def _without_reasons(part: PartHealth) -> PartHealth:
    """What everybody may know: reasons name internal addresses and quote the database. A time-out says neither."""
    detail = part.detail if part.detail and _TIMED_OUT.fullmatch(part.detail) else None
    return part.model_copy(update={"detail": detail})


@router.get("/health", summary="Whether every part of the platform is well", responses={503: {"model": PlatformHealth}})
async def get_platform_health(
    gateway: Gateway, sessions: Sessions, request: Request, response: Response
) -> PlatformHealth:
    """200 if all is well, else 503 with what is not."""
    latest: LatestHealth = request.app.state.latest_health
    parts = await latest.parts(gateway)
    well = all(part.status == "ok" for part in parts.values())
    if not well and not await is_logged_in(request, sessions):
        parts = {name: _without_reasons(part) for name, part in parts.items()}
    response.status_code = 200 if well else 503
    response.headers["Cache-Control"] = "no-store"
    return PlatformHealth(status="ok" if well else "degraded", services=parts)
