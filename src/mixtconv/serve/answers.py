"""Schemas of the answers, for the OpenAPI description; decoders send `VideoFacts` as well."""

from typing import Any

from pydantic import BaseModel, Field

Score = Field(
    ge=0,
    le=1,
    description="Confidence: softmax of the averaged logits; of a model of several labels sigmoid.",
)


class LabelScore(BaseModel):
    """A class and its score."""

    label: str
    score: float = Score


class VideoFacts(BaseModel):
    """What the file states about its video."""

    width: int = Field(description="Pixels of a picture as it is shown: upright, and square.")
    height: int
    codec: str
    seconds: float | None = Field(description="Length, null if the file does not state it.")
    start: float = Field(
        0.0,
        description="Seconds by the file's clock before its first picture, from which the times of "
        "windows and events count; above 0 where sound begins earlier.",
    )


class SampledFrame(BaseModel):
    """A frame as the network sees it."""

    number: int = Field(description="Number in the video, from 0.")
    jpeg: str = Field(description="The picture, a JPEG file in base64.")


class VideoAnswer(BaseModel):
    """The labels of a video."""

    predictions: list[LabelScore] = Field(
        description="The best classes, best first; of a model of several labels all that hold. "
        "None of a video that the model rejects."
    )
    rejected: LabelScore | None = Field(
        None,
        description="Of a video that shows none of the classes, by the thresholds of the model: "
        "its best one.",
    )
    num_frames: int = Field(description="Frames of the whole video.")
    video: VideoFacts
    frames: list[SampledFrame] | None = Field(
        None, description="The frames of the first clip, if requested."
    )


class WindowAnswer(BaseModel):
    """The labels of one window."""

    start: float = Field(description="Seconds from the first frame of the video on.")
    end: float
    first_frame: int
    num_frames: int
    whole: bool = Field(description="Whether the video continues to the end of the window.")
    predictions: list[LabelScore]


class SegmentAnswer(BaseModel):
    """A stretch of a video with one label."""

    start: float
    end: float
    label: str
    score: float = Score
    num_windows: int


class TimelineAnswer(BaseModel):
    """The labels along a video."""

    windows: list[WindowAnswer]
    segments: list[SegmentAnswer] = Field(
        description="Label by time; without overlap, but of a model of several labels."
    )
    video: VideoFacts


class EventAnswer(BaseModel):
    """A stretch of a video in which a class was detected."""

    label: str
    start: float = Field(description="Seconds from the first frame of the video on.")
    end: float
    score: float = Field(ge=0, le=1, description="Mean score of its class from start to end.")


class CurveAnswer(BaseModel):
    """The scores of a class over time."""

    label: str
    values: list[float] = Field(description="The highest score from each start to the next.")


class ScoresAnswer(BaseModel):
    """Scores over time, smoothed as those that the thresholds are compared with."""

    starts: list[float] = Field(description="Seconds; at most 2000, whatever the length.")
    end: float
    classes: list[CurveAnswer] = Field(
        description="Those with events, and up to 20 in all those of the highest scores."
    )


class EventsAnswer(BaseModel):
    """The events of a video."""

    events: list[EventAnswer] = Field(description="By start.")
    thresholds: dict[str, list[float]] = Field(
        description="For each class that gives events the scores to enter and to leave."
    )
    scores: ScoresAnswer | None = Field(None, description="Scores over time, if requested.")
    video: VideoFacts


class ModelEvents(BaseModel):
    """How events are found."""

    scored: str = Field(description="What has scores: frames or windows.")
    settings: dict[str, Any] = Field(description="From scores to events, unless a request differs.")
    times: dict[str, Any] = Field(description="When scores are taken, unless a request differs.")
    needs: str | None = Field(description="What a request must say, as the model does not.")


class ModelAnswer(BaseModel):
    """The model: its classes, its input and its card."""

    name: str
    classes: list[str]
    num_frames: int = Field(description="Frames of a clip.")
    image_size: int = Field(description="Height and width of a frame as the network sees it.")
    modality: str
    sampling: str
    causal: bool
    several_labels: bool = Field(description="Whether a video may have several labels, or none.")
    protocol: str = Field(description="The views of every video, in words.")
    live: bool = Field(description="Whether it recognizes live streams.")
    live_refused: str | None = Field(description="Why it does not recognize them.")
    events: ModelEvents | None = Field(description="How it finds events.")
    events_refused: str | None = Field(description="Why it does not find them.")
    card: str = Field(description="Its model card, in Markdown.")
    version: str = Field(description="Version of mixtconv.")


class HealthAnswer(BaseModel):
    """State of the service."""

    status: str


class ErrorDetail(BaseModel):
    """Why a request has no result."""

    code: str = Field(description="For programs; each address lists its codes.")
    message: str = Field(description="For people.")


class ErrorAnswer(BaseModel):
    """The answer to a request without a result."""

    error: ErrorDetail
