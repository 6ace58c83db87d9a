#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 900
# Large trees and directories with few descriptors. MV_TREE_FILES=1000000 makes
# the tree as large as a job's may be.
. "$(dirname "$0")/lib.sh"

files=${MV_TREE_FILES:-10000}
limit=256

python3 - "$home" "$files" <<'END'
import os, sys
home, files = sys.argv[1], int(sys.argv[2])
made = 0
for i in range(100):
    for j in range(-(-files // 10000)):
        for k in range(2):
            path = f"{home}/tree/{i}/{j}/{k}"
            os.makedirs(path)
            for n in range(50):
                with open(f"{path}/file{n}", "w") as f:
                    f.write(f"{i}/{j}/{k}/{n}\n")
                made += 1
os.mkdir(f"{home}/wide")
for i in range(100000):
    os.close(os.open(f"{home}/wide/entry-{i:06}", os.O_CREAT | os.O_WRONLY))
print(made, "files")
END
mount_home -n $limit

# Everything is there, and what it contains.
(cd "$home/tree" && find . -printf '%y %m %s %i %p\n' | sort) >"$tmp/native.list"
(cd "$mnt/tree" && find . -printf '%y %m %s %i %p\n' | sort) >"$tmp/mounted.list"
cmp "$tmp/native.list" "$tmp/mounted.list"
equal "$(cd "$home/tree" && find . -type f -print0 | sort -z | xargs -0 cat | cksum)" \
	"$(cd "$mnt/tree" && find . -type f -print0 | sort -z | xargs -0 cat | cksum)"

# The guest may know every one of them; the deputy's descriptors are few.
known=$(counter inodes) open=$(counter descriptors)
echo "$known inodes, $open descriptors"
[ "$known" -gt 1000 ] || fail "the guest forgot everything, nothing was tried"
[ "$open" -le $((limit / 2)) ] || fail "$open descriptors of $limit"

# A hundred thousand entries, each once.
equal 100000 "$(find "$mnt/wide" -type f -printf '%f\n' | sort -u | wc -l)"
equal 100002 "$(ls -fU "$mnt/wide" | wc -l)"
cmp <(cd "$home/wide" && ls -li --time-style=full-iso | cksum) \
	<(cd "$mnt/wide" && ls -li --time-style=full-iso | cksum)

# A working directory whose descriptor is long closed is still the one.
cd "$mnt/tree/7/0/1"
find "$mnt/tree" -type d -exec stat {} + >/dev/null
equal 7/0/1/3 "$(cat file3)"
echo new >file-new
mv file-new ../renamed
equal new "$(cat "$home/tree/7/0/renamed")"
cd /

# Files that are open are more than there are descriptors in all: the job is told.
python3 - "$mnt/tree" $limit <<'END'
import errno, os, sys
tree, limit = sys.argv[1], int(sys.argv[2])
fds = []
try:
    for i in range(100):
        for n in range(50):
            fds.append(os.open(f"{tree}/{i}/0/0/file{n}", os.O_RDONLY))
except OSError as e:
    assert e.errno == errno.EMFILE, e
assert limit // 2 < len(fds) < limit, len(fds)
for fd in fds:
    assert os.read(fd, 1)
    os.close(fd)
END
wait_until 10 sh -c "[ \$(ls /proc/$deputy/fd | wc -l) -lt $((limit / 2 + 64)) ]"
equal 5/0/1/2 "$(cat "$mnt/tree/5/0/1/file2")"

rm -r "$mnt/tree/3" "$mnt/tree/4"
[ ! -e "$home/tree/3" ] && [ ! -e "$home/tree/4" ]
end_home
