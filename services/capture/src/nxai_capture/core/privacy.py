"""What may be shown of a picture that was taken before the options of its camera changed."""

from nxai_common.contracts.configuration import CaptureCamera


def may_show(then: CaptureCamera, now: CaptureCamera | None) -> bool:
    """Return whether a picture taken under the options `then` may be shown under those of `now`.

    Args:
        then: Their masks are burned into the picture.
        now: None: the camera was removed.
    """
    return (
        now is not None
        and now.enabled
        and now.masks == then.masks
        and (now.snapshots or not then.snapshots)
    )


def before_this_run(camera: CaptureCamera) -> CaptureCamera:
    """Return what must be assumed of a camera's options before this process ran: nothing hidden."""
    return camera.model_copy(update={"masks": (), "snapshots": True})
