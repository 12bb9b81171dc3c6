"""What can be typed. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from SegmentPropagateLib import __version__
from SegmentPropagateLib.cli.archive_arguments import add_archive_commands
from SegmentPropagateLib.cli.finetune_arguments import add_finetune
from SegmentPropagateLib.cli.localizer_arguments import add_train_localizer
from SegmentPropagateLib.cli.project_arguments import add_project
from SegmentPropagateLib.cli.serve_arguments import add_serve
from SegmentPropagateLib.cli.shared_arguments import INTENSITY_HELP, add_device, add_licence
from SegmentPropagateLib.cli.suggest_arguments import PLANES, add_reader, add_source, add_suggest
from SegmentPropagateLib.cli.tune_arguments import add_tune
from SegmentPropagateLib.cli.words import address, count, ends, first_and_last, key_slices, label, point
from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.files import is_there
from SegmentPropagateLib.formats.kinds import OUTPUT_ENDINGS, READABLE, listed
from SegmentPropagateLib.networks.memory_rules import PUBLISHED, RULES
from SegmentPropagateLib.volumes.presets import PRESETS

DEFAULT_MODEL = "starter"
_PROGRAM = "segment-propagate"
_IMAGES = listed([kind.name for kind in READABLE if kind.holds_images], "or")
_MODEL_HELP = "a name that `models` lists, or a checkpoint file"


class _Help(argparse.HelpFormatter):
    """Tells the default of every option whose own words do not."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = super()._get_help_string(action) or ""
        has_one = action.option_strings and action.default is not argparse.SUPPRESS
        has_one = has_one and type(action.default) in (str, int, float)
        return f"{text}; default %(default)s" if has_one and "default" not in text else text


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as one sentence instead of a usage block."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help, **options})

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[0].upper()}{message[1:].rstrip('.')}; see {self.prog} --help.")


def read(argv: Sequence[str]) -> argparse.Namespace:
    """What was typed; `command` names the module that carries it out.

    Raises:
        InputError: it is nothing that can be typed.
    """
    try:
        arguments, rest = make_parser().parse_known_args(mend(argv))
    except InputError as error:
        file = next((word for word in argv if word.startswith("-") and is_there(word)), None)
        if file is None:
            raise
        raise InputError(f"'{file}' is a file, but with its dash it reads as an option: write ./{file}.") from error
    if rest:
        raise InputError(f"Unrecognized arguments: {' '.join(rest)}; see {_PROGRAM} {arguments.command} --help.")
    return arguments


def mend(argv: Sequence[str]) -> list[str]:
    """Join options and values that begin with a minus sign, which argparse would take for another option.

    Raises:
        InputError: a word is empty, which stands for the present folder where a path is wanted; or is a point to the
            left of the slice.
    """
    mended: list[str] = []
    for place, word in enumerate(argv):
        if not word or (word.startswith("--") and word.endswith("=")):
            where = f"'{word}'" if word else f"behind '{argv[place - 1]}'" if place else "the first"
            raise InputError(f"A word of the command is empty ({where}), as of a variable that is not set: give it.")
        if re.fullmatch(r"-\d{1,10},-?\d{1,10},[+-]", word):
            raise InputError(f"The point '{word}' is outside the slice: its columns and rows count from 0.")
        if (
            mended
            and mended[-1] in ("--box", "--line", "--range", "--key-slice", "--label")
            and word[:1] == "-"
            and word[1:2].isdigit()
        ):
            mended[-1] += f"={word}"
        else:
            mended.append(word)
    return mended


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog=_PROGRAM,
        description="Turn an object outlined on one slice into a segmented volume.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_propagate(commands)
    _add_batch(commands)
    drafts = "draft key slices and ranges of a new volume from finished cases"
    example = "suggest new.nii.gz --support my-cases --label liver -o draft.seg.nrrd"
    add_suggest(_add_command(commands, "suggest", drafts, example))
    _add_evaluate(commands)
    _add_evaluate_all(commands)
    tuned = "finetune my-cases --init starter -o my-model.pt --validation 0.2"
    add_finetune(_add_command(commands, "finetune", "adapt a model to your own volumes and labels", tuned))
    learn = "learn from images without labels to find landmarks again, for suggest --source landmarks"
    add_train_localizer(_add_command(commands, "train-localizer", learn, "train-localizer my-images -o localizer.pt"))
    tune = "teach a model what boxes and points mean for an object, by 2 to 5 outlined slices"
    example = "tune-prompts image.nii.gz --mask outlines.seg.nrrd --label kidney --model my-model.pt -o tuned.pt"
    add_tune(_add_command(commands, "tune-prompts", tune, example))
    project = "annotate many cases in rounds, each from what was accepted before"
    add_project(_add_command(commands, "project", project, "project init my-project my-images --label kidney"))
    add_archive_commands(partial(_add_command, commands))
    serve = "let several people use the GPU of this computer"
    add_serve(_add_command(commands, "serve", serve, "serve --models starter classical"))
    inspect = _add_command(
        commands, "inspect", "say what a model file is, and what is missing or wrong in it", "inspect my-model.pt"
    )
    inspect.add_argument("checkpoint", metavar="CHECKPOINT", help="a model file, or the name of a model at hand")
    _add_command(
        commands, "models", "list the models that have a name, their licences and where they are kept", "models"
    )
    demo = _add_command(
        commands, "demo", "draw a volume, propagate an object through it, and evaluate the result", "demo --out my-demo"
    )
    demo.add_argument("--out", default="demo-output", metavar="DIR", help="folder for the files")
    demo.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME_OR_FILE", help=_MODEL_HELP)
    add_licence(demo)
    demo.add_argument("--quiet", action="store_true", help="print nothing but errors")
    return parser


