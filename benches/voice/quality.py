"""How good a voice is that went the whole way: said by `parlor talk`, passed on by `parlor relay`, heard
by `parlor listen`, each a process of its own; PESQ (wide band), STOI and delays of what was heard.

    python3 benches/voice/quality.py [--parlor FILE] [--runs N] [--only CASE,...] [--json]

Without `--parlor` it builds a release. It needs espeak-ng, sox and the recordings of alsa-utils, and
installs them where it may (root, on Debian); pesq, pystoi and numpy it installs into a place of its own
under `target/`. Beside that the standard library is enough.

What is said: for the first 6 s, in which the speaker hears how much is lost, something that does not
count; then four voices of espeak-ng, and the recordings, with pink noise at -65 dBov as of a room.

Networks are a UDP proxy between the relay and who listens, by seed: each packet takes its time, evenly
spread between two bounds, none overtakes another, and some are lost, each way, once the call is there.

PESQ is of what was heard, with all that the playout did to it: the mean of pieces of 10 s, and of a case
the median of its runs. STOI wants both in step, and what is played is stretched now and then: so each
250 ms of what was said are looked for in what was heard, and what was found there, which is not
stretched but for such pieces as a stretch falls into, is compared. The delay that is found with that,
from mouth to ear, has in it what the codec looks ahead (6.5 ms); devices are not there. The delay of the
playout is what its statistics say: of the network only what a packet takes longer than the fastest.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import pathlib
import queue
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLACE = ROOT / "target" / "quality"
PYTHON = PLACE / "venv" / "bin" / "python"
RECORDINGS = pathlib.Path("/usr/share/sounds/alsa")

# Processes that share nothing with threads of this one.
SPAWN = multiprocessing.get_context("spawn")

# Milliseconds that a packet takes, and how many of a thousand are lost behind one that arrives, and
# behind one that is lost.
CASES = {
    "loopback": None,
    "far": ((30, 70), (0, 0)),
    "far-1": ((30, 70), (10, 10)),
    "far-5": ((30, 70), (50, 50)),
    "far-10": ((30, 70), (100, 100)),
    "far-bursts": ((30, 70), (17, 667)),
}
BARS = {"loopback": 3.4, "far-5": 2.9}

# What is said is scored at this rate.
RATE = 16_000
WARM = 6.0
PIECE = 10.0
# What is heard of a piece may be half a second behind.
BEHIND = 0.5
# How much is looked for at a time, and how far around where it should be.
STEP = 0.25
AROUND = 0.15
PATIENCE = 60.0

VOICES = ["en-us", "en-gb+f3", "en-us+m3", "en-gb+f2"]
SENTENCES = [
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well. These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls. The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck. Four hours of steady work faced us.",
]
BEFORE = "The hogs were fed chopped corn and garbage. A large size in stockings is hard to sell."


# The script runs twice: once to make what it needs, once with that.


def prepare(options):
    wanted = {"espeak-ng": "espeak-ng", "sox": "sox"}
    missing = [package for program, package in wanted.items() if not shutil.which(program)]
    if not RECORDINGS.is_dir():
        missing.append("alsa-utils")
    if missing:
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            sys.exit("install " + ", ".join(missing) + " first")
        subprocess.check_call(["apt-get", "update", "-qq"], stdout=subprocess.DEVNULL)
        subprocess.check_call(install, stdout=subprocess.DEVNULL)
    if not PYTHON.exists():
        subprocess.check_call([sys.executable, "-m", "venv", str(PYTHON.parent.parent)])
    have = subprocess.call([PYTHON, "-c", "import numpy, pesq, pystoi"], stderr=subprocess.DEVNULL)
    if have != 0:
        subprocess.check_call([PYTHON, "-m", "pip", "install", "-q", "numpy", "pesq", "pystoi"])
    if options.parlor is None:
        build = ["cargo", "build", "--release", "--locked", "--features", "cli", "--bin", "parlor"]
        subprocess.check_call(build, cwd=ROOT)
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        options.parlor = str(target / "release" / "parlor")
    arguments = sys.argv[1:] + ["--prepared", "--parlor", options.parlor]
    os.execv(PYTHON, [str(PYTHON), os.path.abspath(__file__), *arguments])


# What is said.


def sox(*arguments):
    subprocess.check_call(["sox", "-V1", "-D", "-R", *map(str, arguments)])


def speech():
    """Makes what is said, at 48 kHz. Returns the file, and how many pieces are scored."""
    parts = PLACE / "speech"
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)

    def spoken(name, voice, text):
        raw, part = parts / f"{name}.raw.wav", parts / f"{name}.wav"
        subprocess.check_call(["espeak-ng", "-v", voice, "-s", "150", "-w", raw, text])
        sox(raw, "-r", 48_000, "-c", 1, "-b", 16, part, "norm", -6)
        return part

    def cut(name, length, sources):
        """Exactly so long: one source behind the other, with pauses of 300 ms."""
        padded = []
        for number, source in enumerate(sources):
            padded.append(parts / f"{name}-{number}.pad.wav")
            sox(source, padded[-1], "pad", 0.1, 0.2)
        whole = parts / f"{name}.cut.wav"
        sox(*padded, whole, "pad", 0, length, "trim", 0, length, "fade", "t", 0.01, length, 0.05)
        return whole

    pieces = [cut("before", WARM, [spoken("before", "en-us+m3", BEFORE)])]
    spoken_by = [spoken(voice, voice, text) for voice, text in zip(VOICES, SENTENCES)]
    pieces += [cut(f"synthetic-{n}", PIECE, spoken_by[2 * n : 2 * n + 2]) for n in range(2)]
    recorded = []
    for source in sorted(RECORDINGS.glob("*.wav")):
        if source.stem != "Noise":
            recorded.append(parts / f"{source.stem}.wav")
            sox(source, "-r", 48_000, "-c", 1, "-b", 16, recorded[-1], "norm", -6)
    pieces.append(cut("recorded", PIECE, recorded))
    clean, noise, said = (parts / f"{name}.wav" for name in ["clean", "noise", "said"])
    sox(*pieces, clean)
    length = WARM + PIECE * (len(pieces) - 1)
    sox("-n", "-r", 48_000, "-c", 1, "-b", 16, noise, "synth", length, "pinknoise", "norm", -54)
    sox("-m", "-v", 1, clean, "-v", 1, noise, said)
    return said, len(pieces) - 1


# A network that is not good, as a process.


async def carry(to, case, seed, lossy, port):
    (least, most), losses = case
    loop = asyncio.get_running_loop()

    def way(number, send):
        rng, due, state = random.Random(seed * 1_000 + number), asyncio.Queue(), [False, 0.0]

        async def pump():
            while True:
                at, packet = await due.get()
                await asyncio.sleep(max(0.0, at - loop.time()))
                send(packet)

        def take(packet):
            share = losses[1] if state[0] else losses[0]
            state[0] = lossy.is_set() and rng.randrange(1_000) < share
            if not state[0]:
                state[1] = max(state[1], loop.time() + rng.uniform(least, most) / 1e3)
                due.put_nowait((state[1], packet))

        return take, loop.create_task(pump())

    ways, tasks = {}, []

    class Outside(asyncio.DatagramProtocol):
        def __init__(self, back):
            self.back = back

        def datagram_received(self, packet, _):
            self.back(packet)

    class Inside(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, packet, client):
            if client not in ways:
                ways[client] = loop.create_task(self.begin(client, len(ways)))
            ways[client].add_done_callback(lambda begun: begun.result()(packet))

        async def begin(self, client, number):
            back, task = way(2 * number + 1, lambda it: self.transport.sendto(it, client))
            outside, _ = await loop.create_datagram_endpoint(lambda: Outside(back), remote_addr=to)
            take, other = way(2 * number, outside.sendto)
            tasks.extend([task, other])
            return take

    inside, _ = await loop.create_datagram_endpoint(Inside, local_addr=("127.0.0.1", 0))
    port.put(inside.get_extra_info("sockname")[1])
    await asyncio.Event().wait()


def network(to, case, seed, lossy, port):
    asyncio.run(carry(to, case, seed, lossy, port))


# The command.


class Process:
    def __init__(self, parlor, *arguments):
        environment = {**os.environ, "PARLOR_APP_KEY": "the key of the measurement"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        command = [parlor, *map(str, arguments), "--json"]
        self.child = subprocess.Popen(command, env=environment, text=True, **pipes)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def until(self, is_it):
        deadline = time.monotonic() + PATIENCE
        while True:
            line = self.lines.get(timeout=max(0.1, deadline - time.monotonic()))
            if line is None:
                raise RuntimeError(f"{self.child.args} has ended")
            if is_it(line):
                return line

    def event(self, name):
        return self.until(lambda line: line.get("event") == name)

    def end(self, *typed):
        for line in typed:
            self.child.stdin.write(line)
            self.child.stdin.flush()
        return self

    def close(self):
        self.child.stdin.close()
        self.child.wait(PATIENCE)


def call(options, address, case, number, said):
    """One says it to one who hears it behind a network. Returns what was heard, and how."""
    room, heard = f"{case}-{number}", PLACE / "heard" / f"{case}-{number}.wav"
    lossy, carrier = SPAWN.Event(), None
    by = address
    if CASES[case]:
        _, _, host, _, port, rest = address.split("/", 5)
        answer = SPAWN.Queue()
        path = ((host, int(port)), CASES[case], number, lossy, answer)
        carrier = SPAWN.Process(target=network, args=path, daemon=True)
        carrier.start()
        by = f"/ip4/127.0.0.1/udp/{answer.get(timeout=PATIENCE)}/{rest}"
    try:
        listener = Process(options.parlor, "listen", room, "--relay", by, "--out", heard, "--until-eof")
        listening = listener.event("listening")
        lossy.set()
        talker = Process(options.parlor, "talk", room, "--relay", address, "--file", said)
        talking = talker.event("talking")
        talked = talker.event("talked")
        talker.close()
        listener.event("closed")
        listened = listener.end("q").event("listened")
        listener.close()
    finally:
        if carrier:
            carrier.terminate()
    if abs(talked["clock_set_us"]) + abs(listened["clock_set_us"]) > 5_000:
        raise RuntimeError("somebody has set the computer's clock")
    (stream,) = listened["streams"]
    return heard, (talking["unix_us"] - listening["unix_us"]) / 1e6, stream


# The scores.


def load(file):
    import numpy

    raw = subprocess.check_output(
        ["sox", "-D", file, "-r", str(RATE), "-c", "1", "-b", "16", "-e", "signed", "-t", "raw", "-"]
    )
    return numpy.frombuffer(raw, dtype="<i2").astype(numpy.float32) / 32_768


def found(said, heard, from_here=0):
    """What was heard of what was said, in step with it, and by how many seconds each part was later. What
    was said at the beginning should be heard `from_here`; earlier, if who listened was held up for so long
    that it passed over some time."""
    import numpy

    step, around = int(STEP * RATE), int(AROUND * RATE)
    in_step, delays, last = numpy.zeros_like(said), [], None
    for place in range(0, len(said) - step + 1, step):
        window, at = said[place : place + step], place + from_here
        # The first is looked for where it can be at all.
        begin = max(0, at + (-int(BEHIND * RATE) if last is None else last - around))
        end = at + step + (int(BEHIND * RATE) if last is None else last + around)
        there = heard[begin:end]
        if len(there) < step:
            break
        products = numpy.correlate(there, window, "valid")
        energies = numpy.convolve(there**2, numpy.ones(step, dtype=numpy.float32), "valid")
        alike = products / numpy.sqrt(numpy.maximum(energies * numpy.sum(window**2), 1e-9))
        # In a pause there is nothing to be found.
        is_loud = numpy.mean(window**2) > 1e-4
        best = int(numpy.argmax(alike)) if is_loud else None
        if is_loud and alike[best] > 0.5:
            last = begin + best - at
            delays.append(last / RATE)
        there = begin + best if is_loud else max(0, at + (last or 0))
        part = heard[there : there + step]
        in_step[place : place + len(part)] = part
    return in_step, delays


def score(job):
    said_file, (heard_file, offset, stream), pieces = job
    from pesq import pesq
    from pystoi import stoi

    said, heard = load(said_file), load(heard_file)
    heard = heard[max(0, round(offset * RATE)) :]
    scores, similar, delays = [], [], []
    for piece in range(pieces):
        begin, length = round((WARM + piece * PIECE) * RATE), round(PIECE * RATE)
        mine = said[begin : begin + length]
        theirs = heard[begin : begin + length + round(BEHIND * RATE)]
        scores.append(pesq(RATE, mine, theirs, "wb"))
        in_step, later = found(mine, heard, begin)
        similar.append(stoi(mine, in_step, RATE))
        delays.extend(later)
    return {
        "pesq": statistics.mean(scores),
        "pesq_synthetic": statistics.mean(scores[:-1]),
        "pesq_recorded": scores[-1],
        "stoi": statistics.mean(similar),
        "mouth_to_ear_ms": 1e3 * statistics.mean(delays),
        "mean_delay_ms": stream["mean_delay_ms"],
        "p95_delay_ms": stream["p95_delay_ms"],
        "concealed_percent": stream["concealed_percent"],
        "lost": stream["lost"],
        "stretches": stream["stretches"],
    }


def summary(case, runs):
    middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    all_pesq = [run["pesq"] for run in runs]
    bar = BARS.get(case)
    met = None if bar is None else middle["pesq"] >= bar
    spread = {"pesq_least": min(all_pesq), "pesq_most": max(all_pesq)}
    return {"case": case, "runs": len(runs), **middle, **spread, "bar": bar, "met": met}


def measure(options):
    said, pieces = speech()
    (PLACE / "heard").mkdir(exist_ok=True)
    listen = ["--listen", "/ip4/127.0.0.1/udp/0/quic-v1"]
    relay = Process(options.parlor, "relay", *listen, "--exempt-loopback", "--until-eof")
    address = relay.until(lambda line: "address" in line)["address"]
    missed = False
    for case in options.only or CASES:
        heard, numbers = [], list(range(options.runs))
        while numbers:
            now, numbers = numbers[: options.at_once], numbers[options.at_once :]
            threads, outcomes = [], queue.Queue()

            def run(number):
                try:
                    outcomes.put(call(options, address, case, number, said))
                except Exception as error:
                    outcomes.put(error)

            for number in now:
                # Not all say the same at once.
                time.sleep(0.37)
                threads.append(threading.Thread(target=run, args=[number]))
                threads[-1].start()
            for thread in threads:
                thread.join()
            heard.extend(outcomes.get() for _ in now)
        for outcome in heard:
            if isinstance(outcome, Exception):
                raise outcome
        # Scored when nobody is heard.
        with SPAWN.Pool(options.at_once) as pool:
            runs = pool.map(score, [(said, one, pieces) for one in heard], 1)
        row = summary(case, runs)
        missed |= row["met"] is False
        if options.json:
            print(json.dumps(row), flush=True)
        else:
            bar = "" if row["bar"] is None else f" (bar {row['bar']}, {'met' if row['met'] else 'NOT MET'})"
            print(
                "{case:10} PESQ {pesq:.2f} ({pesq_least:.2f} to {pesq_most:.2f}; synthetic {pesq_synthetic:.2f}, "
                "recorded {pesq_recorded:.2f}){bar}, STOI {stoi:.3f}, mouth to ear {mouth_to_ear_ms:.0f} ms, "
                "playout {mean_delay_ms:.0f} ms (p95 {p95_delay_ms:.0f}), concealed {concealed_percent:.2f} %, "
                "{runs} runs".format(**{**row, "bar": bar}),
                flush=True,
            )
    relay.close()
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--parlor", help="the command; by default it is built")
    parser.add_argument("--runs", type=int, default=10, help="of each case")
    parser.add_argument("--at-once", type=int, default=2, help="how many calls there are at a time")
    parser.add_argument("--only", type=lambda it: it.split(","), help=", ".join(CASES))
    parser.add_argument("--json", action="store_true", help="one object for each case")
    parser.add_argument("--prepared", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for case in options.only or []:
        if case not in CASES:
            parser.error(f"no case {case}: there are {', '.join(CASES)}")
    if not options.prepared:
        prepare(options)
    sys.exit(1 if measure(options) else 0)


if __name__ == "__main__":
    main()
