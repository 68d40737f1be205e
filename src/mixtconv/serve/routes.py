"""The routes of the API."""

import base64
import io
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse
from PIL import Image
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError
from starlette.websockets import WebSocket

from mixtconv._version import __version__
from mixtconv.inference.timeline import shown_segments
from mixtconv.models.model_card import make_model_card
from mixtconv.serve.answers import (
    EventsAnswer,
    HealthAnswer,
    LabelScore,
    ModelAnswer,
    SampledFrame,
    SegmentAnswer,
    TimelineAnswer,
    VideoAnswer,
    WindowAnswer,
)
from mixtconv.serve.errors import ServiceError, error_responses, invalid_text
from mixtconv.serve.events import ChosenEvents, EventRecognition
from mixtconv.serve.live import refuse
from mixtconv.serve.requests import (
    MULTIPART,
    EventParameters,
    EventsOptions,
    LiveOptions,
    PredictOptions,
    Result,
    SourceRequest,
    TimelineOptions,
    cancel_on_disconnect,
    received_file,
)
from mixtconv.serve.service import Service
from mixtconv.serve.sources import fetch
from mixtconv.video.pictures import Clip
from mixtconv.video.windows import WindowPlan

Predict = Annotated[PredictOptions, Query()]
Timeline = Annotated[TimelineOptions, Query()]
Events = Annotated[EventsOptions, Query()]

ALWAYS = error_responses("bad_request", "unauthorized", "forbidden", "wrong_host")
WORK = error_responses(
    "bad_request", "unauthorized", "forbidden", "too_slow", "too_large", "not_a_video",
    "wrong_host", "unreadable", "too_long", "too_many_pixels", "invalid", "internal", "busy",
    "decode_timeout",
)  # fmt: skip
FETCH = WORK | error_responses("source_failed")

JPEG_QUALITY = 90


def video_routes(service: Service) -> APIRouter:
    """Labels of videos that are sent, or that the service reads itself."""
    router = APIRouter(prefix="/v1", tags=["videos"])

    @router.post("/predict", responses=WORK, openapi_extra=MULTIPART)
    async def predict(request: Request, options: Predict) -> VideoAnswer:
        """Rank the labels of a video that is sent."""
        async with received_file(request, service.spool) as path:
            return await cancel_on_disconnect(request, _predict(service, path, options))

    @router.post("/predict-source", responses=FETCH)
    async def predict_source(
        request: Request, body: SourceRequest, options: Predict
    ) -> VideoAnswer:
        """Rank the labels of a video at an allowed URL or path."""
        work = _of_source(service, body.source, lambda path: _predict(service, path, options))
        return await cancel_on_disconnect(request, work)

    @router.post("/timeline", responses=WORK, openapi_extra=MULTIPART)
    async def timeline(request: Request, options: Timeline) -> TimelineAnswer:
        """Labels along a video that is sent."""
        plan = options.plan()
        async with received_file(request, service.spool) as path:
            return await cancel_on_disconnect(request, _timeline(service, path, plan, options))

    @router.post("/timeline-source", responses=FETCH)
    async def timeline_source(
        request: Request, body: SourceRequest, options: Timeline
    ) -> TimelineAnswer:
        """Labels along a video at an allowed URL or path."""
        plan = options.plan()
        work = _of_source(
            service, body.source, lambda path: _timeline(service, path, plan, options)
        )
        return await cancel_on_disconnect(request, work)

    @router.post("/events", responses=WORK, openapi_extra=MULTIPART)
    async def events(request: Request, options: Events) -> EventsAnswer:
        """Find when something happens in a video that is sent."""
        recognition, chosen = _chosen_events(service, options)
        async with received_file(request, service.spool) as path:
            work = recognition.find(path, chosen, with_scores=options.scores)
            return await cancel_on_disconnect(request, work)

    @router.post("/events-source", responses=FETCH)
    async def events_source(request: Request, body: SourceRequest, options: Events) -> EventsAnswer:
        """Find when something happens in a video at an allowed URL or path."""
        recognition, chosen = _chosen_events(service, options)
        work = _of_source(
            service,
            body.source,
            lambda path: recognition.find(path, chosen, with_scores=options.scores),
        )
        return await cancel_on_disconnect(request, work)

    return router


