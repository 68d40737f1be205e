"""A frozen transformer with the operation on its keys and values, beside the plain frozen one.

In training, the plain one has its last layer trained, for which nothing goes back through the
network; with the operation what goes back is the gradient of tokens alone; and for scale the whole
network is trained.
"""

from functools import partial

from gpu_sections.recognizers import AUTOCAST, CHANNELS_LAST, OPTIMISED, compare, workload_of
from gpu_sections.run import Run
from gpu_sections.timing import Step, inference, peak_of, products, with_fewer_clips
from mixtconv.benchmarks.model import channels_last_clips, create_recognizer, random_clips
from mixtconv.benchmarks.training_step import prepare_trained_step
from mixtconv.models import optimize_for_inference

STEPS = (("tsn", "head"), ("mstvit", "temporal"), ("mstvit", "all"))
"""Family, and what is trained of it; the first is the baseline."""

NAMES = {"tsn": "TSN", "mstvit": "MSTViT"}


def measure(run: Run) -> None:
    """Record inference and training steps by precision."""
    for precision in run.sizes.precisions[:2]:
        for what, part, clips, seconds in (
            ("inference", _infer, run.sizes.clips[0], 12),
            ("training step", _train, run.sizes.training_clips, 15),
        ):
            if run.has_time(f"{what}, {precision}", seconds):
                with run.attempt(f"{what}, {precision}"):
                    with_fewer_clips(run, partial(part, run, precision), clips)
                run.free()


def _infer(run: Run, precision: str, num_clips: int) -> None:
    sizes = run.sizes
    workload = workload_of(
        run, num_clips, backbone=sizes.transformer, image_size=sizes.transformer_size
    )
    clips = channels_last_clips(random_clips(workload, run.device))
    steps: dict[tuple[str, str], Step] = {}
    for family, name in NAMES.items():
        model = create_recognizer(family, workload).to(run.device).eval()
        steps[name, OPTIMISED] = inference(optimize_for_inference(model), clips, precision)
    details = {"precision": precision, "clips": num_clips, "what": "inference"}
    compare(run, steps, dict.fromkeys(steps, details))


def _train(run: Run, precision: str, num_clips: int) -> None:
    steps: dict[tuple[str, str], Step] = {}
    details = {}
    for family, trained in STEPS:
        key = f"{NAMES[family]}, {trained} trained", CHANNELS_LAST
        prepare = partial(_prepared_step, run, precision, num_clips, family, trained)
        steps[key], peak = peak_of(run, prepare)
        details[key] = {
            "precision": precision,
            "clips": num_clips,
            "what": "training step",
            "peak_bytes": peak,
        }
    compare(run, steps, details)


def _prepared_step(run: Run, precision: str, num_clips: int, family: str, trained: str) -> Step:
    sizes = run.sizes
    workload = workload_of(
        run,
        num_clips,
        model=f"{family}_{sizes.transformer}",
        image_size=sizes.transformer_size,
        precision=AUTOCAST[precision],
    )
    step = prepare_trained_step(workload, trained)

    def run_step() -> object:
        with products(precision):
            return step()

    return run_step
