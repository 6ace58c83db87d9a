#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Layers over the service's operations: what goes wrong reaches the program that
# asked, and nobody else.
. "$(dirname "$0")/lib.sh"

echo contents >"$home/file"
head -c 300000 /dev/urandom >"$home/random"

# op NAME DIRECTORY: one system call that needs one operation of the service; prints
# what came of it, or the error's name.
cat >"$tmp/op" <<'END'
import errno, fcntl, os, sys, time
name, top = sys.argv[1:]
def path(name):
    return os.path.join(top, name)
def opened(name, flags=os.O_RDWR):
    return os.open(path(name), flags)
def flushed():
    fd = opened("written")
    os.write(fd, b"written!")
    os.close(fd)
def looked():
    fd = opened("file")
    time.sleep(0.1)  # for what is known to grow old
    return os.fstat(fd).st_size
ops = {
    "create": lambda: os.close(os.open(path("created"), os.O_CREAT | os.O_EXCL, 0o600)),
    "fallocate": lambda: os.posix_fallocate(opened("written"), 0, 100000),
    "flush": flushed,
    "fsync": lambda: os.fsync(opened("file")),
    "fsyncdir": lambda: os.fsync(os.open(top, os.O_DIRECTORY)),
    "getattr": looked,
    "getxattr": lambda: os.getxattr(path("file"), "user.some"),
    "link": lambda: os.link(path("file"), path("hard")),
    "listxattr": lambda: os.listxattr(path("file")),
    "lookup": lambda: os.stat(path("file")).st_size,
    "lseek": lambda: os.lseek(opened("file"), 0, os.SEEK_HOLE),
    "mkdir": lambda: os.mkdir(path("made")),
    "mknod": lambda: os.mkfifo(path("pipe")),
    "open": lambda: os.close(opened("file", os.O_RDONLY)),
    "opendir": lambda: os.close(os.open(top, os.O_DIRECTORY)),
    "read": lambda: os.read(opened("file", os.O_RDONLY), 100).decode().strip(),
    "readdir": lambda: sorted(os.listdir(top)),
    "readlink": lambda: os.readlink(path("soft")),
    "removexattr": lambda: os.removexattr(path("file"), "user.some"),
    "rename": lambda: os.rename(path("old"), path("new")),
    "rmdir": lambda: os.rmdir(path("empty")),
    "setattr": lambda: os.chmod(path("file"), 0o600),
    "setlk": lambda: fcntl.lockf(opened("file"), fcntl.LOCK_EX | fcntl.LOCK_NB),
    "setxattr": lambda: os.setxattr(path("file"), "user.some", b"x"),
    "statfs": lambda: os.statvfs(top).f_bsize > 0,
    "symlink": lambda: os.symlink("file", path("link")),
    "unlink": lambda: os.unlink(path("doomed")),
    "write": lambda: os.write(opened("written"), b"written!"),
}
try:
    print(ops[name]())
except OSError as error:
    print(errno.errorcode[error.errno])
END
op() { # NAME DIRECTORY
	exec python3 "$tmp/op" "$@"
}

# What the operations find in a directory, and what they leave there.
prepare() { # DIRECTORY
	mkdir "$1" "$1/empty"
	echo contents >"$1/file"
	touch "$1/written" "$1/old" "$1/doomed"
	ln -s file "$1/soft"
}
left() { # DIRECTORY
	(cd "$1" && find . -printf '%p %y %m %s %l\n' | sort && cat file written)
}

# The service's names of what a call asks for. A listing asks for attributes as well
# at first, then for names alone.
opcodes() { # NAME
	case $1 in
	readdir) echo READDIRPLUS READDIR ;;
	*) echo "${1^^}" ;;
	esac
}

# An error of any operation is what the program gets; at home nothing has happened,
# and other programs notice nothing.
for name in create fallocate flush fsync fsyncdir getattr getxattr link listxattr lookup lseek \
	mkdir mknod open opendir read readdir readlink removexattr rename rmdir setattr setlk \
	setxattr statfs symlink unlink write; do
	faults=()
	for opcode in $(opcodes $name); do
		faults+=(-f "error:$opcode:122")
	done
	prepare "$home/$name"
	before=$(left "$home/$name")
	mount_home -t 0 "${faults[@]}"
	equal "$name EDQUOT" "$name $(op $name "$mnt/$name")"
	[ $name = flush ] || equal "$before" "$(left "$home/$name")"
	other=symlink
	[ $name != symlink ] || other=link
	case $name in
	lookup | getattr) ;; # nothing works without
	*) equal "$name None" "$name $(op $other "$mnt/$name")" ;;
	esac
	end_home
done

