from __future__ import annotations

from pathlib import Path

from local.mounts import mount_points

MOUNTINFO = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 22 0:38 / /srv/a\040stack/.local rw - tmpfs tmpfs rw
41 40 0:39 / /srv/a\040stack/.local/pods/x rw shared:1 - tmpfs tmpfs rw
""".strip()


def test_mount_points_come_in_the_order_of_mounting_with_their_blanks():
    assert mount_points(MOUNTINFO) == [Path("/"), Path("/srv/a stack/.local"), Path("/srv/a stack/.local/pods/x")]
