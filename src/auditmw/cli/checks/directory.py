"""The audit directory: who can read and write it, what it is stored on, and how much room there is."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from auditmw.cli.checks.finding import Finding, fail, ok, warn
from auditmw.reading import what_is_wrong_with

FREE_BYTES_FAIL = 64 << 20  # four journal files of 16 MiB
FREE_BYTES_WARN = 1 << 30
FREE_INODES_FAIL = 1_000
FREE_INODES_WARN = 10_000
KEY_BYTES = 32
_AS_THE_APP = "run this check as the app's user: sudo -u USER auditmw check DIR"
VOLATILE = {"tmpfs": "memory", "ramfs": "memory", "overlay": "a container's layer", "aufs": "a container's layer"}
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse", "afs", "lustre", "gfs2", "ocfs2")


def check_directory(directory: Path) -> Iterator[Finding]:
    """Yield findings about `directory`; a directory that cannot hold a journal yields one failure and no more."""
    trouble = _not_a_directory(directory)
    if trouble:
        yield trouble
        return
    yield from _type(directory)
    yield from _access(directory)
    yield from _parents(directory)
    yield from _files(directory)
    yield _key(directory)
    yield _file_system(directory)
    yield from _room(directory)


def _not_a_directory(directory: Path) -> Finding | None:
    try:
        is_directory = stat.S_ISDIR(directory.stat().st_mode)
    except FileNotFoundError:
        return fail("directory.exists", f"{directory} does not exist", "give the directory that Audit(...) was given")
    except OSError as error:
        return fail("directory.exists", f"{directory}: {error.strerror}", _AS_THE_APP)
    if is_directory:
        try:
            os.listdir(directory)
            wrong = what_is_wrong_with(directory)
        except OSError as error:
            return fail("directory.readable", f"{directory}: {error.strerror}", _AS_THE_APP)
        return fail("directory.journal", wrong, "give the directory that Audit(...) was given") if wrong else None
    return fail("directory.exists", f"{directory} is not a directory", "give the directory, not a file in it")


def _type(directory: Path) -> Iterator[Finding]:
    target = directory.resolve()
    yield ok("directory.exists", f"{directory}, which is {target}" if directory.is_symlink() else str(directory))
    for path in (directory / "journal", directory / "quarantine"):
        if path.is_symlink():
            advice = "make the audit directory itself the link: auditmw follows none inside of it"
            yield fail("directory.symlink", f"{path} is a symbolic link to {path.resolve()}", advice)


def _access(directory: Path) -> Iterator[Finding]:
    for path in (directory, directory / "journal", directory / "quarantine"):
        if not path.is_dir():
            continue
        yield _mode(path)
        yield _writable(path)


def _mode(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    seen = f"{path} has mode {mode:04o}"
    if mode & stat.S_IWOTH:
        return fail("directory.mode", f"{seen}: every user can delete and replace events", f"chmod 0750 {path}")
    if mode & stat.S_IWGRP:
        group = f"group {path.stat().st_gid}"
        return warn("directory.mode", f"{seen}: {group} can delete and replace events", f"chmod 0750 {path}")
    if mode & stat.S_IRWXO:
        return warn("directory.mode", f"{seen}: every user can read who did what", f"chmod 0750 {path}")
    return ok("directory.mode", seen)


def _writable(path: Path) -> Finding:
    owner = path.stat().st_uid
    seen = f"{path} belongs to {_user(owner)}, this is {_user(os.geteuid())}"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        advice = f"chown it to the app's user, or {_AS_THE_APP}"
        return fail("directory.writable", f"{seen}, who cannot write there", advice)
    if owner == os.geteuid():
        return ok("directory.writable", f"{path} is writable for {_user(owner)}")
    if os.geteuid() == 0:
        return warn("directory.writable", f"{seen}: root can always write", _AS_THE_APP)
    return ok("directory.writable", f"{seen}, who can write there")


def _parents(directory: Path) -> Iterator[Finding]:
    # Of a symbolic link both count: who can write where it stands can turn it elsewhere.
    for parent in dict.fromkeys((*directory.absolute().parents, *directory.resolve().parents)):
        mode = stat.S_IMODE(parent.stat().st_mode)
        if mode & stat.S_IWOTH and mode & stat.S_ISVTX:
            yield warn(
                "directory.parents",
                f"{directory} is below {parent}, where every user can make files",
                "use a directory of the service's own, such as /var/lib/SERVICE/audit",
            )
        elif mode & stat.S_IWOTH:
            yield fail(
                "directory.parents",
                f"every user can rename {directory} away, because {parent} has mode {mode:04o}",
                f"chmod o-w {parent}",
            )


def _files(directory: Path) -> Iterator[Finding]:
    odd, wide, owners = [], [], set()
    for path in sorted((directory / "journal").glob("*.jsonl")):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            odd.append(path)
        elif status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            wide.append(path)
        owners.add(status.st_uid)
    if odd:
        seen = f"{len(odd)} journal files are links or no regular files, such as {odd[0]}"
        yield fail("journal.files", seen, "find out who made them, and move them away")
    if wide:
        seen = f"{len(wide)} journal files can be read by everybody or written by their group, such as {wide[0]}"
        yield warn("journal.files", seen, f"chmod 0640 {directory / 'journal'}/*.jsonl")
    if len(owners) > 1:
        users = ", ".join(sorted(map(_user, owners)))
        yield warn("journal.files", f"journal files belong to several users: {users}", "run the app as one user only")
    if not odd and not wide and len(owners) <= 1:
        yield ok("journal.files", "journal files are regular, private and of one user")


def _key(directory: Path) -> Finding:
    path = directory / "pseudonym.key"
    try:
        status = path.lstat()
    except FileNotFoundError:
        advice = "nothing, if Audit(...) was given a key; otherwise it is made when the app first hashes a session id"
        return warn("key", f"{path} does not exist", advice)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return fail("key", f"{path} is no regular file", "find out who made it, and remove it")
    if mode & 0o077:
        advice = f"chmod 0600 {path}; who has read it can tell which session id belongs to which pseudonym"
        return fail("key", f"{path} has mode {mode:04o}", advice)
    if status.st_size < KEY_BYTES:
        advice = "bring it back from a backup, or remove it: the pseudonyms of a new key match no earlier ones"
        return fail("key", f"{path} has {status.st_size} bytes, fewer than {KEY_BYTES}", advice)
    if os.geteuid() not in (0, status.st_uid):
        return fail("key", f"{path} belongs to {_user(status.st_uid)}", _AS_THE_APP)
    return ok("key", f"{path} has mode {mode:04o} and {status.st_size} bytes")


def _file_system(directory: Path) -> Finding:
    kind, mount = mounted(directory, Path("/proc/self/mountinfo"))
    seen = f"{kind} on {mount}"
    if kind in VOLATILE:
        advice = "mount a disk there: what is written to it ends with the machine or the container"
        return warn("file_system", f"{seen}: {VOLATILE[kind]}", advice)
    if kind.partition(".")[0] in REMOTE:
        advice = "use a local disk and ship from there: a network that hangs would hang every request with it"
        return warn("file_system", f"{seen}: over the network", advice)
    return ok("file_system", seen)


def mounted(path: Path, mountinfo: Path) -> tuple[str, str]:
    r"""Return the type and the mount point of the file system that `path` is on.

    `mountinfo` is as in proc_pid_mountinfo(5): field 5 is the mount point with `\040` for a space, and after the single
    `-` comes the type. The longest mount point wins, and of several on one point the last. `("unknown", "/")` where the
    system has no such file.
    """
    try:
        lines = mountinfo.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return "unknown", "/"
    real = path.resolve()
    best = ("unknown", "/")
    for line in lines:
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) < 5 or not right:
            continue
        point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
        if real.is_relative_to(point) and len(point) >= len(best[1]):
            best = (right.split(" ")[0], point)
    return best


def _room(directory: Path) -> Iterator[Finding]:
    status = os.statvfs(directory)
    if status.f_flag & os.ST_RDONLY:
        advice = "mount it read-write; the kernel's log says whether it found errors"
        yield fail("disk.writable", "the file system is mounted read-only", advice)
    free = status.f_bavail * status.f_frsize
    seen = f"{free / (1 << 30):.1f} GiB of {status.f_blocks * status.f_frsize / (1 << 30):.1f} GiB free"
    yield _enough("disk.space", seen, free, FREE_BYTES_FAIL, FREE_BYTES_WARN)
    if status.f_files:  # file systems such as btrfs have no fixed number
        seen = f"{status.f_favail} of {status.f_files} inodes free"
        yield _enough("disk.inodes", seen, status.f_favail, FREE_INODES_FAIL, FREE_INODES_WARN)


def _enough(check: str, seen: str, free: int, least: int, good: int) -> Finding:
    advice = "make room: without it events are lost (and counted), or requests refused with on_failure='refuse'"
    if free < least:
        return fail(check, seen, advice)
    return warn(check, seen, advice) if free < good else ok(check, seen)


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return f"user {uid}"
