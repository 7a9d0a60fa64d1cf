"""The thread pools of numpy's BLAS and of OpenCV."""

import cv2
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # none published


def one_thread_each() -> None:
    """Compute on the calling thread.

    Cameras already have threads of their own. A pool would make each small multiplication wait
    for the others' cores, and spins between them: a quarter more CPU for fewer frames.
    """
    threadpool_limits(limits=1)
    cv2.setNumThreads(1)
