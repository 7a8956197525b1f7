"""Builds hibench against a library and takes its figures: times, memory, instructions, system calls."""

import glob
import math
import os
import platform
import re
import resource
import statistics
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "hibench"
CC = os.environ.get("CC") or "gcc"
COMPILER = [*CC.split(), "-std=c11", "-O2", "-Wall", "-Wextra"]
RUN_TIMEOUT_S = 120
TRACE_TIMEOUT_S = 600
MEMORY_LIMIT_BYTES = 8 << 30


class Failure(Exception):
    """A program that did not build, or a scenario that gave a wrong result or none."""


@dataclass(frozen=True)
class Scenario:
    name: str
    group: str
    counts_memory: bool
    traced_repeats: int  # 0: instructions and system calls are not counted


@dataclass(frozen=True)
class Growth:
    name: str
    unit: str  # what a cost is given for: a reply, a byte
    size_unit: str
    counted: bool  # by instructions, because the kernel has no part in it
    sizes: tuple


@dataclass
class Library:
    name: str
    include: str
    libdir: Path
    program: Path


@dataclass
class Measurement:
    """What one library did in one scenario."""

    runs: list = field(default_factory=list)
    instructions_per_op: float | None = None
    syscalls_per_op: float | None = None
    error: str | None = None

    def median(self, figure):
        values = [run[figure] for run in self.runs if figure in run]
        return statistics.median(values) if values else None

    def memory(self):
        """Bytes per subscription or connection, else growth of the resident set in KiB."""
        return self.median("item_bytes") or self.median("grown_kib")

    def truncated(self):
        return any("truncated" in run for run in self.runs)


# ---- the program ----


def build(side, include, libdir, name, directory, ahead=()):
    """Links hibench with LIBDIR/libNAME and makes sure that it is this file that gets loaded. What AHEAD
    links has its functions found first."""
    libdir = Path(libdir).resolve()
    library = Library(name, include, libdir, Path(directory) / f"hibench-{side}")
    sources = sorted(map(str, SOURCES.glob("*.c")))
    command = [*COMPILER, *sources, f"-I{include}", *ahead]
    command += [f"-L{libdir}", f"-Wl,-rpath,{libdir}", f"-l{name}"]
    built = subprocess.run([*command, "-o", str(library.program)], capture_output=True, text=True)
    if built.returncode != 0:
        raise Failure(f"{name} does not build:\n{built.stderr}")
    linked = subprocess.run(["ldd", str(library.program)], capture_output=True, text=True).stdout
    if not any("libhiredis" in line and f"{libdir}/" in line for line in linked.splitlines()):
        raise Failure(f"{name} is not loaded from its directory:\n{linked}")
    return library


def _listing(library, option):
    listed = subprocess.run([library.program, option], capture_output=True, text=True, check=True).stdout
    return [line.split() for line in listed.splitlines()]


def version(library):
    """Of the headers that the program was built with."""
    return _listing(library, "--version")[0][0]


def list_scenarios(library):
    rows = _listing(library, "--list")
    return {name: Scenario(name, group, memory == "memory", int(traced)) for name, group, memory, _, traced in rows}


def list_growth(library):
    rows = _listing(library, "--list-growth")
    return {
        name: Growth(name, unit, size_unit, by == "instructions", tuple(map(int, sizes)))
        for name, unit, size_unit, by, *sizes in rows
    }


def run(command, timeout=RUN_TIMEOUT_S, limit_memory=False):
    """Runs hibench, perhaps under a tracer; returns its figures and its process id."""

    def limit():
        if limit_memory:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))

    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failure(f"not done in {timeout} s") from None
    if process.returncode != 0:
        raise Failure("; ".join(errors.strip().splitlines()) or f"exit status {process.returncode}")
    figures = dict(word.split("=") for word in output.split()[1:])
    return {name: float(value) for name, value in figures.items()}, process.pid


# ---- instructions and system calls ----


# Functions of glibc's allocator, without what the compiler puts behind their names.
ALLOCATOR = {
    "malloc", "free", "calloc", "realloc", "_int_malloc", "_int_free", "_int_realloc", "malloc_consolidate",
    "unlink_chunk", "systrim", "sysmalloc", "tcache_init", "mremap_chunk", "munmap_chunk",
}


