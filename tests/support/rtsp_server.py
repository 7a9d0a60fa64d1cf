"""An RTSP camera made of a video file. Runs under the system's Python (python3-gi).

    /usr/bin/python3 rtsp_server.py VIDEO [--once] [--udp-only] [--user U --password-stdin]
                                    [--digest] [--stall-after N] [--codec h264|mjpeg]

Prints the port it listens at, then serves rtsp://127.0.0.1:PORT/camera until its standard input
ends (so that it never outlives the test that started it).
"""

import argparse
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - versions first


class Camera(GstRtspServer.RTSPMediaFactory):
    """Makes one pipeline for all viewers, and plays the file again when it ends."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self.options = options
        self.set_shared(True)

    def do_create_element(self, _url: object) -> Gst.Element:
        """Build the pipeline; packets pass untouched, nothing is encoded here."""
        parse, pay = {
            "h264": ("h264parse config-interval=-1", "rtph264pay"),
            "mjpeg": ("jpegparse", "rtpjpegpay"),
        }[self.options.codec]
        path = self.options.video.replace("\\", "\\\\").replace('"', '\\"')
        return Gst.parse_launch(
            f'( filesrc location="{path}" ! qtdemux ! {parse} ! identity name=gate sync=true '
            f"! {pay} name=pay0 pt=96 )"
        )

    def do_configure(self, media: GstRtspServer.RTSPMedia) -> None:
        """Count pictures to stall, and loop."""
        GstRtspServer.RTSPMediaFactory.do_configure(self, media)  # protocols and the like
        bin_ = media.get_element()
        gate = bin_.get_by_name("gate")
        passed = 0

        def probe(_pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
            nonlocal passed
            kind = info.type
            if kind & Gst.PadProbeType.BUFFER:
                passed += 1
                stall = self.options.stall_after
                if stall and passed > stall:
                    return Gst.PadProbeReturn.DROP
            elif info.get_event().type == Gst.EventType.EOS and not self.options.once:
                GLib.idle_add(rewind)
                return Gst.PadProbeReturn.DROP
            return Gst.PadProbeReturn.OK

        def rewind() -> bool:
            flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.KEY_UNIT
            bin_.seek_simple(Gst.Format.TIME, flags, 0)
            return False

        gate.get_static_pad("sink").add_probe(
            Gst.PadProbeType.BUFFER | Gst.PadProbeType.EVENT_DOWNSTREAM, probe
        )


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("video")
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--udp-only", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--digest", action="store_true")
    parser.add_argument("--stall-after", type=int, default=0)
    options = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = Camera(options)
    if options.udp_only:
        factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP)
    if options.user is not None:
        password = sys.stdin.readline().rstrip("\n")
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth = GstRtspServer.RTSPAuth()
        if options.digest:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
            auth.add_digest(options.user, password, token)
        else:
            basic = GstRtspServer.RTSPAuth.make_basic(options.user, password)
            auth.add_basic(basic, token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/camera", factory)
    if server.attach(None) == 0:
        raise SystemExit("no free port")
    print(server.get_bound_port(), flush=True)  # noqa: T201 - the test reads it
    loop = GLib.MainLoop()

    def watch() -> None:
        sys.stdin.read()
        loop.quit()

    threading.Thread(target=watch, daemon=True).start()
    loop.run()


if __name__ == "__main__":
    main()
