#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# limit: 600
# What a job writes to files that it maps is at home when the job has ended; what
# does not fit there is reported, by the program's own msync() or else by mvrun.
. "$(dirname "$0")/../lib.sh"
node_up

cat >"$tmp/map" <<'END'
import mmap, os, sys
path, mib, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, mib << 20)  # takes no room
area = mmap.mmap(fd, mib << 20)
for at in range(0, mib << 20, 4096):
    area[at:at + 8] = b"%08d" % (at >> 12)
if how == "flush":
    try:
        area.flush()
    except OSError as error:
        print("flush:", error.strerror)
elif how == "kill":
    os.kill(os.getpid(), 9)
os._exit(3)
END
stored() { # FILE: how many of its pages are at home, whole and in their place
	python3 - "$1" <<-'END'
	import sys
	data = open(sys.argv[1], "rb").read()
	pages = [data[at:at + 8] for at in range(0, len(data), 4096)]
	good = sum(page == b"%08d" % n for n, page in enumerate(pages))
	assert all(page in (b"%08d" % n, bytes(8)) for n, page in enumerate(pages))
	print(good, len(pages))
	END
}
# Its end is in $tmp/end; a shell would add a line of its own about a signal.
map() { # FILE MIB HOW
	on_node python3 -c "$same_ended" "$tmp/end" mvrun python3 "$tmp/map" "$@" \
		>"$tmp/status.out" 2>"$tmp/status.err"
}
lost='^mvrun: not all that was written to mapped files is at home: No space left on device'

# There is room: all of it arrives, however the program ends.
for how in "exit:exit 3" "kill:signal 9"; do
	map "$tmp/fits" 4 "${how%:*}"
	equal "${how#*:}" "$(cat "$tmp/end")"
	equal "" "$(cat "$tmp/status.out" "$tmp/status.err")"
	equal "1024 1024" "$(stored "$tmp/fits")"
	rm "$tmp/fits"
done

# There is not: what fitted is there, and mvrun says that it is not all.
mkdir "$tmp/small"
on_node mount -t tmpfs -o size=2m small "$tmp/small"
for how in "exit:exit 3" "kill:signal 9"; do
	map "$tmp/small/big" 4 "${how%:*}"
	equal "${how#*:}" "$(cat "$tmp/end")"
	says "$lost"
	equal "1 $tmp/status.err" "$(wc -l "$tmp/status.err")"
	on_node cp --sparse=always "$tmp/small/big" "$tmp/copy"
	count=$(stored "$tmp/copy")
	if [ "${count% *}" -le 256 ] || [ "${count% *}" -gt 512 ]; then
		fail "$count pages are at home"
	fi
	on_node rm "$tmp/small/big"
done

# The same when it is only a part of the last request that does not fit.
on_node mount -o remount,size=2044k "$tmp/small"
map "$tmp/small/big" 2 exit
equal "exit 3" "$(cat "$tmp/end")"
says "$lost"
on_node rm "$tmp/small/big"

# A program that asks is told itself.
map "$tmp/small/big" 4 flush
equal "exit 3" "$(cat "$tmp/end")"
says '^flush: No space left on device'
on_node rm "$tmp/small/big"

# The next job there finds nothing wrong.
map "$tmp/small/little" 1 exit
equal "exit 3" "$(cat "$tmp/end")"
equal "" "$(cat "$tmp/status.err")"
on_node umount "$tmp/small"
node_is_clean
