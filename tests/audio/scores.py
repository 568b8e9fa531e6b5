"""PESQ (wide band) of what `a_recording_is_heard` wrote: the median of the runs of each case.

    scores.py SPEECH HEARD CASE...

Needs `pip install pesq scipy` and sox. A run's score is the mean of its pieces of 10 s.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy
from pesq import pesq
from scipy.io import wavfile

RATE = 16_000
PIECE = 10 * RATE
# What is heard of a piece may be half a second behind.
BEHIND = RATE // 2


def load(path):
    with tempfile.NamedTemporaryFile(suffix=".wav") as narrow:
        subprocess.check_call(["sox", "-D", path, "-r", str(RATE), narrow.name])
        return wavfile.read(narrow.name)[1].astype(numpy.float32) / 32_768


def score(said, heard):
    pieces = range(0, len(said) - PIECE + 1, PIECE)
    return statistics.mean(
        pesq(RATE, said[at : at + PIECE], heard[at : at + PIECE + BEHIND], "wb") for at in pieces
    )


said = load(sys.argv[1])
for case in sys.argv[3:]:
    runs = sorted(pathlib.Path(sys.argv[2]).glob(f"{case}-?.wav"))
    scores = [score(said, load(str(run))) for run in runs]
    print(f"{case}: median {statistics.median(scores):.2f}, {min(scores):.2f} to {max(scores):.2f}", flush=True)
