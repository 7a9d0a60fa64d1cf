"""Pictures to JPEG, over OpenCV."""

import cv2

from nxai_capture.core.jpeg import with_comment
from nxai_capture.core.picture import Bgr, Bytes, Gray, Picture, Planes, Rgb, Yuv420, as_bytes
from nxai_common.errors import InvalidPayload


class JpegEncoder:
    """Encodes JPEGs of one quality; implements `nxai_capture.ports.EncodePicture`."""

    def __init__(self, quality: int) -> None:
        self._options = [cv2.IMWRITE_JPEG_QUALITY, quality]

    def __call__(
        self, picture: Picture, *, max_width: int | None = None, comment: bytes = b""
    ) -> bytes:
        """Return a JPEG of `picture`, scaled down to `max_width` when it is wider.

        Args:
            picture: What it shows.
            max_width: None: full size.
            comment: For its segment COM; empty: none.

        Raises:
            InvalidPayload: larger than a JPEG can be.
        """
        if max_width is not None and picture.width > max_width:
            picture = _shrink(picture, max_width)
        planes = picture.planes
        pixels = planes.pixels if isinstance(planes, Gray) else picture.to_bgr()
        try:
            done, data = cv2.imencode(".jpg", pixels, self._options)
        except cv2.error as error:
            raise InvalidPayload(
                f"a picture of {picture.width}x{picture.height} pixels cannot be a JPEG: {error}"
            ) from error
        if not done:
            raise InvalidPayload(
                f"a picture of {picture.width}x{picture.height} pixels cannot be a JPEG"
            )
        jpeg = data.tobytes()
        return with_comment(jpeg, comment) if comment else jpeg


def _shrink(picture: Picture, width: int) -> Picture:
    """Return the picture `width` pixels across; planes are shrunk before colour is converted."""
    height = max(1, round(picture.height * width / picture.width))
    planes: Planes = picture.planes
    if isinstance(planes, Yuv420):
        chroma_size = (-(-width // 2), -(-height // 2))
        planes = Yuv420(
            _resize(planes.y, (width, height)),
            _resize(planes.u, chroma_size),
            _resize(planes.v, chroma_size),
            full_range=planes.full_range,
            matrix=planes.matrix,
        )
    elif isinstance(planes, Rgb):
        planes = Rgb(_resize(planes.pixels, (width, height)))
    elif isinstance(planes, Bgr):
        planes = Bgr(_resize(planes.pixels, (width, height)))
    else:
        planes = Gray(_resize(planes.pixels, (width, height)))
    return Picture(planes, width, height, picture.captured_at_us, picture.corrupt)


def _resize(pixels: Bytes, size: tuple[int, int]) -> Bytes:
    return as_bytes(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