def propagate_words(**typed: Any) -> argparse.Namespace:
    """What `propagate` is told when nothing but these is typed, whatever options it has."""
    least = ["propagate", "IMAGE", "--mask", "LABELS", "--output", "OUT"]
    return argparse.Namespace(**{**vars(make_parser().parse_args(least)), "mask": None, **typed})


def _add_command(commands: argparse._SubParsersAction, name: str, does: str, example: str) -> argparse.ArgumentParser:
    text = f"{does[0].upper()}{does[1:]}."
    return commands.add_parser(name, help=does, description=text, epilog=f"example: segment-propagate {example}")


def _add_propagate(commands: argparse._SubParsersAction) -> None:
    parser = _add_command(
        commands,
        "propagate",
        "carry the mask or box of a key slice through a volume",
        "propagate image.nii.gz --mask outlines.seg.nrrd --label kidney --key-slice 18 -o kidney.seg.nrrd",
    )
    parser.add_argument("image", metavar="IMAGE", help=_IMAGES)
    _add_prompts(parser)
    parser.add_argument(
        "--range",
        type=first_and_last,
        metavar="FIRST:LAST",
        help="first and last slice of objects, from 0 (default: open)",
    )
    parser.add_argument(
        "--keep-out", metavar="LABELS", help="label file of neighbors: propagated slices leave their voxels out"
    )
    _add_settings(parser)
    parser.add_argument(
        "--adapt",
        choices=("off", "stack"),
        default="off",
        help="stack: learn from two or more key slices what goes wrong there; used where that helps on ones left out",
    )
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help=listed(OUTPUT_ENDINGS, "or"))
    parser.add_argument("--overlay", metavar="PNG", help="write a picture of evenly spread slices")
    parser.add_argument("--report", metavar="JSON", help="write scores and areas per slice, settings and times")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """What is computed how, whatever the prompts are."""
    parser.add_argument("--plane", choices=PLANES, default="axial", help="whose slices are counted, from 0, and filled")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME_OR_FILE", help=_MODEL_HELP)
    add_licence(parser)
    parser.add_argument("--intensity", choices=PRESETS, default="auto", metavar="PRESET", help=INTENSITY_HELP)
    parser.add_argument(
        "--short-slices", type=count, metavar="N", help="slices of short memory (default: the model's own)"
    )
    parser.add_argument(
        "--memory",
        choices=tuple(RULES),
        default=PUBLISHED,
        metavar="NAME",
        help=f"which slices a network reads again: {', '.join(RULES)}; `models` tells them apart",
    )
    parser.add_argument(
        "--pass-mode",
        choices=("independent", "coupled"),
        default="independent",
        help="independent: both directions from the key slices alone; coupled: forward, then back in one memory, "
        "as SLM-SAM 2 does",
    )
    add_device(parser)
    parser.add_argument(
        "--roi", choices=("auto", "off"), default="auto", help="auto: a crop around the object; off: whole slices"
    )


