"""In place of `segment-propagate finetune`: says what a training would, as its argument HOW has it.

python learning_process.py better|worse|fails|waits finetune WORKLIST ... -o MODEL.pt ...
python learning_process.py project project learn FOLDER ...
"""

import json
import os
import sys
import time
from pathlib import Path


def tell(**facts):
    """A line of progress."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def learn_in(folder):
    """In place of `segment-propagate project learn`: the ledger is told of a better model."""
    from SegmentPropagateLib.project.folder import Project

    project = Project(folder)
    (folder / "models" / "round-1.pt").write_bytes(b"a model")
    facts = {"dsc": 0.84, "start_dsc": 0.8, "kept_start": False}
    tell(pid=os.getpid())
    tell(step=0, steps=4, seconds_left=None, validation_dsc=0.8)
    project.append("learned", model="models/round-1.pt", sha256="x", training=["a"], held_out=["b"], **facts)
    model = str(folder / "models" / "round-1.pt")
    tell(steps=3, validation_dsc=0.84, start_dsc=0.8, kept_start=False, model=model)


if __name__ == "__main__":
    how, arguments = sys.argv[1], sys.argv[2:]
    if how == "project":
        learn_in(Path(arguments[2]))
        sys.exit()
    model = Path(arguments[arguments.index("-o") + 1])
    if how == "fails":
        sys.stderr.write("segment-propagate: The model 'classical' has nothing to learn: start from a network.\n")
        sys.exit(2)
    model.with_suffix(".arguments").write_text(json.dumps(arguments), encoding="utf-8")
    sys.stdout.write("something that a library prints\n")
    tell(pid=os.getpid())
    for step, dsc in enumerate((0.8, 0.79, 0.84 if how == "better" else 0.78)):
        tell(step=step, steps=4, seconds_left=None if step == 0 else 80.0, validation_dsc=dsc)
    model.write_bytes(b"a model")
    if how == "waits":
        time.sleep(60)
    kept = how == "worse"
    tell(steps=3, validation_dsc=0.8 if kept else 0.84, start_dsc=0.8, kept_start=kept)
