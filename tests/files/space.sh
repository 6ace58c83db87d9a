#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full disk at home, other file systems below the root, hidden directories.
. "$(dirname "$0")/lib.sh"

mkdir "$home/small" "$home/other" "$home/proc" "$home/bind"
mount -t tmpfs -o size=1m none "$home/small"
mount -t tmpfs none "$home/other"
mkdir "$home/small/dir"
mount --bind "$home/small/dir" "$home/bind"
cleanup_fn umount -l "$home/small" "$home/other" "$home/bind"
echo secret >"$home/proc/secret"
mount_home -H proc

# Full: the program is told, what fitted is there, and there is room again later.
status 1 dd if=/dev/zero of="$mnt/small/big" bs=64k
says 'No space left on device'
equal "$(stat -c %s "$home/small/big")" "$(stat -c %s "$mnt/small/big")"
status 1 sh -c "echo text >'$mnt/small/more'"
status 1 fallocate -l 2m "$mnt/small/big2"
rm "$mnt/small/big" "$mnt/small/big2"
echo text >"$mnt/small/more"
equal text "$(cat "$home/small/more")"
equal "$(df --output=size "$home/small" | tail -1)" "$(df --output=size "$mnt/small" | tail -1)"

# Of pages of a mapping, msync() tells, were it only one of them.
status 1 python3 - "$mnt/small/mapped" <<'END'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
free = os.fstatvfs(fd)
size = free.f_bavail * free.f_frsize + 4096
os.ftruncate(fd, size)
area = mmap.mmap(fd, size)
area[:] = b"x" * size
area.flush()
END
says 'OSError.*No space left on device'
rm "$mnt/small/mapped"
# The kernel tells the service in its own time that nobody has the file any more.
has_room() {
	echo a >"$home/small/a"
}
wait_until 10 has_room

# Of another device, yet never with the same inode number: these are no links.
echo b >"$home/other/b"
touch "$home/small/x" "$home/other/x" "$home/small/y" "$home/other/y"
equal "$(ls "$home"/{small,other} | wc -l)" "$(ls "$mnt"/{small,other} | wc -l)"
find "$mnt" -path "$mnt/bind" -prune -o -printf '%i\n' | sort >"$tmp/numbers"
equal "$(wc -l <"$tmp/numbers")" "$(uniq "$tmp/numbers" | wc -l)"
touch "$home/plain"
equal "$(stat -c %i "$home/plain")" "$(stat -c %i "$mnt/plain")"
status 1 ln "$mnt/small/a" "$mnt/other/link"
says 'Invalid cross-device link'
mv "$mnt/small/a" "$mnt/other/moved"
equal a "$(cat "$home/other/moved")"

# One directory at two places is two directories, each with its own way up.
touch "$home/small/dir/f"
ls "$mnt/small/dir" "$mnt/bind" >/dev/null
equal "$mnt/bind" "$(cd "$mnt/bind" && /bin/pwd)"
equal "$mnt/small/dir" "$(cd "$mnt/small/dir" && /bin/pwd)"
equal "$(stat -c %i "$home/bind/f")" "$(stat -c %i "$home/small/dir/f")"
equal "$(stat -c %i "$mnt/bind/f")" "$(stat -c %i "$mnt/small/dir/f")"

# The guest has a /proc of its own: home's is an empty directory.
[ -d "$mnt/proc" ]
equal "" "$(ls -A "$mnt/proc")"
must_fail cat "$mnt/proc/secret"
must_fail touch "$mnt/proc/new"
must_fail rmdir "$mnt/proc"
must_fail mv "$mnt/proc" "$mnt/elsewhere"
must_fail chmod 700 "$mnt/proc"
equal secret "$(cat "$home/proc/secret")"
end_home
