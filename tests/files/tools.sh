#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Programs that ask much of a file system, as an ordinary user.
. "$(dirname "$0")/lib.sh"
requires git tar sqlite3 make cc rsync python3

mount_home -u $user:$user
cp -r "$MV_SRCDIR/net" "$home/source"
chmod -R u+w "$home/source"
chown -R $user:$user "$home/source"

as_user env HOME="$mnt" bash -eux <<'END'
cd ~/source
git init -q -b main
git add .
git -c user.name=A -c user.email=a@example.org commit -qm first
[ -z "$(git status --porcelain)" ]
echo "/* changed */" >>link.c
git diff --stat | grep -q '1 file changed'
git stash -q
git -c gc.auto=0 repack -qad
git fsck --strict
git clone -q . ../clone
diff -r -x .git . ../clone

cd ..
tar czf source.tar.gz source
mkdir unpacked
tar xzf source.tar.gz -C unpacked
diff -r source unpacked/source
rsync -a --delete source/ copy/
rsync -ani --delete source/ copy/ | tee changes
[ ! -s changes ]

mkdir program
cat >program/Makefile <<'MAKE'
all: program
%.o: %.c
	cc -c -o $@ $<
program: a.o b.o
	cc -o $@ $^
MAKE
echo 'int b(void); int main(void) { return b(); }' >program/a.c
echo 'int b(void) { return 0; }' >program/b.c
make -C program -j4
program/program
make -C program | grep -q 'Nothing to be done'
END

# One database with three writers. A rollback journal works with locks alone, so
# one of them may be a process at home; WAL needs memory that all of them share,
# so there all are in the job.
write_database() { # FILE
	as_user python3 - "$1" <<'END'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
for i in range(100):
    db.execute("insert into t values (?)", (i,))
END
}
for mode in wal delete; do
	first=$home
	[ $mode = wal ] && first=$mnt
	as_user sqlite3 "$mnt/$mode.db" "pragma journal_mode=$mode; create table t(i)"
	writers=()
	for where in "$first" "$mnt" "$mnt"; do
		write_database "$where/$mode.db" &
		writers+=($!)
	done
	for writer in "${writers[@]}"; do
		wait_end "$writer"
	done
	equal 300 "$(as_user sqlite3 "$mnt/$mode.db" 'select count(*) from t')"
	equal ok "$(as_user sqlite3 "$mnt/$mode.db" 'pragma integrity_check')"
	equal 300 "$(sqlite3 "$home/$mode.db" 'select count(*) from t')"
done
equal "$user:$user" "$(stat -c %u:%g "$home/source.tar.gz")"
end_home
