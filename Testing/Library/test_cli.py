"""The command line on small drawn volumes, with a propagator whose right answer is known."""

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from cli_bench import BALL, OTHER, double, here, inputs, out, propagate, read, save  # noqa: F401
from doubles import ThresholdPropagator

from SegmentPropagateLib.cli import arguments, demo, main
from SegmentPropagateLib.cli import propagate as command
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.formats.reading import read_labels, read_volume
from SegmentPropagateLib.formats.writing import write_segmentation
from SegmentPropagateLib.models import registry
from SegmentPropagateLib.volumes.labels import SegmentInfo
from SegmentPropagateLib.volumes.presets import PRESETS


def test_a_mask_is_carried_through_the_whole_volume(double, out):
    assert propagate("image.nii.gz", "--mask", "labels.nii.gz", "--label", 1, "--key-slice", 5, "-o", out) == 0
    result = read(out)
    assert (result[5] == BALL[5]).all()  # the key slice is the user's, without the other bright object
    assert (result[7] == (BALL | OTHER)[7]).all()
    assert set(np.unique(result)) == {0, 1}


def test_nothing_is_filled_outside_the_range(double, out):
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "--label", 1, "--range", "4:7", "-o", out)
    assert sorted(np.flatnonzero(read(out).any(axis=(1, 2)))) == [4, 5, 6, 7]


@pytest.mark.parametrize(("words", "ends"), [(["--range", "0:11"], {0, 11}), ([], set())])
def test_a_range_says_where_the_object_ends_even_at_the_ends_of_the_volume(double, out, words, ends):
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "--label", 1, *words, "-o", out)
    assert {end for lane in double.runs[0] for end in lane.given_ends} == ends


def test_the_output_lies_where_the_image_lies(double, out):
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "-o", out)
    image, result = sitk.ReadImage("image.nii.gz"), sitk.ReadImage(str(out))
    assert result.GetSize() == image.GetSize()
    for of in (sitk.Image.GetSpacing, sitk.Image.GetOrigin, sitk.Image.GetDirection):
        assert np.allclose(of(result), of(image), atol=1e-6)


def test_all_labels_go_from_their_own_largest_slice(double, out):
    assert propagate("image.nii.gz", "--mask", "labels.nii.gz", "-o", out) == 0
    assert {lane.object_id: lane.keys for lane in double.runs[0]} == {
        1: (int(BALL.sum(axis=(1, 2)).argmax()),),
        3: (int(OTHER.sum(axis=(1, 2)).argmax()),),
    }
    assert set(np.unique(read(out))) == {0, 1, 3}


def test_labels_that_are_not_on_the_key_slice_are_left_out_of_all_and_told(double, out, capsys):
    assert propagate("image.nii.gz", "--mask", "labels.nii.gz", "--label", "all", "--key-slice", 3, "-o", out) == 0
    assert "label 3" in capsys.readouterr().err
    assert {lane.object_id for lane in double.runs[0]} == {1}


def test_several_key_slices_share_the_stretch_between_them(double, out):
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "--label", 1, "--key-slice", "8,4", "-o", out)
    assert {lane.keys for lane in double.runs[0]} == {(4,), (4, 8), (8,)}


def test_a_box_makes_object_1(double, out):
    assert propagate("image.nii.gz", "--box", "1,2,13,17", "--key-slice", 5, "-o", out) == 0
    assert (read(out)[5] == BALL[5]).all()


def test_every_box_makes_an_object_with_the_number_and_name_that_were_typed(double, tmp_path):
    boxes = ["--box", "1,2,13,17", "--box", "13,4,23,14", "--key-slice", "5,8"]
    out = tmp_path / "two.seg.nrrd"
    assert propagate("image.nii.gz", *boxes, "--label", 4, 2, "--name", "ball", "other", "-o", out) == 0
    assert {lane.object_id: lane.keys for lane in double.runs[0]} == {4: (5,), 2: (8,)}
    assert [(segment.value, segment.name) for segment in read_labels(out).segments] == [(2, "other"), (4, "ball")]


def test_points_say_what_is_on_the_object_and_what_beside_it(double, out):
    assert propagate("image.nii.gz", "--points", "7,9,+", "18,9,-", "--key-slice", 5, "-o", out) == 0
    (prompt,) = double.prompts
    assert prompt.points_ij.tolist() == [[7, 9], [18, 9]]
    assert prompt.positive.tolist() == [True, False]


