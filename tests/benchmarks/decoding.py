"""CPU per picture: our file source against a bare OpenCV loop with one decoding thread.

    python tests/benchmarks/decoding.py VIDEO...

Each measurement runs in a process of its own, three times by turns; the best counts.
"""

import resource
import subprocess
import sys
from pathlib import Path

TURNS = 3


def cpu_ms_per_picture(path: str, way: str) -> float:
    """Decode all of `path` in this process; importing and opening do not count."""
    return _opencv(path) if way == "opencv" else _file_source(path)


def _opencv(path: str) -> float:
    import cv2  # noqa: PLC0415 - each way loads only what it needs

    cv2.setNumThreads(1)
    reader = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    before, count = _cpu_s(), 0
    while reader.read()[0]:
        count += 1
    return (_cpu_s() - before) / count * 1000


def _file_source(path: str) -> float:
    from nxai_capture.adapters.file_source import VideoFileSource  # noqa: PLC0415 - as above
    from nxai_capture.adapters.system_clock import SystemClock  # noqa: PLC0415 - as above
    from nxai_common.contracts.configuration import FileSource  # noqa: PLC0415 - as above

    configuration = FileSource(path=path, pace="fast", loop=False)
    with VideoFileSource(configuration, SystemClock(), 10) as source:
        before, count = _cpu_s(), 0
        while source.read() is not None:
            count += 1
        return (_cpu_s() - before) / count * 1000


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(arguments: list[str]) -> None:
    """Print one line for each video."""
    if arguments[:1] == ["--one"]:
        print(cpu_ms_per_picture(arguments[2], arguments[1]))
        return
    for path in arguments:
        best = dict.fromkeys(("opencv", "file source"), float("inf"))
        for _ in range(TURNS):
            for way in best:
                answer = subprocess.run(
                    [sys.executable, __file__, "--one", way, path],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                best[way] = min(best[way], float(answer.stdout))
        opencv, ours = best["opencv"], best["file source"]
        print(
            f"{Path(path).name}: OpenCV {opencv:.2f} ms, file source {ours:.2f} ms "
            f"CPU a picture ({ours / opencv:.2f} x)"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
