"""Record the public Qt-side API of Slicer and CTK from their headers (run by hand, on a machine with the sources).

    python record_qt_api.py SLICER_GIT CTK_GIT TAG [TAG...] > qt_api.json

Only names and signatures are kept, and a class that is alike in several versions is kept once: see `pack` and `unpack`.
CTK is read at HEAD of its checkout for every tag (its headers change slowly).
"""

import json
import re
import subprocess
import sys

PREFIXES = ("qMRML", "qSlicer", "ctk")
PARTS = ("properties", "methods", "signals")
NOT_FOR_MODULES = re.compile(  # built by Slicer itself; a scripted module never names them
    r"(Plugins?|Decorators|Reader|Writer|Panel|Dialog|FactoryItem|Factory|Module|ModuleWidget|OptionsWidget)$|_p$"
)


def git(repo, *arguments):
    return subprocess.run(["git", "-C", repo, *arguments], capture_output=True, text=True, errors="replace").stdout


def strip_comments(text):
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))


def drop_bodies(text):
    """Remove {...} of inline functions, innermost first."""
    before = None
    while before != text:
        before, text = text, re.sub(r"\{[^{}]*\}", ";", text)
    return text


def parse(header):
    text = strip_comments(header)
    for match in re.finditer(r"\bclass\s+(?:\w+\s+)?(\w+)\s*(?:final\s*)?:\s*public\s+(\w+)[^{]*\{", text):
        name, base = match.groups()
        depth, end = 1, match.end()
        while depth and end < len(text):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        body = text[match.end() : end - 1]
        properties = sorted(set(re.findall(r"Q_PROPERTY\(\s*[\w:<>, ]+?[\s*&]+(\w+)\s+READ", body)))
        section, methods, signals = "private", set(), set()
        body = drop_bodies(re.sub(r"Q_PROPERTY\([^\n]*\n", "\n", body))
        parts = re.split(r"\b(public|protected|private|signals|Q_SIGNALS)\s*(?:Q_SLOTS|slots)?\s*:(?!:)", body)
        for section, part in zip(["private", *parts[1::2]], [parts[0], *parts[2::2]], strict=True):
            for statement in part.split(";"):
                found = re.search(
                    r"(\w+)\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)\s*(?:const)?\s*(?:override|final|= 0)?\s*$",
                    statement.strip(),
                )
                if not found or found.group(1).isupper() or found.group(1) == name:
                    continue
                if section in ("signals", "Q_SIGNALS"):
                    signals.add(f"{found.group(1)}({','.join(map(argument_type, split(found.group(2))))})")
                elif section == "public":
                    methods.add(found.group(1))
        yield (
            name,
            {"base": base, "properties": properties, "methods": sorted(methods), "signals": sorted(signals)},
        )


def split(arguments):
    return [a for a in (part.strip() for part in arguments.split(",")) if a and a != "void"]


def argument_type(argument):
    argument = argument.split("=")[0].strip()
    argument = re.sub(r"\s*([*&])\s*", r"\1 ", argument).strip()
    words = argument.split(" ")
    if len(words) > 1 and words[-1].isidentifier() and words[-2] not in ("const", "unsigned"):
        words = words[:-1]
    kind = " ".join(words)
    return re.sub(r"^const\s+(.*?)\s*&$", r"\1", kind).replace(" ", "")


def record(repo, revision, folders):
    classes = {}
    listing = git(repo, "ls-tree", "-r", "--name-only", revision, *folders).split("\n")
    for path in listing:
        if re.search(r"/(qMRML|qSlicer|ctk)\w+\.h$", "/" + path) and not path.endswith("_p.h"):
            classes.update((n, c) for n, c in parse(git(repo, "show", f"{revision}:{path}")) if n.startswith(PREFIXES))
    return classes


def pack(by_tag):
    """{tag: {class: record}} -> JSON text, one class per line: rows [tags, base, properties, methods, signals]."""
    lines = []
    for name in sorted({name for classes in by_tag.values() for name in classes if not NOT_FOR_MODULES.search(name)}):
        variants = {}
        for tag, classes in by_tag.items():
            if name in classes:
                record = classes[name]
                key = (record["base"], *(" ".join(record[part]) for part in PARTS))
                variants.setdefault(key, []).append(tag)
        rows = [[tags, *key] for key, tags in variants.items()]
        lines.append(f"{json.dumps(name)}:{json.dumps(rows, separators=(',', ':'))}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def unpack(text):
    """The inverse of `pack`: {tag: {class: {base, properties, methods, signals}}}, less classes that no module uses."""
    by_tag = {}
    for name, rows in json.loads(text).items():
        for tags, base, *parts in rows:
            record = {"base": base, **{part: names.split() for part, names in zip(PARTS, parts, strict=True)}}
            for tag in tags:
                by_tag.setdefault(tag, {})[name] = record
    return by_tag


if __name__ == "__main__":
    slicer_repo, ctk_repo, *tags = sys.argv[1:]
    ctk = record(ctk_repo, "HEAD", ["Libs/Widgets", "Libs/Core"])
    folders = ["Base", "Libs/MRML/Widgets", "Modules/Loadable"]
    sys.stdout.write(pack({tag: {**ctk, **record(slicer_repo, tag, folders)} for tag in tags}))
