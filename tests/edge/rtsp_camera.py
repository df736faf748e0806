"""An RTSP camera with a test picture, or with an MP4 (MPEG-4 part 2) as if it happened now.

Run by Debian's own Python, which has GStreamer. Prints its address once it listens, and serves
until it is killed.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
TEST = (
    "( videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=20/1"
    " ! openh264enc gop-size=10 ! h264parse ! rtph264pay name=pay0 config-interval=1 )"
)
FILE = '( filesrc location="{}" ! qtdemux ! mpeg4videoparse ! rtpmp4vpay name=pay0 )'
factory.set_launch(FILE.format(sys.argv[1]) if len(sys.argv) > 1 else TEST)
server.get_mount_points().add_factory("/camera", factory)
server.attach(None)
print(f"rtsp://127.0.0.1:{server.get_bound_port()}/camera", flush=True)
GLib.MainLoop().run()
