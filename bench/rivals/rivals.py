"""What Python gets from the same files, with mmap and with numpy.memmap.

Each question is a command. It prints samples as JSON, in nanoseconds a unit or bytes a
second, with the result of the work, which must agree with the other rivals'.
"""

import itertools
import json
import mmap
import os
import struct
import sys
import time

SAMPLES = 5


def nanoseconds(work):
    start = time.perf_counter_ns()
    result = work()
    return time.perf_counter_ns() - start, result


def timed(work):
    """Nanoseconds of some runs, after a first one that does not count, and the result."""
    times = [nanoseconds(work) for _ in range(SAMPLES + 1)]
    return [t for t, _ in times[1:]], times[-1][1]


def report(samples, check):
    print(json.dumps({"samples": samples, "check": check}))


def mapped(path):
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def random_access(path, records, way):
    with open(records, "rb") as file:
        at = memoryview(file.read(4 * 50_000)).cast("I").tolist()
    if way == "numpy":
        import numpy

        values = numpy.memmap(path, dtype="<f8", mode="r")

        def total(places):
            sum = 0.0
            for i in places:
                sum += values[i]
            return float(sum)
    else:
        file = mapped(path)
        unpack = struct.Struct("<d").unpack_from

        def total(places):
            sum = 0.0
            for i in places:
                sum += unpack(file, i * 8)[0]
            return sum

    times, _ = timed(lambda: total(at))
    report([t / len(at) for t in times], total(at[:100]))


def sequential(path):
    import numpy

    def total():
        return float(numpy.memmap(path, dtype="<f8", mode="r").sum())

    size = os.path.getsize(path)
    times, result = timed(total)
    report([size / t * 1e9 for t in times], result)


def find(path, pattern_path, way):
    with open(pattern_path, "rb") as file:
        pattern = file.read()
    bytes = mapped(path)
    search = getattr(bytes, way)
    times, found = timed(lambda: search(pattern))
    searched = len(bytes) - found if way == "rfind" else found + len(pattern)
    report([searched / t * 1e9 for t in times], found)


def open_close(path):
    opens = 500

    def work():
        for _ in range(opens):
            with mapped(path) as file:
                value = struct.unpack_from("<d", file, 4096)[0]
        return value

    times, value = timed(work)
    report([t / opens for t in times], value)


def byteswap_get(path, width, few, way):
    width, few = int(width), int(few)
    code = {2: "H", 4: "I", 8: "d"}[width]
    count = min(os.path.getsize(path) // width, 100_000)
    if way == "numpy":
        import numpy

        values = numpy.memmap(path, dtype=">" + {2: "u2", 4: "u4", 8: "f8"}[width], mode="r")

        # Sum up Python's integers: numpy's would wrap.
        def total(count):
            sum = 0.0
            for i in range(count):
                sum += float(values[i])
            return sum

        def read():
            for i in range(count):
                values[i]
    else:
        file = mapped(path)
        unpack = struct.Struct(">" + code).unpack_from

        def total(count):
            return float(sum(unpack(file, i * width)[0] for i in range(count)))

        def read():
            for i in range(count):
                unpack(file, i * width)[0]

    times, _ = timed(read)
    report([t / count for t in times], total(few))


def byteswap_all(path, width, way, pages="huge"):
    if pages == "small":
        # numpy reads this when it is imported. Otherwise it asks for huge pages.
        os.environ["NUMPY_MADVISE_HUGEPAGE"] = "0"
    import numpy

    kind = {2: "u2", 4: "u4", 8: "f8"}[int(width)]
    source = numpy.memmap(path, dtype=">" + kind, mode="r")
    # At another place within a page each time; see byteswap.ts.
    size = os.path.getsize(path)
    room = numpy.zeros(size + 4096, "u1")
    starts = itertools.cycle(range(0, 4096, 584))
    if way == "astype":
        def work():
            return source.astype("=" + kind)
    else:
        def work():
            start = next(starts)
            target = room[start : start + size].view("=" + kind)
            numpy.copyto(target, source)
            return target

    times, result = timed(work)
    # Each word counts times 31 ** (the number of words after it), modulo 2 ** 32.
    words = numpy.asarray(result).view("u4")
    powers = numpy.full(len(words), 31, "u4")
    powers[0] = 1
    powers = numpy.cumprod(powers, dtype="u4")[::-1]
    digest = int((words * powers).sum(dtype="u4"))
    report([size / t * 1e9 for t in times], digest - 2**32 if digest >= 2**31 else digest)


def resize_flush(path, size, added):
    size, added = int(size), int(added)
    samples = []
    for _ in range(3 if size < 2**28 else 1):
        with open(path, "wb") as file:
            block = bytes(range(251)) * 4177
            for at in range(0, size, len(block)):
                file.write(block[: size - at])
            file.flush()
            os.fsync(file.fileno())
        middle = size // 2
        content = b"\x07" * added
        start = time.perf_counter_ns()
        with open(path, "r+b") as file:
            with mmap.mmap(file.fileno(), size) as m:
                m.resize(size + added)
                m.move(middle + added, middle, size - middle)
                m[middle : middle + added] = content
                m.flush()
        samples.append(time.perf_counter_ns() - start)
        with open(path, "rb") as file:
            file.seek(middle - 1)
            got = file.read(added + 2)
            assert got[0] == block[(middle - 1) % len(block)]
            assert got[1:-1] == content and got[-1] == block[middle % len(block)]
            assert os.path.getsize(path) == size + added
        os.remove(path)
    report(samples, None)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE


def faults():
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt


def footprint(path, offsets, which):
    """which: 0 resident memory, 1 page faults, 2 time."""
    with open(offsets, "rb") as file:
        at = [int(x) for x in memoryview(file.read()).cast("d")]
    memory, before = resident(), faults()

    def touch():
        file = mapped(path)
        file.madvise(mmap.MADV_RANDOM)
        return sum(file[i] for i in at), file

    time, (check, _file) = nanoseconds(touch)
    gained = [resident() - memory, faults() - before, time / len(at)]
    report([gained[int(which)]], check)


if __name__ == "__main__":
    question, *arguments = sys.argv[1:]
    globals()[question](*arguments)