# Short answers lose nothing: whoever asked asks again.
mkdir "$home/many"
(cd "$home/many" && seq -f 'a-name-of-some-length-%04.0f' 1000 | xargs touch)
mount_home -f short:WRITE:1000 -f short:READDIRPLUS:600 -f short:READDIR:600
status 0 python3 - "$mnt/out" "$home/random" <<'END'
import os, sys
data = open(sys.argv[2], "rb").read()
fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
while data:
    data = data[os.write(fd, data):]
END
cmp "$home/random" "$home/out"
equal "$(ls "$home/many" | cksum)" "$(ls "$mnt/many" | cksum)"
end_home

# A short answer to a read means that the file ends there, as it may at home just
# now: no byte is made up.
mount_home -f short:READ:8192
cat "$mnt/random" >"$tmp/prefix"
equal 8192 "$(stat -c %s "$tmp/prefix")"
cmp -n 8192 "$home/random" "$tmp/prefix"
end_home
equal 300000 "$(stat -c %s "$home/random")"

# Slow requests hold up nobody else, and are done in the end, once.
slow_ops="fsync mkdir read readdir rename setattr setxattr unlink write"
slow() { # DIRECTORY-PREFIX NAME...: in the background, each in a directory of its own
	local name
	pids=()
	for name in "${@:2}"; do
		(op "$name" "$mnt/$1-$name") >"$tmp/$1-$name" &
		pids+=($!)
	done
}
all_live() {
	kill -0 "${pids[@]}"
}
faults=()
for name in $slow_ops; do
	prepare "$home/slow-$name"
	prepare "$home/native-$name"
	for opcode in $(opcodes "$name"); do
		faults+=(-f "delay:$opcode:5000")
	done
done
mkdir "$home/quick"
mount_home "${faults[@]}"
# shellcheck disable=SC2086 # words
slow slow $slow_ops
sleep 1
ln -s target "$mnt/quick/link"
equal target "$(readlink "$mnt/quick/link")"
all_live
for pid in "${pids[@]}"; do
	wait_end "$pid"
done
for name in $slow_ops; do
	equal "$name $(op "$name" "$home/native-$name")" "$name $(cat "$tmp/slow-$name")"
	equal "$name $(left "$home/native-$name")" "$name $(left "$home/slow-$name")"
done
end_home

# A slow lookup does not stop those who have their files.
prepare "$home/slow-lookup"
mount_home -f delay:LOOKUP:3000
exec 9<"$mnt/file"
slow slow lookup
sleep 1
equal contents "$(cat <&9)"
all_live
exec 9<&-
for pid in "${pids[@]}"; do
	wait_end "$pid"
done
equal 9 "$(cat "$tmp/slow-lookup")"
end_home

# Somebody makes the file just when the job does: the job opens it.
mount_home -f delay:CREATE:1000
echo second >>"$mnt/both" &
writer=$!
sleep 0.4
echo first >"$home/both"
wait_end $writer
equal "first second" "$(tr '\n' ' ' <"$home/both" | sed 's/ $//')"
set -C
echo exclusive >"$mnt/one" 2>"$tmp/exclusive" &
writer=$!
sleep 0.4
echo first >"$home/one"
set +C
must_fail wait_end $writer
equal first "$(cat "$home/one")"
end_home

# No answer at all: the program hangs until the mount is given up, the rest works, and
# so does the same operation of others.
faults=()
for name in $slow_ops; do
	prepare "$home/stuck-$name"
	prepare "$home/free-$name"
	faults+=(-f "drop:$(opcodes "$name" | cut -d ' ' -f 1):1")
done
mount_home "${faults[@]}"
# shellcheck disable=SC2086 # words
slow stuck $slow_ops
sleep 2
all_live
for name in $slow_ops; do
	equal "$name $(cat "$tmp/slow-$name")" "$name $(op "$name" "$mnt/free-$name")"
done
equal "$(cksum <"$home/random")" "$(cksum <"$mnt/random")"
kill -9 "${pids[@]}"
end_home
gone() { ! all_live 2>/dev/null; }
for name in $slow_ops; do
	equal "" "$(cat "$tmp/stuck-$name")"
done
for pid in "${pids[@]}"; do
	pids=("$pid")
	wait_until 10 gone
done

# A name whose lookup gets no answer keeps nobody from others in the same directory.
prepare "$home/stuck-lookup"
mount_home -f drop:LOOKUP:1
slow stuck lookup
sleep 1
all_live
equal contents "$(cat "$mnt/file")"
kill -9 "${pids[@]}"
end_home
wait_until 10 gone

# The deputy dies: the mount ends too, and says so.
mount_home
kill -9 "$deputy"
wait_end "$kit" || true
must_fail ls "$mnt/file"