def test_a_label_can_be_called_by_its_name(double, tmp_path):
    volume = read_volume("image.nii.gz")
    segments = [SegmentInfo(1, "Ball", (1, 0, 0)), SegmentInfo(3, "left kidney", (0, 1, 0))]
    write_segmentation(tmp_path / "in.seg.nrrd", {1: BALL, 3: OTHER}, volume.geometry, segments)
    words = ["--mask", tmp_path / "in.seg.nrrd", "--label", "Left Kidney", "-o", tmp_path / "out.nrrd"]
    assert propagate("image.nii.gz", *words) == 0
    assert {lane.object_id for lane in double.runs[0]} == {3}


def test_the_key_slice_that_was_chosen_is_told(double, out, capsys):
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "--label", 1, "-o", out)
    assert f"from key slice {int(BALL.sum(axis=(1, 2)).argmax())}, " in capsys.readouterr().err


@pytest.mark.parametrize(("plane", "axis"), [("coronal", 1), ("sagittal", 2)])
def test_slice_numbers_count_along_the_plane(double, out, plane, axis):
    key = 9 if plane == "coronal" else 7
    words = ["--label", 1, "--plane", plane, "--key-slice", key, "--range", f"{key - 2}:{key + 1}"]
    assert propagate("image.nii.gz", "--mask", "labels.nii.gz", *words, "-o", out) == 0
    others = tuple(a for a in range(3) if a != axis)
    assert sorted(np.flatnonzero(read(out).any(axis=others))) == list(range(key - 2, key + 2))


def test_names_and_colors_survive_into_seg_nrrd(double, tmp_path):
    segments = [SegmentInfo(3, "left kidney", (0.25, 0.5, 0.75))]
    volume = read_volume("image.nii.gz")
    write_segmentation(tmp_path / "in.seg.nrrd", {3: OTHER}, volume.geometry, segments)
    out = tmp_path / "out.seg.nrrd"
    assert propagate("image.nii.gz", "--mask", tmp_path / "in.seg.nrrd", "-o", out) == 0
    (segment,) = read_labels(out).segments
    assert (segment.value, segment.name) == (3, "left kidney")
    assert np.allclose(segment.color_rgb, (0.25, 0.5, 0.75), atol=1e-3)


def test_the_report_tells_every_slice_of_every_object(double, out, tmp_path):
    report = tmp_path / "report.json"
    words = ["--label", 1, "--key-slice", 5, "--range", "0:8", "--report", report, "--roi", "off", "--short-slices", 3]
    assert propagate("image.nii.gz", "--mask", "labels.nii.gz", *words, "-o", out) == 0
    told = json.loads(report.read_text(encoding="utf-8"))
    (thing,) = told["objects"]
    assert [entry["slice"] for entry in thing["slices"]] == list(range(9))
    sources = {entry["slice"]: entry["source"] for entry in thing["slices"]}
    assert (sources[5], sources[4], sources[0]) == ("key", "propagated", "empty")
    for entry in thing["slices"]:
        assert entry["area"] == int((read(out)[entry["slice"]] == 1).sum())
        assert (entry["presence"] is None) == (entry["source"] == "key")
        assert isinstance(entry["worth_a_look"], bool)
    assert told["range"] == [0, 8]
    assert set(thing["correct_first"]) <= {entry["slice"] for entry in thing["slices"] if entry["worth_a_look"]}
    assert told["settings"]["roi"] == "off"
    assert told["settings"]["short_slices"] == 3
    assert told["model"] == {"model": "threshold"}
    assert told["seconds"]["propagate"] >= 0
    assert told["peak_memory_mib"] > 10
    assert thing["volume_ml"] == pytest.approx((read(out) == 1).sum() * 1.5 * 1.5 * 3 / 1000, abs=1e-3)


def test_auto_takes_the_intensities_that_the_model_was_trained_with(double, out, tmp_path, monkeypatch):
    monkeypatch.setattr(double, "info", {"intensity": "bone"}, raising=False)
    for words, preset in ([], "bone"), (["--intensity", "lung"], "lung"):
        propagate("image.nii.gz", "--mask", "labels.nii.gz", *words, "--report", tmp_path / "r.json", "-o", out)
        assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["intensity"]["preset"] == preset


def test_what_the_model_notes_is_told(double, out, monkeypatch, capsys):
    monkeypatch.setattr(double, "info", {"notes": ["It fell back to the CPU."]}, raising=False)
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "-o", out)
    assert "It fell back to the CPU." in capsys.readouterr().err