def model_routes(service: Service) -> APIRouter:
    """The model and the metrics."""
    router = APIRouter(tags=["service"])
    about = model_answer(service)

    @router.get("/v1/model", responses=ALWAYS)
    async def model() -> ModelAnswer:
        """Describe the model: classes, input and card."""
        return about

    @router.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses={**ALWAYS, 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """Give the metrics, for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def open_routes(service: Service) -> APIRouter:
    """Without a token in their description: state of the service for its supervisor, streams."""
    router = APIRouter(tags=["service"])

    @router.get("/health/live")
    async def health_live() -> HealthAnswer:
        """Report that the process runs; needs no token."""
        return HealthAnswer(status="live")

    @router.get("/health/ready", responses=error_responses("busy"))
    async def health_ready() -> HealthAnswer:
        """Report whether videos can be recognized now; needs no token."""
        if not service.recognition.decoders.is_alive:
            raise ServiceError("busy", "no decoder is ready")
        return HealthAnswer(status="ready")

    @router.websocket("/v1/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        try:  # here, as a stream that is not accepted gets no message
            options = LiveOptions.model_validate(dict(socket.query_params))
        except ValidationError as error:
            await refuse(socket, "invalid", f"query.{invalid_text(error.errors())}")
            return
        if service.live is None:
            await refuse(socket, "not_live", service.live_refused or "")
            return
        found = None
        if options.events:
            try:
                _, chosen = _chosen_events(service, options)
                found = service.live.stream_events(chosen.times, chosen.settings)
            except ServiceError as error:
                await refuse(socket, error.code, error.message)
                return
        await service.live.serve(socket, top_k=options.top_k, events=found)

    return router


def model_answer(service: Service) -> ModelAnswer:
    """The description of the model."""
    recognizer = service.recognition.recognizer
    spec = recognizer.spec
    return ModelAnswer(
        **vars(spec),  # the answer takes what it has a field for
        several_labels=spec.several_labels,
        protocol=recognizer.protocol.describe(spec),
        live=service.live is not None,
        live_refused=service.live_refused,
        events=service.events.about() if service.events is not None else None,
        events_refused=service.events_refused,
        card=str(make_model_card(spec, recognizer.notes)),
        version=__version__,
    )


def _chosen_events(
    service: Service, options: EventParameters
) -> tuple[EventRecognition, ChosenEvents]:
    if service.events is None:
        raise ServiceError("invalid", service.events_refused or "")
    return service.events, service.events.choose(options.options())


async def _of_source(
    service: Service, source: str, answer: Callable[[Path], Coroutine[Any, Any, Result]]
) -> Result:
    """The answer for the file that a source names; a download is removed in the end."""
    if "://" not in source:
        return await answer(service.sources.check_file(source))
    with service.spool.file() as path:
        await fetch(source, path, allowed=service.sources, limits=service.settings)
        return await answer(path)


async def _predict(service: Service, path: Path, options: PredictOptions) -> VideoAnswer:
    answer, metadata, views = await service.recognition.label(path, top_k=options.top_k)
    return VideoAnswer(
        predictions=[LabelScore(**asdict(each)) for each in answer.predictions],
        rejected=LabelScore(**asdict(answer.rejected)) if answer.rejected else None,
        num_frames=views.num_frames,
        video=metadata,
        frames=_sampled_frames(views) if options.frames else None,
    )


async def _timeline(
    service: Service, path: Path, plan: WindowPlan, options: TimelineOptions
) -> TimelineAnswer:
    windows, metadata = await service.recognition.timeline(path, plan, top_k=options.top_k)
    segments = shown_segments(windows, merge=options.merge)
    return TimelineAnswer(
        windows=[WindowAnswer(**each.to_dict()) for each in windows],
        segments=[SegmentAnswer(**each.to_dict()) for each in segments],
        video=metadata,
    )


def _sampled_frames(views: Clip) -> list[SampledFrame]:
    """The first clip, as JPEG files; of a snippet its first picture."""
    clip = views.frames[0, :, :3]  # (T, 3, S, S)
    sampled = []
    for number, frame in zip(views.indices, clip, strict=False):  # the indices are of all clips
        file = io.BytesIO()
        picture = Image.fromarray(np.ascontiguousarray(frame.transpose(1, 2, 0)))  # (S, S, 3)
        picture.save(file, "JPEG", quality=JPEG_QUALITY)
        jpeg = base64.b64encode(file.getvalue()).decode()
        sampled.append(SampledFrame(number=number, jpeg=jpeg))
    return sampled
