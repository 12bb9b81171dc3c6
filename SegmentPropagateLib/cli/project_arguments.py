"""What can be typed behind `project`. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from SegmentPropagateLib.cli.suggest_arguments import PLANES, add_reader
from SegmentPropagateLib.cli.words import count, ends, key_slices, seconds

_ORDERS = ("order", "random", "disagreement")
_BY = (
    "how the next case is chosen: in order, at random, or the one on which the model and the classical method (or, for "
    "these, propagation and a box on every slice) agree least"
)


def add_project(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `project`.

    Args:
        parser: of the command.
    """
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", help="what to do; each has a --help of its own"
    )

    def add(name: str, does: str, example: str) -> argparse.ArgumentParser:
        text = f"{does[0].upper()}{does[1:]}."
        epilog = f"example: segment-propagate project {example}"
        action: argparse.ArgumentParser = actions.add_parser(name, help=does, description=text, epilog=epilog)
        action.add_argument("folder", metavar="FOLDER", help="of the project")
        return action

    _add_init(add)
    _quiet(add("status", "say how far every case is", "status my-project"))
    _add_next(add)
    _add_accept(add)
    rank = add("rank", "see where two runs disagree, before `next --by disagreement` asks for it", "rank my-project")
    rank.add_argument("--background", action="store_true", help="at low priority")
    _device(rank)
    _quiet(rank)
    learn = add("learn", "let the model learn from the accepted cases; kept if not worse", "learn my-project")
    learn.add_argument("--now", action="store_true", help="before as many cases are accepted as the project waits for")
    learn.add_argument("--background", action="store_true", help="at low priority, telling JSON lines to a program")
    _device(learn)
    _quiet(learn)
    collect = add("collect", "take what Slicer's panel has noted, as it does by itself", "collect my-project")
    collect.add_argument("--patience", type=seconds, default=0, metavar="S", help="wait for others so long, seconds")
    _quiet(collect)
    use = add("use", "choose the model that proposes from now on", "use my-project models/round-2.pt")
    use.add_argument("model", metavar="MODEL", help="a file of the project's models, any other model file, or a name")
    _licence(use)
    _quiet(use)
    report = add("report", "write a page of what each round has cost", "report my-project -o rounds.html")
    report.add_argument("-o", "--output", required=True, metavar="HTML", help="page with plots, one file")
    _quiet(report)
    _add_simulate(add)


Add = Callable[[str, str, str], argparse.ArgumentParser]


def _add_init(add: Add) -> None:
    init = add("init", "begin a project", "init my-project my-images --label kidney --model starter")
    init.add_argument("images", metavar="IMAGES", help="folder, or CSV or JSON list, of images")
    labels = init.add_mutually_exclusive_group(required=True)
    labels.add_argument("--label", nargs="+", metavar="NAME", help="labels that every case gets")
    labels.add_argument("--template", metavar="FILE", help="the same with colors and codes: .json or .seg.nrrd")
    init.add_argument("--model", default="starter", metavar="NAME_OR_FILE", help="that proposes")
    _licence(init)
    add_reader(init, "--support-model")
    init.add_argument("--by", choices=_ORDERS, default="order", help=_BY)
    init.add_argument("--learn-after", type=count, default=4, metavar="N", help="cases before learning, from 4")
    init.add_argument("--plane", choices=PLANES, default="axial", help="whose slices are counted")
    init.add_argument("--seed", type=count, default=1, metavar="N", help="of what is random")
    _quiet(init)


def _add_next(add: Add) -> None:
    following = add("next", "propose the next case", "next my-project --mask outlines.seg.nrrd --key-slice 18")
    following.add_argument("--case", metavar="NAME", help="this one, also if somebody was given it before")
    following.add_argument("--by", choices=_ORDERS, help=f"{_BY}; default: as the project was begun")
    prompts = following.add_mutually_exclusive_group()
    prompts.add_argument("--mask", metavar="LABELS", help="outlined key slices, instead of what accepted cases suggest")
    prompts.add_argument("--box", type=ends, action="append", metavar="I0,J0,I1,J1", help="box on the key slice")
    following.add_argument(
        "--key-slice",
        type=key_slices,
        metavar="K[,K2...]|auto",
        help="from 0; of --mask (default: auto) or --box",
    )
    following.add_argument(
        "--label",
        nargs="+",
        metavar="NAME",
        help="labels of --box, or those of --mask that count; default: in the project's order, or all",
    )
    _device(following)
    _quiet(following)


def _add_accept(add: Add) -> None:
    accept = add("accept", "accept a case as it is now", "accept my-project patient-001 --seconds 140")
    accept.add_argument("case", metavar="CASE", help="name of the case")
    accept.add_argument(
        "mask", nargs="?", metavar="MASK", help="label file; default: the copy in 'work' that next has told"
    )
    accept.add_argument("--seconds", type=seconds, metavar="S", help="of work, without breaks")
    accept.add_argument("--again", action="store_true", help="in the place of what was accepted before")
    _quiet(accept)


def _add_simulate(add: Add) -> None:
    simulate = add(
        "simulate",
        "let a simulated annotator do a project: slices below a DSC of .9 are redrawn as the reference has them",
        "simulate my-project my-labels --rounds 3 --cases 4",
    )
    simulate.add_argument(
        "references", metavar="REFERENCES", help="labels of all images, named or laid out as they are"
    )
    simulate.add_argument("--rounds", type=count, default=3, metavar="N", help="how many")
    simulate.add_argument("--cases", type=count, default=4, metavar="N", help="per round")
    simulate.add_argument("--learn", action="store_true", help="learn after each round")
    _device(simulate)
    _quiet(simulate)


def _device(parser: argparse.ArgumentParser) -> None:
    devices = ("auto", "cpu", "cuda", "mps")
    parser.add_argument("--device", choices=devices, default="auto", help="auto: a GPU where there is one")


def _licence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--accept-licence", action="store_true", help="confirm what the weights may be used for")


def _quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
