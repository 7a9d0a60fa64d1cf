"""Pictures that come over the bus, read with Pillow as the command line reads its files."""

from nxai_common.contracts.models import InputSpec
from nxai_inference.ports import FittedPicture


class PillowReader:
    """Decodes pictures and fits them to a model's input (implements `PictureReader`)."""

    def read(self, content: bytes, wanted: InputSpec) -> FittedPicture:
        """Decode a picture and fit it.

        Raises:
            RejectedError: broken, too large, or neither JPEG nor PNG.
        """
        # Most boxes are never sent one: the service need not carry Pillow until then.
        from nxai_inference.adapters.picture_file import decode_picture, fit_picture  # noqa: PLC0415 - as above

        picture = decode_picture(content)
        pixels, transform = fit_picture(
            picture, (wanted.width, wanted.height), wanted.channels, wanted.resize_mode
        )
        return FittedPicture(pixels, transform, *picture.size)