def instructions_by_place(library, profile):
    """The instructions of a callgrind profile, without those of the benchmark program itself: in the
    library, in the allocator, and elsewhere in libc."""
    places = {"library": 0, "allocator": 0, "libc": 0}
    inside, in_library, allocates, skip = False, False, False, False
    for line in profile.read_text().splitlines():
        if line.startswith("ob="):
            inside = line == f"ob={library.program}"
            in_library = line.startswith(f"ob={library.libdir}/")
        elif line.startswith("fn="):
            allocates = line[3:].split(".")[0] in ALLOCATOR
        elif line.startswith("calls="):
            skip = True  # the next line repeats what the callee has under its own name
        elif line[:1].isdigit():
            if not inside and not skip:
                place = "library" if in_library else "allocator" if allocates else "libc"
                places[place] += int(line.split()[1])
            skip = False
    return places


def trace_instructions(library, arguments, directory):
    tracer = ["valgrind", "-q", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"]
    tracer.append(f"--callgrind-out-file={directory}/callgrind.%p")
    figures, pid = run([*tracer, library.program, *arguments], TRACE_TIMEOUT_S)
    places = instructions_by_place(library, Path(directory, f"callgrind.{pid}"))
    for profile in Path(directory).glob("callgrind.*"):  # the responder's too
        profile.unlink()
    return places, figures["ops"]


def count_instructions(library, arguments, directory):
    places, ops = trace_instructions(library, arguments, directory)
    return sum(places.values()), ops


def syscall_table(library, arguments, directory):
    """Calls of the client by name, and how many operations it did."""
    summary = Path(directory, "strace.summary")
    tracer = ["strace", "-c", "-U", "calls,name", "-o", summary]  # without -f: the responder isn't counted
    figures, _ = run([*tracer, library.program, *arguments], TRACE_TIMEOUT_S)
    rows = [line.split() for line in summary.read_text().splitlines()]
    calls = {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit()}
    return calls, figures["ops"]


def count_syscalls(library, arguments, directory):
    calls, ops = syscall_table(library, arguments, directory)
    return calls["total"], ops


def per_operation(count, library, scenario, directory):
    """The difference between N and 2N operations, so that start-up cancels out."""
    few, few_ops = count(library, [scenario.name, scenario.traced_repeats], directory)
    many, many_ops = count(library, [scenario.name, 2 * scenario.traced_repeats], directory)
    return (many - few) / (many_ops - few_ops)


def instructions_per_operation(library, scenario, directory):
    return per_operation(count_instructions, library, scenario, directory)


def places_per_operation(library, scenario, directory):
    """As `instructions_per_operation`, by place."""
    few, few_ops = trace_instructions(library, [scenario.name, scenario.traced_repeats], directory)
    many, many_ops = trace_instructions(library, [scenario.name, 2 * scenario.traced_repeats], directory)
    return {place: (many[place] - few[place]) / (many_ops - few_ops) for place in many}


def syscalls_per_operation(library, scenario, directory):
    return per_operation(count_syscalls, library, scenario, directory)


# ---- figures as text, and their averages ----


def ratio(ours, peer):
    return ours / peer if ours is not None and peer else None


def figure(value, digits=2):
    return "-" if value is None else f"{value:,.{digits}f}"


def quantity(value):
    return figure(value, 0 if value is not None and value >= 1000 else 1)


def geometric_mean(values):
    values = [value for value in values if value]
    return math.exp(statistics.fmean(map(math.log, values))) if values else None


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for name, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:])]
        print("  ".join([name.ljust(widths[0]), *padded]).rstrip())


# ---- where the figures come from ----


def _first_line(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return "none"


def toolchain():
    """The versions on which instruction counts depend."""
    rustc = _first_line(os.environ.get("RUSTC", "rustc"), "--version")
    return {
        "rustc": re.sub(r"^rustc ", "", rustc),
        "cc": re.sub(r"^g?cc ", "gcc ", _first_line(CC.split()[0], "--version")),
        "libc": " ".join(platform.libc_ver()),
        "valgrind": _first_line("valgrind", "--version"),
        "processor": processor_features(),
    }


def processor_features():
    """What libc and memchr choose their code by."""
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    present = set(flags[1].split()) if flags else set()
    return " ".join([platform.machine(), *(name for name in ("avx2", "avx512f", "erms", "fsrm") if name in present)])


def machine():
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return {
        "processor": f"{model[1] if model else platform.machine()}, {os.cpu_count()} processors, {memory} GiB",
        "cache": last_level_cache(),
        "system": f"{platform.system()} {platform.release()}",
    }


def last_level_cache():
    sizes = [Path(path).read_text().strip() for path in glob.glob("/sys/devices/system/cpu/cpu0/cache/index*/size")]
    kib = [int(size[:-1]) * {"K": 1, "M": 1024}[size[-1]] for size in sizes]
    return f"{max(kib) // 1024} MiB" if kib and max(kib) >= 1024 else "not known"
