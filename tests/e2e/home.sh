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

# A home that is closed to root, as one on NFS or a user's own FUSE mount is: mvrun
# serves its files, and is the user.
mkdir -m 700 "$tmp/store" "$tmp/home"
chown nobody:nogroup "$tmp/store" "$tmp/home"
node_exec "$MV_BUILDDIR/tests/files/mvmount" -p -u "$(id -u nobody):$(id -g nobody)" \
	"$tmp/store" "$tmp/home" >"$tmp/mvmount.log" 2>&1 &
home_pid=$!
wait_until 20 grep -q ready "$tmp/mvmount.log"
must_fail on_node ls "$tmp/home" 2>"$tmp/refused"
grep -q 'Permission denied' "$tmp/refused"

in_home() { # COMMANDS: of the user's shell, in a directory of his home
	status 0 on_node "${as_user[@]}" env "HOME=$tmp/home" sh -ec "cd ~/dir && $1"
}
mkdir -m 700 "$tmp/store/dir"
chown nobody:nogroup "$tmp/store/dir"
in_home 'printf "#!/bin/sh\npwd; id -un; cat; echo made >made; ls" >program; chmod 700 program; seq 3 >input'
in_home 'mvrun ./program <input >output'
equal "" "$(cat "$tmp/status.err")"
equal "$tmp/home/dir nobody 1 2 3 input made output program" "$(paste -sd ' ' "$tmp/store/dir/output")"
equal "nobody:nogroup made" "$(stat -c %U:%G "$tmp/store/dir/made") $(cat "$tmp/store/dir/made")"
# His own directory that he may enter, but neither read nor write.
in_home 'mkdir inner; echo text >inner/file; chmod 100 inner; cd inner; mvrun cat file'
equal text "$(cat "$tmp/status.out")"
in_home 'cd inner; ! mvrun ls; ! mvrun touch new'
says "^ls: cannot open directory '.': Permission denied"
says "^touch: cannot touch 'new': Permission denied"
# And root's job in there is refused, as root is.
status 126 job "$tmp/home/dir/program"
says "^mvrun: cannot execute '$tmp/home/dir/program': Permission denied"
kill "$home_pid"
wait_end "$home_pid"
node_is_clean