def _add_prompts(parser: argparse.ArgumentParser) -> None:
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--mask", metavar="LABELS", help="label file; only its key slices are read")
    prompt.add_argument(
        "--box",
        type=ends,
        action="append",
        metavar="I0,J0,I1,J1",
        help="box on the key slice: columns I0 to I1, rows J0 to J1, inclusive; give it again for another object",
    )
    prompt.add_argument(
        "--points",
        type=point,
        action="append",
        nargs="+",
        metavar="I,J,+|-",
        help="points on (+) and beside (-) the object on the key slice; give it again for another object",
    )
    prompt.add_argument(
        "--line",
        type=ends,
        action="append",
        metavar="I0,J0,I1,J1",
        help="longest diameter (RECIST) on the key slice, from column I0, row J0 to I1, J1; again for another object",
    )
    prompt.add_argument(
        "--support", metavar="DIR", help="finished cases: key slices and ranges are suggested from them"
    )
    prompt.add_argument(
        "--draft",
        metavar="LABELS",
        help="label file of another tool: slices that image and neighbors bear out are key slices, the rest is redone",
    )
    add_source(parser, "--support-model")
    parser.add_argument("--unsure", action="store_true", help="with --support, --draft: propagate unsure objects too")
    parser.add_argument(
        "--label",
        nargs="+",
        type=label,
        metavar="N|NAME",
        help="labels of LABELS or DIR by number or name, or all (default); of drawn objects their numbers",
    )
    parser.add_argument("--name", nargs="+", metavar="NAME", help="names of the objects of --box, --points and --line")
    parser.add_argument(
        "--key-slice",
        type=key_slices,
        metavar="K[,K2...]|auto",
        help="outlined slices, from 0; default auto: where the label is largest; one per --box, --points or --line",
    )


def _add_batch(commands: argparse._SubParsersAction) -> None:
    parser = _add_command(
        commands,
        "batch",
        "propagate in many volumes, and go on where an earlier run ended",
        "batch my-cases -o results --model starter --processes 2",
    )
    what = "images with labels, or with boxes in the list; with --support, of images"
    parser.add_argument("cases", metavar="CASES", help=f"folder, or CSV or JSON list, of {what}")
    parser.add_argument("--label", nargs="+", type=label, metavar="N|NAME", help="labels (default: all)")
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument(
        "--key-slice",
        type=key_slices,
        metavar="K[,K2...]|auto",
        help="slices, from 0, of cases whose list names none; default auto: where the label is largest",
    )
    prompts.add_argument(
        "--keys",
        metavar="auto|FILE",
        help="CSV or JSON list with the name of each case and its key slices, or boxes; default auto, as --key-slice",
    )
    prompts.add_argument(
        "--support", metavar="DIR", help="finished cases: key slices and ranges are suggested from them, none is drawn"
    )
    parser.add_argument("--unsure", action="store_true", help="with --support: propagate unsure suggestions too")
    add_reader(parser, "--support-model", only="with --support: ")
    _add_settings(parser)
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="folder with a folder for each case")
    parser.add_argument("--processes", type=count, metavar="N", help="cases at once (default: by cores, memory)")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="processes of this computer, or of a Ray cluster"
    )
    where = "of the Ray cluster; auto: the one that runs here; default: one is started here, for this run"
    parser.add_argument("--address", type=address, metavar="[ray://]HOST:PORT|auto", help=where)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = _add_command(
        commands,
        "evaluate",
        "compare a segmentation with a reference",
        "evaluate kidney.seg.nrrd outlines.seg.nrrd --label kidney --key-slice 18",
    )
    parser.add_argument("prediction", metavar="PREDICTION", help="the label file to be judged")
    parser.add_argument("reference", metavar="REFERENCE", help="the label file that is taken for the truth")
    parser.add_argument(
        "--label", nargs="+", type=label, metavar="N|NAME", help="labels of the reference, or all (default)"
    )
    parser.add_argument(
        "--key-slice",
        type=key_slices,
        metavar="K[,K2...]",
        help="slices, from 0, left out of slice-wise figures; default: those of the report beside PREDICTION, if any",
    )
    parser.add_argument(
        "--report", metavar="JSON", help="report of the run, for its key slices; default: PREDICTION's name in .json"
    )
    parser.add_argument("--plane", choices=PLANES, default="axial", help="of the slice-wise figures")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_evaluate_all(commands: argparse._SubParsersAction) -> None:
    parser = _add_command(
        commands, "evaluate-all", "compare all results of a batch with references", "evaluate-all results my-cases"
    )
    parser.add_argument("output", metavar="OUT", help="folder that batch has written")
    parser.add_argument(
        "references",
        metavar="REFERENCES",
        nargs="?",
        help="CASES of the batch, or a folder of label files named as the cases; without, volumes and scores are told",
    )
    parser.add_argument("--label", nargs="+", type=label, metavar="N|NAME", help="labels (default: all there are)")
    parser.add_argument("--plane", choices=PLANES, default="axial", help="of the slice-wise figures")
    parser.add_argument("--processes", type=count, metavar="N", help="cases at once (default: by cores, memory)")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
