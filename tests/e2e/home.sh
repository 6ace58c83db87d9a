#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What home refuses, the job is refused: a full disk, a closed directory.
. "$(dirname "$0")/../lib.sh"
node_up

# A full disk at home is a full disk in the job.
mkdir "$tmp/small"
on_node mount -t tmpfs -o size=1m small "$tmp/small"
cd "$tmp/small"
status 1 job dd if=/dev/zero of=big bs=64k count=100
says 'No space left on device'
cd /
on_node umount "$tmp/small"

# A directory that the user may not enter cannot be a job's directory.
mkdir -m 700 "$tmp/closed" "$tmp/closed/inner"
cd "$tmp/closed/inner"
status 125 on_node "${as_user[@]}" mvrun true
says "^mvrun: .*$tmp/closed/inner: Permission denied"
cd /

# One that he may enter but not read is.
mkdir -m 711 "$tmp/open"
cd "$tmp/open"
status 2 on_node "${as_user[@]}" mvrun ls
says "^ls: cannot open directory '.': Permission denied"
cd /
node_is_clean