def test_the_overlay_is_a_picture(double, out, tmp_path):
    picture = tmp_path / "picture.png"
    assert propagate("image.nii.gz", "--mask", "labels.nii.gz", "--overlay", picture, "-o", out) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_quiet_says_nothing(double, out, capsys):
    assert propagate("image.nii.gz", "--mask", "labels.nii.gz", "-o", out, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_no_progress_bar_in_a_pipe(double, out, capsys):
    propagate("image.nii.gz", "--mask", "labels.nii.gz", "-o", out)
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert "\r" not in stderr
    assert len(stderr.splitlines()) == 1


class Interrupting(ThresholdPropagator):
    def run(self, lanes, key_masks):
        yield next(super().run(lanes, key_masks))
        raise KeyboardInterrupt


class Failing(ThresholdPropagator):
    def run(self, lanes, key_masks):
        raise RuntimeError("a fault of the propagator")
        yield


@pytest.mark.parametrize(("propagator", "status"), [(Interrupting(), 130), (Failing(), 1)])
def test_a_run_that_ends_early_leaves_no_file(monkeypatch, tmp_path, capsys, propagator, status):
    monkeypatch.setattr(command, "load_model", lambda *args, **options: propagator)
    words = ["--overlay", tmp_path / "o.png", "--report", tmp_path / "r.json", "-o", tmp_path / "out.seg.nrrd"]
    assert propagate("image.nii.gz", "--mask", "labels.nii.gz", *words) == status
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_writing_takes_back_what_was_written(double, monkeypatch, tmp_path):
    def interrupted(*words):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "write_report", interrupted)
    words = ["--report", tmp_path / "r.json", "-o", tmp_path / "out.nii.gz"]
    assert propagate("image.nii.gz", "--mask", "labels.nii.gz", *words) == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send Ctrl-C to one process")
def test_ctrl_c_in_a_real_process_ends_with_130_and_no_file(tmp_path):
    big = np.tile(BALL, (8, 6, 6))
    save(tmp_path / "image.nrrd", (big * 100).astype(np.int16))
    save(tmp_path / "labels.nrrd", big.astype(np.uint8))
    words = ["propagate", "image.nrrd", "--mask", "labels.nrrd", "--model", "classical", "-o", "out.nrrd"]
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout.readline() == b"running\n"
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.splitlines() == [b"segment-propagate: Interrupted; no file was left half written."]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.nrrd", "labels.nrrd"]


# A job in the background ignores SIGINT, and so do its children unless they set it anew.
INTERRUPTIBLE = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from SegmentPropagateLib.propagators.classical.engine import ClassicalPropagator
from SegmentPropagateLib.cli import main
run = ClassicalPropagator.run
def slow(self, lanes, key_masks):
    for update in run(self, lanes, key_masks):
        print("running", flush=True)
        time.sleep(20)
        yield update
