#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The files of a job are home's files: same names, owners, modes and contents.
. "$(dirname "$0")/../lib.sh"
node_up
same_begin "$tmp/same"

same_prepare() {
	mkdir old
	echo text >old/file
	ln old/file old/hard
	chmod 4755 old/file
	chown nobody:nogroup old/hard
}
cat >"$tmp/work.sh" <<'END'
umask 022
cat old/file; ls -l --time-style=+ old
mv old/file new; ln -s new soft; ln new hard; mkdir -p a/b/c; rmdir a/b/c
mkfifo pipe; (echo through >pipe &); cat pipe
name=$(printf 'n%.0s' $(seq 255)); echo long >"$name"; cat "$name"
printf 'x%.0s' $(seq 256) | xargs touch 2>&1 | grep -o 'File name too long'
exec 3>unlinked; rm unlinked; echo still >&3; cat /proc/self/fd/3
echo 1 >>log; echo 2 >>log; truncate -s 5G sparse; dd if=/dev/zero of=sparse bs=1 count=1 seek=4294967296 conv=notrunc status=none
stat -c '%s %h %a %u:%g' new log soft; du -k sparse | cut -f1
cp -a new copy; touch -d @86400 copy; stat -c %Y copy
chmod 700 a; chown nobody a; rm -r a; rmdir old; ls
cat /absent; cd /absent; ls -d /tmp /etc /usr
END
same sh "$tmp/work.sh"
same_as=("${as_user[@]}")
same sh "$tmp/work.sh"
same_as=()

cat >"$tmp/work.py" <<'END'
import ctypes, errno, fcntl, mmap, os
with open("m", "w+b") as f:
    f.truncate(8192)
    shared = mmap.mmap(f.fileno(), 8192)
    shared[0:5] = b"hello"
    private = mmap.mmap(f.fileno(), 8192, mmap.MAP_PRIVATE)
    private[0:5] = b"other"
    shared.flush()
    print(os.pread(f.fileno(), 5, 0), bytes(private[0:5]))
a = os.open("append", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
b = os.open("append", os.O_WRONLY | os.O_APPEND)
for i in range(10):
    os.write(a, b"a"); os.write(b, b"b")
print(open("append").read())
t = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(t, b"nameless")
os.link(f"/proc/self/fd/{t}", "named", follow_symlinks=True)
print(open("named").read(), oct(os.stat("named").st_mode))
s = os.open("sparse", os.O_CREAT | os.O_RDWR)
os.ftruncate(s, 1 << 20)
os.pwrite(s, b"x" * 4096, 524288)
print(os.lseek(s, 0, os.SEEK_DATA), os.lseek(s, 524288, os.SEEK_HOLE))
os.posix_fallocate(s, 0, 2 << 20)
print(os.fstat(s).st_size)
os.setxattr("named", "user.colour", b"blue")
print(os.listxattr("named"), os.getxattr("named", "user.colour"))
os.mkdir("many")
for i in range(3000):
    os.close(os.open(f"many/{i}", os.O_CREAT))
print(len(os.listdir("many")))
fcntl.lockf(a, fcntl.LOCK_EX)
pid = os.fork()
if pid == 0:
    try:
        fcntl.lockf(os.open("append", os.O_WRONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        os._exit(7 if e.errno in (errno.EAGAIN, errno.EACCES) else 8)
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(os.statvfs(".").f_namemax, os.path.ismount("/proc"))
END
same python3 "$tmp/work.py"

node_is_clean
