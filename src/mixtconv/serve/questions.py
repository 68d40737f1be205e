"""What may be asked, as schemas of the OpenAPI description."""

from pydantic import BaseModel, Field

from mixtconv.data.windows import WindowPlan
from mixtconv.serve.faults import ServiceError

_DURATION = r"^([0-9]+(\.[0-9]+)?|\.[0-9]+)(s|f|ms|m)?$"


class PredictOptions(BaseModel):
    """How a video is labelled."""

    top_k: int = Field(5, ge=1, le=1000, description="How many labels.")
    frames: bool = Field(False, description="Whether to send the sampled frames as well.")


class TimelineOptions(BaseModel):
    """How a video gets a timeline."""

    top_k: int = Field(5, ge=1, le=1000, description="How many labels of each window.")
    window: str = Field(
        "4s",
        max_length=16,
        pattern=_DURATION,
        description="Length of a window: 4s, 500ms, 1m or 32f (frames).",
    )
    stride: str | None = Field(
        None,
        max_length=16,
        pattern=_DURATION,
        description="From one window to the next, in the same unit; default its length.",
    )
    merge: bool = Field(False, description="Make one segment of neighbours with the same label.")

    def plan(self) -> WindowPlan:
        """The windows.

        Raises:
            ServiceError: they have two units, or no length.
        """
        try:
            return WindowPlan.parse(self.window, self.stride)
        except ValueError as error:  # it says the names of flags
            raise ServiceError("invalid", str(error).replace("--", "")) from error


class SourceRequest(BaseModel):
    """A video that lies where the service may read it."""

    source: str = Field(
        min_length=1, max_length=4096, description="A URL or an absolute path that is allowed."
    )
