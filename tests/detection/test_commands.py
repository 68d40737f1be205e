"""Events by the commands: predict, stream, tune-events and evaluate say the same of a recording."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from mixtconv.cli.main import main
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.transforms import center_crop
from mixtconv.detection.evaluate import evaluate_events
from mixtconv.detection.predict import predict_events
from mixtconv.detection.scorers import load_scorer
from mixtconv.detection.settings import EventOptions, ScoreTimes, StoredEvents
from mixtconv.detection.streams import StreamEvents
from mixtconv.events.detector import find_events
from mixtconv.events.event import Event
from mixtconv.events.scores import ScoreSequence
from mixtconv.events.settings import EventRule, EventSettings
from mixtconv.inference.timeline_files import captions
from mixtconv.models import ModelSpec, create_model, load_model, read_metadata, save_model

LABELS = ["Moving something up", "Moving something down"]


@pytest.fixture(scope="module")
def data(tiny_recordings: Path) -> Path:
    return tiny_recordings


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, data, media) -> dict[str, Path]:
    """Networks with random weights: what they say is nonsense, but the same by all commands."""
    frames = _frames(data, media)
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for kind in ("causal", "frames", "windows"):
        torch.manual_seed(4)
        model = create_model(
            "mstnet_test_resnet",
            classes=[*LABELS, "background"],
            num_frames=4,
            image_size=32,
            causal=kind == "causal",
            sampling="dense",
            frame_stride=6,
        )
        torch.nn.init.normal_(model.head.weight)
        with torch.inference_mode():  # all classes are likely
            logits = model.eval().forward_frames(model.normalize(frames[:4][None]))
        model.head.bias.data -= logits.mean(dim=(0, 1))
        paths[kind] = folder / f"{kind}.safetensors"
        save_model(model, paths[kind], notes={"frame_labels": kind == "frames", "top1": 50.0})
    return paths


def _frames(data: Path, media) -> torch.Tensor:
    """Every sixth picture of a recording as networks take it, uint8 (T, 3, 32, 32)."""
    pictures = np.stack(media.decode_all(_recording(data))[::6]).transpose(0, 3, 1, 2)
    [frames] = center_crop(torch.from_numpy(np.ascontiguousarray(pictures)), 32)
    return frames


def _recording(data: Path, name: str = "val-00000.mp4") -> str:
    return str(data.parent / "recordings" / name)


def _json(words: list[str], capsys) -> dict | list:
    assert main([*words, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


LOW = ["--enter", "0.4", "--min-seconds", "0.2", "--smoothing-seconds", "0.5"]


def test_a_stream_says_the_events_that_predict_finds(models, data, capsys) -> None:
    [found] = _json(["predict", str(models["causal"]), _recording(data), "--events", *LOW], capsys)
    assert found["events"]
    words = ["stream", str(models["causal"]), _recording(data), "--events", *LOW]
    assert main([*words, "--format", "json"]) == 0
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    ended = [each for each in messages if each.pop("state") == "ended"]
    assert sorted(ended, key=lambda e: (e["start"], e["end"], e["label"])) == found["events"]
    started = [(each["label"], each["start"]) for each in messages if "end" not in each]
    assert sorted(started) == sorted((each["label"], each["start"]) for each in ended)


def test_causal_events_equal_those_of_one_pass_over_the_whole_recording(
    models, data, media
) -> None:
    """Offline: all frames as one clip, and all scores at once."""
    model = load_model(models["causal"]).eval()
    frames = _frames(data, media)
    model.set_num_frames(len(frames))
    with torch.inference_mode():
        logits = model.forward_frames(model.normalize(frames[None]))[0]
    steps = [
        (n / 4, (n + 1) / 4, row) for n, row in enumerate(logits.double().softmax(dim=1).numpy())
    ]
    settings = EventSettings(enter=0.4, min_seconds=0.25, background=("background",))
    expected = find_events(ScoreSequence.of(model.spec.classes, steps), settings)
    found = list(predict_events(load_scorer(models["causal"]), _recording(data), settings))
    assert expected
    by_start = sorted(found, key=lambda each: (each.start, each.end, each.label))
    assert [(e.label, e.start, e.end) for e in by_start] == [
        (e.label, pytest.approx(e.start), pytest.approx(e.end)) for e in expected
    ]


@pytest.mark.parametrize("kind", ["causal", "frames", "windows"])
def test_tuned_settings_are_in_the_file_and_all_commands_use_them(
    models, data, tmp_path, capsys, kind
) -> None:
    out = tmp_path / "tuned.safetensors"
    words = ["tune-events", str(models[kind]), str(data), "--measure", "map", "--out", str(out)]
    tuned = _json(words, capsys)
    assert tuned["recordings"] == 2 and tuned["score"] >= tuned["start_score"]
    before, after = read_metadata(models[kind]), read_metadata(out)
    assert before["notes"].items() <= after["notes"].items()  # and nothing else is lost
    assert after["notes"]["events"]["settings"] == tuned["settings"]
    with safe_open(models[kind], "pt") as one, safe_open(out, "pt") as other:
        assert sorted(one.keys()) == sorted(other.keys())
        assert all(torch.equal(one.get_tensor(k), other.get_tensor(k)) for k in one.keys())  # noqa: SIM118
    score = evaluate_events(out, str(data))
    assert score.settings.to_dict() == tuned["settings"]
    assert score.metrics.detection_ap[0.5] == pytest.approx(tuned["score"])
    [found] = _json(["predict", str(out), _recording(data), "--events"], capsys)
    name = next(key for key in score.events if key.endswith("val-00000.mp4"))
    assert found["events"] == [event.to_dict() for event in score.events[name]]


def test_flags_replace_stored_settings_also_those_of_single_classes() -> None:
    stored = EventSettings(
        enter=0.6, leave=0.5, class_rules={"wave": EventRule(enter=0.9, leave=0.8)}
    )
    changed = EventOptions(enter=0.3, min_seconds=2).applied(stored)
    for rule in (changed, changed.rule_of("wave")):
        assert (rule.enter, rule.leave, rule.min_seconds) == (0.3, None, 2)
    assert EventOptions().applied(stored) == stored


def test_the_list_of_found_events_is_data_again(models, data, tmp_path, capsys) -> None:
    out = tmp_path / "found.csv"
    folder = str(data.parent / "recordings")
    words = ["predict", str(models["frames"]), folder, "--events", *LOW, "--out", str(out)]
    results = _json(words, capsys)
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(each["events"]) for each in results) > 0
    evaluation = _json(
        ["evaluate", str(models["frames"]), str(out), "--events", *LOW], capsys
    )  # against itself
    assert evaluation["precision"] == evaluation["recall"] == 100


def _page_content(path: Path) -> list[dict]:
    text = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', path.read_text())
    assert text is not None
    return json.loads(text[1])


def test_a_page_has_the_events_of_each_video_with_their_scores(
    models, data, tmp_path, capsys
) -> None:
    out, folder = tmp_path / "events.html", str(data.parent / "recordings")
    words = ["predict", str(models["causal"]), folder, "--events", *LOW, "--out", str(out)]
    results = _json(words, capsys)
    shown = _page_content(out)
    assert [each["name"] for each in shown] == [each["source"] for each in results]
    for one, wanted in zip(shown, results, strict=True):
        events = [{k: v for k, v in event.items() if k != "match"} for event in one["events"]]
        assert events == wanted["events"] and one["annotated"] is None
        assert (tmp_path / one["video"]).resolve() == Path(wanted["source"]).resolve()
        assert [each["label"] for each in one["scores"]["classes"]] == [*LABELS, "background"]
        assert one["thresholds"] == {label: [0.4, pytest.approx(0.28)] for label in LABELS}
    assert sum(len(each["events"]) for each in shown) > 0


def test_the_page_of_an_evaluation_has_the_annotation_beside(
    models, data, tmp_path, capsys
) -> None:
    page = tmp_path / "new" / "page.html"
    words = ["evaluate", str(models["frames"]), str(data), "--events", *LOW, "--page", str(page)]
    result = _json(words, capsys)
    shown = _page_content(page)
    assert [each["name"] for each in shown] == [each["video"] for each in result["recordings"]]
    for one, wanted in zip(shown, result["recordings"], strict=True):
        times = [(e["label"], e["start"], e["end"]) for e in one["annotated"]]
        expected = [(e["label"], e["start"], e["end"]) for e in wanted["annotated"]]
        assert times == [(a, pytest.approx(b, abs=1e-4), pytest.approx(c, abs=1e-4))
                         for a, b, c in expected]  # fmt: skip
        num_matched = sum(e["match"] is not None for e in one["events"])
        assert num_matched == sum(e["found"] for e in one["annotated"])
    num_right = sum(e["match"] is not None for each in shown for e in each["events"])
    assert 100 * num_right / result["num_detections"] == pytest.approx(result["precision"])
    assert "detection: average precision" in page.read_text()


def test_evaluate_counts_recordings_that_cannot_be_read_as_missed(
    models, data, tmp_path, capsys
) -> None:
    good = Path(_recording(data)).absolute()
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    rows = ["video,label,start,end", f"bad.mp4,{LABELS[0]},1,2", f"{good},{LABELS[0]},1,3"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    words = ["evaluate", str(models["frames"]), str(tmp_path / "list.csv"), "--events"]
    assert main([*words, "--format", "json"]) == 1
    captured = capsys.readouterr()
    content = json.loads(captured.out)
    assert content["num_truths"] == 2 and len(content["unreadable"]) == 1
    assert "bad.mp4" in captured.err


def test_what_is_annotated_beyond_the_end_is_said(models, data, tmp_path, capsys) -> None:
    path = Path(_recording(data)).absolute()
    rows = ["video,label,start,end", f"{path},{LABELS[0]},1,2", f"{path},{LABELS[1]},500,600"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    words = ["evaluate", str(models["frames"]), str(tmp_path / "list.csv"), "--events"]
    assert main([*words, "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["num_truths"] == 2
    assert "1 segment beyond the end of the recording" in captured.err
    assert f"{path.name}#t=500,600" in captured.err


def test_two_labels_of_one_stretch_are_read_where_both_hold(models, data, tmp_path, capsys) -> None:
    path = Path(_recording(data)).absolute()
    rows = ["video,label,start,end", *(f"{path},{label},1,2" for label in LABELS)]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    words = ["evaluate", str(models["frames"]), str(tmp_path / "list.csv"), "--events"]
    assert main(words) == 2
    assert "(--labels several, if both hold)" in capsys.readouterr().err
    found = _json([*words, "--labels", "several"], capsys)
    assert found["num_truths"] == 2
    assert {name: each["num_truths"] for name, each in found["classes"].items()} == (
        dict.fromkeys(LABELS, 1)
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "M", "V", "--enter", "0.5"], "--enter belongs to events; give --events too"),
        (["predict", "M", "V", "--events", "--merge"], "--merge belongs to a timeline"),
        (["predict", "M", "V", "--events", "--enter", "1.5"], "--enter is 1.5; give a score"),
        (["predict", "M", "V", "--events", "--protocol", "1x3"], "found with 1x1"),
        (["predict", "M", "V", "--events", "--fps", "0"], "--fps is 0.0; give more than 0"),
        (["stream", "M", "V", "--events", "--window", "1s"], "a stream scores each frame"),
        (["evaluate", "M", "D", "--events", "--scores", "s"], "--scores holds one row a video"),
        (["evaluate", "M", "D", "--leave", "0.1"], "--leave belongs to events"),
        (["evaluate", "M", "D", "--page", "a.html"], "--page shows events; give --events too"),
        (["evaluate", "M", "D", "--events", "--page", "a.csv"], "a file that ends in .html"),
        (["predict", "M", "V", "--window", "1s", "--out", "a.html"], "in .json, .csv, .srt"),
        (["tune-events", "model.onnx", "D"], "tune the model file that it was made from"),
        (["tune-events", "hf:a/b", "D"], "give --out"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(models, data, capsys, words, message) -> None:
    names = {"M": str(models["causal"]), "V": _recording(data), "D": str(data)}
    assert main([names.get(word, word) for word in words]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and "Traceback" not in error


def test_damaged_settings_in_a_file_are_refused() -> None:
    for stored in ({"settings": {"enter": 3}}, {"times": {"fsp": 2}}, {"settings": {"leaf": 1}}):
        with pytest.raises(ValueError, match="damaged settings of events"):
            StoredEvents.from_notes({"events": stored}, ("a", "b"))


def test_a_clock_that_jumps_back_goes_on() -> None:
    spec = ModelSpec("mstnet_test_resnet", ("wave", "nothing"))
    stream = StreamEvents(spec, EventSettings(background=("nothing",)), 10)
    said = []
    for number in range(60):
        seconds = number / 10 if number < 30 else (number - 30) / 10
        said += stream.push(seconds, [5.0, 0.0] if 10 <= number < 40 else [0.0, 5.0])
    [event] = [each.event for each in said if isinstance(each.event, Event)]
    assert (event.start, event.end) == (pytest.approx(1, abs=0.3), pytest.approx(4, abs=0.3))


def test_captions_of_overlapping_events_are_in_order_and_apart() -> None:
    events = [Event("a", 0, 4, 0.5), Event("b", 1, 2, 0.5), Event("c", 6, 7, 0.5)]
    shown = captions(events)
    assert [(start, end) for start, end, _ in shown] == [(0, 1), (1, 2), (2, 4), (6, 7)]
    assert shown[1][2] == "a (50 %), b (50 %)"


def test_settings_are_chosen_on_what_training_held_out(models, data, tmp_path, capsys) -> None:
    """Also where the list has no splits, and training drew one."""
    lines = [line.rsplit(",", 1)[0] for line in data.read_text().splitlines()]
    lines = [line.replace("recordings/", f"{data.parent}/recordings/") for line in lines]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    words = ["tune-events", str(models["frames"]), str(tmp_path / "list.csv")]
    tuned = _json([*words, "--out", str(tmp_path / "out.safetensors")], capsys)
    held = load_catalog(tmp_path / "list.csv").val
    assert tuned["recordings"] == len({sample.path for sample in held}) < 4
    assert read_metadata(tmp_path / "out.safetensors")["notes"]["events"]["facts"]["split"] == "val"


def test_a_model_file_that_is_a_link_stays_one_and_others_are_not_overwritten(
    models, data, tmp_path, capsys
) -> None:
    real, link = tmp_path / "real.safetensors", tmp_path / "link.safetensors"
    real.write_bytes(models["frames"].read_bytes())
    link.symlink_to(real)
    tuned = _json(["tune-events", str(link), str(data)], capsys)
    assert link.is_symlink() and tuned["out"] == str(real)
    assert "events" in read_metadata(real)["notes"]
    notes = tmp_path / "notes.csv"
    notes.write_text("mine")
    assert main(["tune-events", str(real), str(data), "--out", str(notes)]) == 2
    assert notes.read_text() == "mine"


def test_one_of_two_settings_is_compared_with_the_other_of_the_model_file() -> None:
    stored = EventSettings(enter=0.8, min_seconds=0.1)
    assert EventOptions(leave=0.6).applied(stored).leave == 0.6
    assert EventOptions(max_seconds=0.3).applied(stored).max_seconds == 0.3
    with pytest.raises(ValueError, match="as the model file says"):
        EventOptions(leave=0.6).applied(EventSettings(enter=0.5))
    with pytest.raises(ValueError, match=r"--leave is 0\.6 and --enter 0\.5"):
        EventOptions(enter=0.5, leave=0.6)


def test_a_folder_of_pictures_among_videos_is_refused_before_any_is_scored(
    models, data, tmp_path, capsys, media
) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / "pictures" / f"{number:03}.png")
    words = ["predict", str(models["windows"]), _recording(data), str(tmp_path / "pictures")]
    assert main([*words, "--events", "--window", "1s"]) == 2
    assert "have no times" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["causal", "frames"])
def test_no_event_ends_after_its_recording(models, tmp_path, media, kind) -> None:
    """75 frames of 25 a second: the last of those scored begins at 2.5 s."""
    path = media.encode(tmp_path / "short.mp4", media.moving_frames(75))
    scorer = load_scorer(models[kind], ScoreTimes(fps=0.8))
    *_, last = scorer.steps(path)
    assert (last.start, last.end) == (pytest.approx(2.52, abs=0.05), pytest.approx(3.0))
    settings = EventSettings(enter=0.0, min_seconds=0, smoothing_seconds=0)
    events = list(predict_events(scorer, path, settings))
    assert max(event.end for event in events) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("causal", ["--streaming"]), ("windows", []), ("frames", [])],
    ids=["stream", "windows", "frames-as-windows"],
)
def test_an_exported_model_finds_the_events_of_its_model_file(
    models, data, tmp_path: Path, capsys, kind: str, words: list[str]
) -> None:
    """By the settings that were tuned; of what it does not score, it has none, which is said."""
    path = tmp_path / "model.safetensors"
    notes = read_metadata(models[kind])["notes"]
    times = {"window": "0.8s", "stride": "0.2s"} if kind == "windows" else {"fps": 5.0}
    rule = {"enter": 0.34, "exclusive": True, "min_seconds": 0.2, "smoothing_seconds": 0.3}
    settings = EventSettings(background=("background",), **rule).to_dict()
    notes |= {"events": {"settings": settings, "times": times}}
    save_model(load_model(models[kind]), path, notes=notes)
    out = tmp_path / "model.onnx"
    assert main(["export", str(path), "--to", "onnx", "--out", str(out), *words]) == 0
    said = capsys.readouterr().err
    if kind == "frames":
        assert "are for scores of each frame, and the exported model scores windows" in said
        return
    found, expected = (
        _json(["predict", str(model), _recording(data), "--events"], capsys)[0]
        for model in (out, path)
    )
    assert expected["events"]
    assert [each["label"] for each in found["events"]] == [e["label"] for e in expected["events"]]
    for one, other in zip(found["events"], expected["events"], strict=True):
        assert (one["start"], one["end"]) == (other["start"], other["end"])
        assert one["score"] == pytest.approx(other["score"], abs=1e-3)


def test_a_report_has_the_events_of_runs_that_find_them(
    models, data, tmp_path: Path, capsys
) -> None:
    notes = read_metadata(models["frames"])["notes"]
    files = {name: tmp_path / f"{name}.safetensors" for name in ("one", "other", "plain")}
    for name, path in files.items():
        rule = {"enter": 0.34 if name == "one" else 0.5}
        settings = EventSettings(background=("background",), **rule).to_dict()
        events = {"settings": settings, "times": {"fps": 5.0}}
        own = notes if name == "plain" else notes | {"events": events}
        save_model(load_model(models["frames"]), path, notes=own)
    out = tmp_path / "page.html"
    words = ["--data", str(data), "--split", "val", "--out", str(out)]
    report = _json(["report", *map(str, files.values()), *words], capsys)
    page = out.read_text()
    assert [(row["name"], row["tuned"]) for row in report["events"]] == [
        ("one", True),
        ("other", True),
        ("plain", False),
    ]
    assert page.count("(default settings)") == 1
    for row in report["events"]:
        model = str(files[row["name"]])
        found = _json(["evaluate", model, str(data), "--events", "--split", "val"], capsys)
        assert row["num_events"] == found["num_truths"]
        assert row["average_precision"] == pytest.approx(found["detection_ap"]["0.5"], nan_ok=True)
        assert row["f1"] == pytest.approx(found["f1"]["0.5"])
        by_class = {each["name"]: each for each in row["classes"]}
        assert by_class.keys() == found["classes"].keys()
        for label, scores in found["classes"].items():
            assert by_class[label]["num_events"] == scores["num_truths"]
            assert by_class[label]["f1"] == pytest.approx(scores["f1"]["0.5"], nan_ok=True)
        assert row["page"] == f"page-events-{row['name']}.html"
        assert f'href="{row["page"]}"' in page
        assert "val-00000.mp4" in (tmp_path / row["page"]).read_text()
