"""Lists a directory tree as JSON, one entry a line, in byte order of paths: python3 walk-tree.py DIRECTORY

Bytes (paths, targets, names of xattrs) are strings of characters 0 to 255. At most a few directories are open at
a time and each is opened relative to its neighbour, so neither depth nor length of paths matters. Whatever cannot
be read ends the program with status 1.
"""

import base64
import hashlib
import json
import os
import stat
import sys

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# A kernel that runs SELinux shows its own label on every file.
HIDDEN_XATTRS = {"security.selinux"} if os.path.exists("/sys/fs/selinux/enforce") else set()


def latin1(raw):
    return raw.decode("latin1")


def digest_of(folder, name):
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    hasher = hashlib.sha256()
    with open(fd, "rb", buffering=0) as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def xattrs_of(folder, name):
    # The calls for xattrs take no directory, but /proc leads to it; the name itself is not followed.
    place = b"/proc/self/fd/%d/%s" % (folder, name)
    return {
        latin1(os.fsencode(key)): base64.b64encode(os.getxattr(place, key, follow_symlinks=False)).decode()
        for key in os.listxattr(place, follow_symlinks=False)
        if key not in HIDDEN_XATTRS
    }


def describe(folder, name, path, digests):
    st = os.stat(name, dir_fd=folder, follow_symlinks=False)
    kind = KINDS[stat.S_IFMT(st.st_mode)]
    inode = (st.st_dev, st.st_ino)
    entry = {
        "path": latin1(path),
        "type": kind,
        "mode": stat.S_IMODE(st.st_mode),
        "uid": st.st_uid,
        "gid": st.st_gid,
        "mtime": divmod(st.st_mtime_ns, 10**9),
        "nlink": st.st_nlink,
        "xattrs": xattrs_of(folder, name),
    }
    if kind == "file":
        if inode not in digests:
            digests[inode] = digest_of(folder, name)
        entry["size"] = st.st_size
        entry["sha256"] = digests[inode]
    elif kind == "symlink":
        entry["target"] = latin1(os.readlink(name, dir_fd=folder))
    elif kind in ("char", "block"):
        entry["rdev"] = [os.major(st.st_rdev), os.minor(st.st_rdev)]
    return entry, inode


def walk(top):
    """Yields (path, entry, inode). Goes down by name and up by "..", which has to lead back to where it came from."""
    digests = {}
    here = os.open(top, DIRECTORY)
    entry, inode = describe(here, b".", b"/", digests)
    yield b"/", entry, inode
    # For each open level: its path, its inode, and the names still to come, last first.
    levels = [(b"", inode, names_in(here))]
    while True:
        path, inode, names = levels[-1]
        if names:
            name = names.pop()
            below = path + b"/" + name
            entry, child = describe(here, name, below, digests)
            yield below, entry, child
            if entry["type"] == "dir":
                here = move(here, name, child, below)
                levels.append((below, child, names_in(here)))
            continue
        levels.pop()
        if not levels:
            os.close(here)
            return
        here = move(here, b"..", levels[-1][1], path + b"/..")


def names_in(folder):
    return sorted(map(os.fsencode, os.listdir(folder)), reverse=True)


def move(here, name, inode, path):
    fd = os.open(name, DIRECTORY, dir_fd=here)
    os.close(here)
    st = os.fstat(fd)
    if (st.st_dev, st.st_ino) != inode:
        sys.exit("%s: leads to inode %d, expected %d" % (latin1(path), st.st_ino, inode[1]))
    return fd


def main():
    found = sorted(walk(os.fsencode(sys.argv[1])), key=lambda item: item[0])
    members = {}
    for _, entry, inode in found:
        if entry["type"] != "dir":
            members.setdefault(inode, []).append(entry)
    groups = [entries for entries in members.values() if len(entries) > 1]
    for number, entries in enumerate(groups, 1):
        for entry in entries:
            entry["link"] = number
    for _, entry, _ in found:
        print(json.dumps(entry))


main()