ClassicalPropagator.run = slow
sys.exit(main())
"""


def test_help_answers_within_half_a_second_of_processor_time_and_imports_nothing_heavy():
    code = (
        "import sys; from SegmentPropagateLib.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'scipy', 'SimpleITK', 'torch', 'requests', 'tqdm'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
    assert "propagate" in answer.stdout


def test_the_choices_of_help_are_those_of_the_library():
    from SegmentPropagateLib.volumes.geometry import Plane

    assert set(arguments.PLANES) == {plane.value for plane in Plane}
    assert arguments.DEFAULT_MODEL in registry.REGISTRY


@pytest.mark.parametrize(
    "command_words", ["propagate i.nrrd --mask m.nrrd -o o.nrrd", "finetune d --init m.pt -o o.pt"]
)
def test_the_presets_of_the_library_can_be_typed_and_no_others(command_words):
    words = [*command_words.split(), "--intensity"]
    parser = arguments.make_parser()
    assert [parser.parse_args([*words, preset]).intensity for preset in PRESETS] == list(PRESETS)
    with pytest.raises(InputError) as told:
        parser.parse_args([*words, "liver"])
    assert f"(choose from {', '.join(PRESETS)})" in str(told.value).replace("'", "")


def test_models_lists_every_model_with_its_licence_and_place(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SEGMENTPROPAGATE_HOME", str(tmp_path))
    assert main(["models"]) == 0
    listing = capsys.readouterr().out
    for model in registry.REGISTRY.values():
        assert model.name in listing
        assert model.licence in listing
    assert str(tmp_path) in listing


@pytest.mark.parametrize("words", [["inspect", "broken.pt"], ["inspect", "nowhere.pt"], ["inspect", "classical"]])
def test_inspect_answers_a_mistake_by_one_sentence(words, capsys):
    assert main(words) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_python_m_is_the_same_program():
    words = [sys.executable, "-m", "SegmentPropagateLib", "propagate", "nowhere.nii.gz"]
    answer = subprocess.run(words, capture_output=True, text=True)
    assert answer.returncode == 2
    assert len(answer.stderr.splitlines()) == 1


def test_the_demo_writes_segmentation_picture_and_report_and_says_how_good_it_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "SHAPE_KJI", (28, 96, 96))
    assert main(["demo", "--out", str(tmp_path / "demo"), "--model", "classical"]) == 0
    files = {path.name for path in (tmp_path / "demo").iterdir()}
    assert files == {"image.nii.gz", "outlines.seg.nrrd", "result.seg.nrrd", "overlay.png", "report.json"}
    said = capsys.readouterr().out
    dsc = [float(line.split()[3]) for line in said.splitlines() if line.startswith("label ") and "DSC" not in line]
    assert len(dsc) == 2
    assert all(value > 0.8 for value in dsc)
    assert str(tmp_path / "demo" / "overlay.png") in said
    assert main(["demo", "--out", str(tmp_path / "demo"), "--model", "classical", "--quiet"]) == 0
    assert tuple(capsys.readouterr()) == ("", "")


def test_every_recipe_can_be_asked_for_by_its_name():
    pytest.importorskip("torch")
    from SegmentPropagateLib.training.settings import RECIPES

    for recipe in ("auto", *RECIPES):
        words = ["finetune", ".", "--init", "starter", "-o", "model.pt", "--recipe", recipe]
        assert arguments.make_parser().parse_args(words).recipe == recipe


def test_finetune_hands_over_what_was_typed_and_leaves_the_rest_to_the_recipe(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    from SegmentPropagateLib.training import finetune
    from SegmentPropagateLib.training.settings import RECIPES

    seen = {}

    def record(dataset, init, output, settings, conduct):
        seen.update(dataset=dataset, init=init, output=output, settings=settings, conduct=conduct)
        conduct.tick({"step": 1, "loss": 0.5}, 4)
        return {"steps": 4, "loss": 0.5, "validation_dsc": 0.9, "start_dsc": 0.8, "kept_start": False}

    monkeypatch.setattr(finetune, "finetune", record)
    words = ["--steps", "4", "--label", "3", "1", "--validation", "a,b", "--prompt", "box", "--resume"]
    model = str(tmp_path / "model.pt")
    assert main(["finetune", ".", "--init", "starter", "-o", model, *words]) == 0
    settings, recipe = seen["settings"], RECIPES["starter"]
    assert (settings.steps, settings.labels, settings.validation, settings.prompt) == (4, (1, 3), ("a", "b"), "box")
    assert (settings.epochs, settings.rates, settings.plane) == (recipe.epochs, recipe.rates, recipe.plane)
    assert seen["conduct"].resume
    assert (seen["dataset"], seen["init"], seen["output"]) == (".", "starter", model)


@pytest.mark.parametrize(
    "changes",
    [
        {"": "nowhere"},
        {"--init": None},
        {"--init": "sam9"},
        {"--init": "classical"},
        {"--init": "broken.pt"},
        {"-o": "model.nii.gz"},
        {"-o": "missing/model.pt"},
        {"--steps": "0"},
        {"--validation": "1.5"},
        {"--method": "lora"},
        {"--prompt": "scribble"},
        {"--recipe": "sam9"},
    ],
)
def test_finetune_answers_a_mistake_by_one_sentence(changes, tmp_path, here, capsys):
    before = sorted(here.rglob("*"))
    options = {"": ".", "--init": "starter", "-o": tmp_path / "model.pt", "--steps": "1", **changes}
    words = ["finetune", options.pop("")]
    assert main([*words, *(str(word) for pair in options.items() if pair[1] is not None for word in pair)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    assert sorted(here.rglob("*")) == before


def test_a_reader_that_has_seen_enough_is_no_error():
    words = [sys.executable, "-m", "SegmentPropagateLib", "models"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


def test_every_option_is_explained_and_every_command_has_an_example_that_it_takes(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "300")
    parser = arguments.make_parser()

    def help_of(*words):
        with pytest.raises(SystemExit):
            parser.parse_args([*words, "--help"])
        return capsys.readouterr().out

    names = re.findall(r"^    (\w[\w-]*)(?: |$)", help_of(), re.MULTILINE)
    assert {"propagate", "evaluate", "finetune", "inspect", "models", "demo"} <= set(names)
    for name in names:
        text = help_of(name)
        options = re.findall(r"^  (-.*|[A-Z].*)\n( {24}\S)?", text, re.MULTILINE)
        assert [option for option, below in options if not below and not re.search(r"\S  +\S", option)] == [], name
        choices = re.findall(r"^  (--?\w.*[}A-Z])  (.*)$", text, re.MULTILINE)
        assert [option for option, told in choices if "{" in option and "default" not in told] == [], name
        (example,) = re.findall(r"^example: segment-propagate (.*)$", text, re.MULTILINE)
        assert parser.parse_args(example.split()).command == name
