"""Mounts that a killed program left behind."""

from __future__ import annotations

from pathlib import Path

from local.process import run


def unmount_below(*folders: Path) -> None:
    """Unmount everything at or below the folders, the innermost first."""
    for point in reversed(mount_points(Path("/proc/self/mountinfo").read_text())):
        if any(point.is_relative_to(folder) for folder in folders):
            run(["umount", "--lazy", point], f"unmounting {point}")


def mount_points(mountinfo: str) -> list[Path]:
    """Where things are mounted, in the order they were, from the text of proc(5)'s ``mountinfo``."""
    # Blanks in a path are written as octal escapes.
    return [Path(line.split()[4].encode().decode("unicode_escape")) for line in mountinfo.splitlines()]
