"""Compares Autobahn's reports case by case: compare.py FOLDER BASE AGENT...

FOLDER/AGENT/index.json is the report of each. Prints a line for each agent, with the cases that ended worse than the
base's. Exit code: 0 none did, 1 some did.
"""

import collections
import json
import pathlib
import sys

# From good to bad; what is not in this list is bad.
VERDICTS = [{"OK", "INFORMATIONAL"}, {"NON-STRICT"}, {"UNIMPLEMENTED", "UNCLEAN"}]
# What was sent and received, and how the connection was closed.
ASPECTS = ["behavior", "behaviorClose"]


def badness(verdict):
    return next((at for at, verdicts in enumerate(VERDICTS) if verdict in verdicts), len(VERDICTS))


def report(folder, agent):
    file = folder / agent / "index.json"
    if not file.exists():
        sys.exit(f"{agent}: no report; see {folder / agent}.log")
    return json.loads(file.read_text())[agent]


def worse_cases(base, cases):
    for name, expected in base.items():
        found = cases.get(name, {})
        for aspect in ASPECTS:
            verdict = found.get(aspect, "MISSING")
            if badness(verdict) > badness(expected[aspect]):
                yield f"{name} {aspect} {expected[aspect]} -> {verdict}"


def counts(cases):
    return [f"{name} {count}" for name, count in collections.Counter(case["behavior"] for case in cases).most_common()]


def main():
    folder, base_agent, *agents = pathlib.Path(sys.argv[1]), *sys.argv[2:]
    base = report(folder, base_agent)
    print(f"{base_agent}: {len(base)} cases: {', '.join(counts(base.values()))}")
    any_worse = not base
    for agent in agents:
        cases = report(folder, agent)
        worse = list(worse_cases(base, cases))
        any_worse |= bool(worse)
        print(f"{agent}: {len(cases)} cases: {', '.join(counts(cases.values()))}; worse than {base_agent}: {len(worse)}")
        for line in worse:
            print(f"  {line}")
    sys.exit(int(any_worse))


main()
