"""Works on a mounted disk image as busy programs do, from a seed: python3 ext4-stress.py DIRECTORY SEED STEPS

Creates, writes, appends, truncates, renames, links, sets and removes attributes, deletes; in the directories that
the disk image came with and in new ones. Then it fills the disk until ENOSPC, deletes half of what is there, and
writes again. What lies below DIRECTORY/keep, and every attribute of it, is left alone. At the end it checks the content of
every file that it knows, and prints a line of JSON: how often each operation was done.
"""

import collections
import errno
import json
import os
import random
import stat
import sys

TOP, SEED, STEPS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(SEED)
done = collections.Counter()
# Content of each regular file by inode; what is not known is as the disk image has it.
content = {}
xattrs = {}


def body(size):
    return chance.randbytes(min(size, 64)) * (size // 64 + 1) if size else b""


def pick_size():
    return chance.choice([0, 1, 60, 4095, 4096, 4097, 20_000, 100_000, 1_000_000])


class Tree:
    """Paths that may be touched: directories, and all others."""

    def __init__(self):
        self.folders = []
        self.files = []
        for folder, names, files in os.walk(TOP):
            if folder == TOP and "keep" in names:
                names.remove("keep")
            self.folders.append(folder)
            self.files += [os.path.join(folder, name) for name in files]
            self.files += [os.path.join(folder, n) for n in names if os.path.islink(os.path.join(folder, n))]
        self.folders.sort()
        self.files.sort()
        self.number = 0

    def new_path(self):
        self.number += 1
        width = chance.choice([1, 10, 60, 200])
        name = "n%d-%s" % (self.number, "x" * width)
        # Each folder alike, and the largest as often as all others.
        return os.path.join(chance.choice(self.folders), name)

    def take(self):
        return self.files.pop(chance.randrange(len(self.files)))

    def some(self):
        return chance.choice(self.files)


tree = Tree()


def is_file(path):
    return stat.S_ISREG(os.lstat(path).st_mode)


def inode(path):
    return os.lstat(path).st_ino


def known(path):
    """The content that the file has to have; read once from the disk image."""
    number = inode(path)
    if number not in content:
        with open(path, "rb") as file:
            content[number] = file.read()
    return number


def create():
    path = tree.new_path()
    data = body(pick_size())[: pick_size()]
    with open(path, "xb") as file:
        tree.files.append(path)
        number = inode(path)
        content[number] = b""
        xattrs.pop(number, None)
        for at in range(0, len(data), 50_000):
            file.write(data[at : at + 50_000])
            file.flush()
            content[number] = data[: at + 50_000]


def append():
    path = tree.some()
    if not is_file(path) or os.lstat(path).st_size > 3_000_000:
        return
    number = known(path)
    data = body(pick_size())
    with open(path, "ab", buffering=0) as file:
        written = file.write(data) if data else 0
    content[number] += data[:written]


def overwrite():
    path = tree.some()
    if not is_file(path) or os.lstat(path).st_size > 3_000_000:
        return
    number = known(path)
    at = chance.randrange(len(content[number]) + 9000)
    data = body(chance.choice([1, 100, 5000]))
    with open(path, "r+b", buffering=0) as file:
        file.seek(at)
        written = file.write(data)
    old = content[number].ljust(at, b"\0")
    content[number] = old[:at] + data[:written] + old[at + written :]


def truncate():
    path = tree.some()
    if not is_file(path) or os.lstat(path).st_size > 3_000_000:
        return
    number = known(path)
    size = chance.choice([0, 1, len(content[number]) // 2, 5000, 40_000])
    os.truncate(path, size)
    content[number] = content[number][:size].ljust(size, b"\0")


def rename():
    path, new = tree.some(), tree.new_path()
    os.rename(path, new)
    tree.files.remove(path)
    tree.files.append(new)


def replace():
    if len(tree.files) < 2:
        return
    path, other = chance.sample(tree.files, 2)
    if inode(path) == inode(other):
        return
    os.rename(path, other)
    tree.files.remove(path)


def link():
    path, new = tree.some(), tree.new_path()
    os.link(path, new, follow_symlinks=False)
    tree.files.append(new)


def symlink():
    path = tree.new_path()
    os.symlink("t" * chance.choice([1, 59, 60, 4000]), path)
    tree.files.append(path)


def make_folder():
    path = tree.new_path()
    os.mkdir(path)
    tree.folders.append(path)


def remove_folder():
    path = chance.choice(tree.folders)
    if path == TOP or os.listdir(path):
        return
    os.rmdir(path)
    tree.folders.remove(path)


def delete():
    os.unlink(tree.take())


def set_xattr():
    path = tree.some()
    if not is_file(path):
        return
    name = chance.choice(os.listxattr(path) + ["user.a", "user.b", "trusted.long-name-of-an-attribute"])
    if not name.startswith(("user.", "trusted.")):
        return
    value = body(chance.choice([0, 3, 50, 300, 3000, 9000]))[: chance.choice([0, 3, 50, 300, 3000, 9000])]
    os.setxattr(path, name, value)
    xattrs.setdefault(inode(path), {})[name] = value


def remove_xattr():
    path = tree.some()
    names = [name for name in os.listxattr(path, follow_symlinks=False) if name.startswith("user.")]
    if names:
        name = chance.choice(names)
        os.removexattr(path, name, follow_symlinks=False)
        xattrs.setdefault(inode(path), {})[name] = None


OPERATIONS = [create] * 6 + [append, overwrite, truncate, rename, replace, link, symlink, make_folder] * 2
OPERATIONS += [remove_folder] + [delete] * 4 + [set_xattr] * 6 + [remove_xattr] * 3


def work(steps):
    for _ in range(steps):
        operation = chance.choice(OPERATIONS)
        if not tree.files and operation is not create:
            continue
        try:
            operation()
            done[operation.__name__] += 1
        except OSError as error:
            # EMLINK: a file with all the links it can have. ENOSPC: also of attributes that do not fit.
            if error.errno not in (errno.ENOSPC, errno.EMLINK):
                raise
            done[errno.errorcode[error.errno]] += 1


def fill():
    """Until no inode or no block is left."""
    number = 0
    try:
        while True:
            path = os.path.join(TOP, "fill-%d" % number)
            tree.files.append(path)
            with open(path, "xb", buffering=0) as file:
                content[inode(path)] = b""
                data = body(chance.choice([0, 5000, 2_000_000]))
                while len(content[inode(path)]) < len(data):
                    rest = data[len(content[inode(path)]) :]
                    content[inode(path)] += rest[: file.write(rest)]
            number += 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        if not os.path.lexists(path):
            tree.files.remove(path)
    done["filled"] = number


def check():
    for path in tree.files:
        if not is_file(path):
            os.readlink(path) if os.path.islink(path) else os.lstat(path)
            continue
        number = inode(path)
        if number in content:
            with open(path, "rb") as file:
                if file.read() != content[number]:
                    sys.exit("content differs: " + path)
        for name, value in xattrs.get(number, {}).items():
            found = os.getxattr(path, name) if name in os.listxattr(path) else None
            if found != value:
                sys.exit("attribute differs: %s %s" % (path, name))
    for folder in tree.folders:
        os.listdir(folder)


def main():
    work(STEPS)
    check()
    fill()
    for _ in range(len(tree.files) // 2):
        delete()
    work(STEPS // 2)
    os.sync()
    check()
    print(json.dumps(done))


main()
