"""Fuzzing every reader of foreign bytes: an own error or a value, soon and in little memory.

A reader is called with mutations of what it should read: bits and bytes changed, cut, repeated,
two inputs spliced, members of JSON replaced by values that nobody expects, and checksums made to
agree again, as a cunning stranger would. Each reader runs in a process of its own whose memory is
limited; a crash, a hang or an error of another kind is a failure, and its input is kept.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from omnitrace.errors import OmniTraceError
from omnitrace.store.commit import Unreadable

SECONDS = 20
"""The longest that one input may take, on a machine that does other things too."""
MEMORY = 2**30
"""Bytes of address space beyond what the process has when it begins."""
ODD: list[Any] = [
    None, True, -1, 0, 2**31, 2**63, 2**64, 10**400, 1.5, 1e308, "", "../../x", "\ud800",
    "\x1b]52;c;eA==\x07", "x" * 5000, [], {}, [[]], [0] * 1000,
]  # fmt: skip
WORDS = [
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\0", b"\xff", b"\n", b"\r", b"\xe2\x80\xae", b"-",
    b"1e999", b"NaN", b"[" * 3000, b'{"a":' * 2000, b"\xed\xa0\x80", b"00:00:01,000 --> ",
]  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """What is fuzzed: `read` takes bytes; `seeds` are some that it accepts; `repair` makes the
    checksums of mutated bytes agree; `share` is its part of all executions."""

    name: str
    read: Callable[[bytes], object]
    seeds: list[bytes]
    repair: Callable[[bytes], bytes] | None = None
    share: float = 1.0


@dataclass
class Outcome:
    """How often a reader ran, and how often it gave a value; `failures` are what must not be."""

    executions: int = 0
    accepted: int = 0
    failures: list[str] = field(default_factory=list)


def fuzz(reader: Reader, executions: int, seed: int, folder: Path) -> Outcome:
    """Run a reader that often in a child process; inputs that fail are kept in `folder`."""
    done, said = folder / "done", folder / "outcome"
    current = folder / f"{reader.name}.input"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child starts no threads
        pid = os.fork()
    if pid == 0:
        try:
            outcome = _run(reader, executions, seed, current)
            said.write_text(json.dumps(vars(outcome)))
        except BaseException:
            said.write_text(json.dumps(vars(Outcome(0, 0, [traceback.format_exc()[-2000:]]))))
        finally:
            os._exit(0)  # private: documented, in spite of its name
    _, status = os.waitpid(pid, 0)
    if status:
        return Outcome(failures=[f"{reader.name} died with status {status}: see {current}"])
    outcome = Outcome(**json.loads(said.read_text()))
    done.unlink(missing_ok=True)
    said.unlink()
    return outcome


def _run(reader: Reader, executions: int, seed: int, current: Path) -> Outcome:
    rng, outcome = random.Random(f"{reader.name} {seed}"), Outcome()
    _limit_memory()
    signal.signal(signal.SIGALRM, _too_long)
    descriptor = os.open(current, os.O_RDWR | os.O_CREAT)
    for seed_bytes in reader.seeds:
        reader.read(seed_bytes)
    while outcome.executions < executions and len(outcome.failures) < 5:
        data = mutate(rng, reader)
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
        signal.alarm(SECONDS)
        try:
            reader.read(data)
            outcome.accepted += 1
        except (OmniTraceError, Unreadable):
            pass
        except BaseException:
            kept = current.with_name(f"{reader.name}.{len(outcome.failures)}")
            kept.write_bytes(data)
            outcome.failures.append(f"{kept}: {traceback.format_exc()[-1500:]}")
        signal.alarm(0)
        outcome.executions += 1
    return outcome


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError(f"it took more than {SECONDS} s")


def mutate(rng: random.Random, reader: Reader) -> bytes:
    """Another input, some steps from a seed."""
    data = rng.choice(reader.seeds)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        data = rng.choice(MUTATIONS)(rng, data, reader.seeds)
    return reader.repair(data) if reader.repair and rng.random() < 0.7 else data


def _flip(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return (
        data[:place]
        + bytes(b ^ 1 << rng.randrange(8) for b in data[place : place + 1])
        + data[place + 1 :]
    )


def _set(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    length = rng.choice([1, 2, 4, 8])
    return (
        data[:place] + rng.choice([b"\0", b"\xff", b"\x7f", b"0"]) * length + data[place + length :]
    )


def _cut(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    start, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:start] if rng.random() < 0.3 else data[:start] + data[stop:]


def _insert(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(WORDS) + data[place:]


def _repeat(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    start, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return (
        data[:stop]
        + data[start:stop] * rng.choice([1, 2, 20 if stop - start < 500 else 1])
        + data[stop:]
    )


def _splice(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    other = rng.choice(seeds)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _json(rng: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    """Of one line, if it is JSON, some value is another."""
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    try:
        document = json.loads(lines[place])
    except (ValueError, RecursionError):
        return _flip(rng, data, seeds)
    lines[place] = json.dumps(_changed(rng, document)).encode()
    return b"\n".join(lines)


def _changed(rng: random.Random, value: Any) -> Any:
    """JSON data in which one value, key or item is another."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        place = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value[:place] + value[place : place + 1] * 2 + value[place + 1 :]
        return [*value[:place], _changed(rng, value[place]), *value[place + 1 :]]
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice([-1, 1, 100, 2**31])
    return rng.choice(ODD)


MUTATIONS = [_flip, _set, _cut, _insert, _repeat, _splice, _json, _json, _json]
