"""Fit the stop rule of the classical propagator, and the IoU that it expects: the numbers of `classical/carrier.py`.

A logistic regression over slices carried on beyond the object's ends: is at least .3 of the mask the object?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from tuning_cases import parse
from tuning_recording import SIGNS, Course, Recording, Shelf
from tuning_replay import Stop, in_code, sweep
from tuning_report import compare, say, write
from tuning_scripts import recorded

SHARE = 0.3
"""Of the mask, that must be the object for it to count as present."""
BEYOND = 10
"""Slices beyond the object's end that are still asked about: further ones are never reached by a rule that works."""
OFFSETS = (-1.5, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 1.5)
"""Added to the rule's logit."""
STATED = (0.0, 2.5, 5.0, 10.0, 100.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """Slices on an open range.

    Args:
        signs: what the rule looks at and a column of ones, `(slices, 5)`.
        logit: the rule's, by the numbers in the code.
        share: of the mask that is the object.
        iou: of the mask and the object.
        expected: the IoU that the code expects.
    """

    signs: Floats
    logit: Floats
    share: Floats
    iou: Floats
    expected: Floats

    @classmethod
    def of(cls, cases: Iterable[Recording]) -> Samples:
        """All slices of the cases on which something is left of the mask."""
        rows = [row for case in cases for row in _rows(case)]
        if not rows:
            raise ValueError("The cases have no slice on which anything is left of a mask: take more of them.")
        table = np.array(rows)
        count = len(SIGNS)
        signs = np.column_stack([table[:, :count], np.ones(len(table))])
        return cls(signs, *table[:, count:].T)


def _rows(case: Recording) -> list[list[float]]:
    course, present = case.courses["open"], np.flatnonzero(case.truth.any(axis=(1, 2)))
    rows = []
    for place, index in enumerate(course.slices):
        if np.isnan(course.signs[place, 0]) or not present[0] - BEYOND <= index <= present[-1] + BEYOND:
            continue
        mask, truth = course.carried[place] > 0, case.truth[index]
        both = np.count_nonzero(mask & truth)
        share = both / max(np.count_nonzero(mask), 1)
        iou = both / max(np.count_nonzero(mask | truth), 1)
        rows.append([*course.signs[place], course.agreement[place], share, iou, course.carried_iou[place]])
    return rows


def weights_in_code(samples: Samples) -> Floats:
    """Weights of the signs and the constant, read off the rule's logits.

    Raises:
        ValueError: the logits are no weighted sum of the signs.
    """
    weights, *_ = np.linalg.lstsq(samples.signs, samples.logit, rcond=None)
    if np.abs(samples.signs @ weights - samples.logit).max() > 1e-4:
        raise ValueError(
            "The carrier's stop rule is no weighted sum of the signs that tuning_recording.Unstopped writes down: make "
            "the two the same."
        )
    return weights


def fit_weights(samples: Samples) -> Floats:
    """The weights of a logistic regression, and the constant."""
    side = np.where(samples.share >= SHARE, 1.0, -1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = side * (samples.signs @ weights)
        slope = -side / (1 + np.exp(np.clip(margin, -500, 500)))
        least = 1e-4 * weights  # keeps separable samples from running off
        return (
            float(np.logaddexp(0, -margin).mean() + 0.5e-4 * weights @ weights),
            samples.signs.T @ slope / len(side) + least,
        )

    return optimize.minimize(loss, np.zeros(samples.signs.shape[1]), jac=True, method="L-BFGS-B").x


def describe(samples: Samples) -> dict[str, Any]:
    """The code's weights beside the fitted ones, how often each is right and both agree, and the line for the IoU."""
    present = samples.share >= SHARE
    weights = {"code": weights_in_code(samples), "fitted": fit_weights(samples)}
    logits = {name: samples.signs @ each for name, each in weights.items()}
    kept = samples.logit > 0  # on the others the object is held to be absent and no IoU is said
    inner = (samples.expected > 0) & (samples.expected < 1)
    lines = {
        "code": np.polyfit(samples.logit[inner], samples.expected[inner], 1),
        "fitted": np.polyfit(samples.logit[kept], samples.iou[kept], 1),
    }
    return {
        "slices": len(present),
        "present": float(present.mean()),
        "weights": {name: [round(float(weight), 2) for weight in each] for name, each in weights.items()},
        "right": {name: float(((logit > 0) == present).mean()) for name, logit in logits.items()},
        "loss": {
            name: float(np.logaddexp(0, np.where(present, -logit, logit)).mean()) for name, logit in logits.items()
        },
        "agree": float(((logits["code"] > 0) == (logits["fitted"] > 0)).mean()),
        "iou": {name: [round(float(value), 2) for value in line[::-1]] for name, line in lines.items()},
        "iou_spearman": float(stats.spearmanr(samples.expected[kept], samples.iou[kept]).statistic),
        "iou_off_by": float(np.abs(samples.expected[kept] - samples.iou[kept]).mean()),
    }


def shifted(offset: float) -> Stop:
    """The rule in the code with another threshold."""
    return lambda course: np.where(np.isnan(course.signs[:, 0]), course.agreement, course.agreement + offset)


def weighed(weights: Sequence[float]) -> Stop:
    """The rule with other weights; the constant comes last."""

    def rule(course: Course) -> Floats:
        logits = course.signs @ np.asarray(weights[:-1]) + weights[-1]
        return np.where(np.isnan(logits), course.agreement, logits)

    return rule


def fit_side(cases: Iterable[Recording], fitted: Sequence[float], way: str = "pair") -> list[dict[str, Any]]:
    """DSC by threshold, with the fitted weights in place of the code's, and by what the user's word is worth."""
    groups, figures = sweep(cases, [{}], way, [*map(shifted, OFFSETS), weighed(fitted)])
    thresholds = compare("stop rule: added to its logit", OFFSETS, 0.0, figures[:, :-1], groups)
    both = figures[:, [OFFSETS.index(0.0), len(OFFSETS)]]
    weights = compare("stop rule: weights", ("code", "fitted"), "code", both, groups)
    groups, figures = sweep(cases, [{"STATED": value} for value in STATED], way)
    return [thresholds, weights, compare("STATED", STATED, in_code("STATED"), figures, groups)]


def main(argv: list[str] | None = None) -> None:
    """Fit on each side and on both, then see what comes of it."""
    arguments = parse(__doc__, argv)
    shelves = recorded(arguments)
    results: dict[str, Any] = {}
    every = Shelf(tuple(file for shelf in shelves.values() for file in shelf.files))
    for side, cases in {**shelves, "all": every}.items():
        results[f"{side}: weights"] = found = describe(Samples.of(cases))
        say_weights(side, found)
    for side, cases in shelves.items():
        results[side] = fit_side(cases, results["all: weights"]["weights"]["fitted"])
        for result in results[side]:
            say(f"{side}, pair", result)
    write(arguments.work / "fit_stop_rule.json", results)


def say_weights(side: str, found: Mapping[str, Any]) -> None:
    """Print what was fitted on one side."""
    lines = [
        f"\nStop rule on {found['slices']} slices ({side}), {found['present']:.2f} of them present; "
        f"both rules agree on {found['agree']:.3f}",
        f"| weights | {' | '.join(SIGNS)} | constant | right | log loss |",
        "|--" * (len(SIGNS) + 4) + "|",
    ]
    for name, weights in found["weights"].items():
        cells = " | ".join(f"{weight:.2f}" for weight in weights)
        lines.append(f"| {name} | {cells} | {found['right'][name]:.3f} | {found['loss'][name]:.3f} |")
    (start, slope), (fitted_start, fitted_slope) = found["iou"]["code"], found["iou"]["fitted"]
    lines.append(
        f"Expected IoU: {start} + {slope} x logit in the code, {fitted_start} + {fitted_slope} fitted; "
        f"Spearman {found['iou_spearman']:.2f}, off by {found['iou_off_by']:.2f}"
    )
    print("\n".join(lines), flush=True)  # noqa: T201 - the script's output


if __name__ == "__main__":
    main()
