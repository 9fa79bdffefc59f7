"""How much memory there is: of the computer, of a container or a cluster's job, of this process."""

import os
from pathlib import Path

import psutil

SHARE = 0.5  # of the memory that is free may be taken by what computes
NO_LIMIT = -1
GROUPS = Path("/sys/fs/cgroup")  # where Linux shows what groups of processes may take
OWN_GROUP = Path("/proc/self/cgroup")


def free_memory() -> int:
    """Return the bytes that this process may still take."""
    used, free = psutil.Process().memory_info(), psutil.virtual_memory().available
    addresses, group = address_limit(), group_limit(OWN_GROUP, GROUPS)
    if addresses is not None:
        free = min(free, (addresses - used.vms) // 2)  # more are set aside than are used
    if group is not None:
        free = min(free, group - used.rss)
    return int(max(0, free))


def address_limit() -> int | None:
    """Return the bytes of addresses that this process may have, if limited (``ulimit -v``)."""
    own = psutil.Process()
    limit: int = own.rlimit(psutil.RLIMIT_AS)[0] if hasattr(own, "rlimit") else NO_LIMIT  # Linux
    return None if limit == NO_LIMIT else limit


def be_frugal() -> None:
    """Let zarr, before it is loaded, use one thread where addresses are limited.

    Each thread sets aside 64 MB of them or more for its own use.
    """
    if address_limit() is not None:
        os.environ.setdefault("ZARR_THREADING__MAX_WORKERS", "1")


def group_limit(own: Path, groups: Path) -> int | None:
    """Return the bytes that a container's or a job's processes may take together, if limited.

    Parameters
    ----------
    own : Path
        Names the group of this process, as Linux's ``/proc/self/cgroup`` does.
    groups : Path
        Folder of all groups (version 2); each is in that of the one it belongs to.
    """
    try:
        name = own.read_text().partition("0::/")[2].splitlines()
    except OSError:
        return None
    folder = groups.joinpath(*name[:1])
    limits = [_limit(group) for group in (folder, *folder.parents) if group.is_relative_to(groups)]
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(group: Path) -> int | None:
    try:
        text = (group / "memory.max").read_text().strip()
    except OSError:  # the computer itself has none
        return None
    return int(text) if text.isdigit() else None
