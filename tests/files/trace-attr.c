/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scenarios: modes, owners, times, extended attributes, permission. */
#include "tests/files/trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static void modes(void)
{
	int fd;

	put("f", "x");
	CALL(mkdir("d", 0755));
	CALL(symlink("f", "s"));
	CALL(chmod("f", 04755));
	say_path("f");
	fd = OPEN(open("f", O_RDWR));
	CALL(fchmod(fd, 02711));
	say_fd(fd);
	CALL(fchmod(fd, 02640));
	say_fd(fd);
	CALL(chmod("s", 0600));
	say_path("f");
	CALL(chmod("d", 01777));
	say_path("d");
	CALL(fchmodat(AT_FDCWD, "s", 0600, AT_SYMLINK_NOFOLLOW));
	CALL(chmod("missing", 0600));
	close(fd);
}

/* Set-id bits go when the file is written, truncated or given away. */
static void set_id(void)
{
	int fd;

	put("f", "x");
	CALL(chmod("f", 06755));
	fd = OPEN(open("f", O_WRONLY));
	CALL(write(fd, "y", 1));
	say_path("f");
	CALL(chmod("f", 06755));
	CALL(ftruncate(fd, 0));
	say_path("f");
	close(fd);
	CALL(chmod("f", 06755));
	CALL(truncate("f", 10));
	say_path("f");
	CALL(chmod("f", 06755));
	close(OPEN(open("f", O_WRONLY | O_TRUNC)));
	say_path("f");
	CALL(chmod("f", 06755));
	CALL(chown("f", getuid(), getgid()));
	say_path("f");
	CALL(chmod("f", 02745));
	CALL(chown("f", -1, getgid()));
	say_path("f");
}

static void owners(void)
{
	int fd;

	put("f", "x");
	CALL(symlink("f", "s"));
	CALL(chown("f", 12345, 54321));
	say_path("f");
	CALL(lchown("s", 1, 2));
	say_path("s");
	CALL(chown("f", -1, -1));
	fd = OPEN(open("f", O_RDONLY));
	CALL(fchown(fd, 7, -1));
	CALL(fchown(fd, -1, 8));
	say_fd(fd);
	CALL(unlink("f"));
	CALL(fchown(fd, 9, 9));
	say_fd(fd);
	close(fd);
}

static void say_times(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		say("%s: %s\n", path, strerrorname_np(errno));
	else
		say("%s: %ld.%09ld %ld.%09ld\n", path, st.st_atim.tv_sec,
		    st.st_atim.tv_nsec, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void times(void)
{
	const struct timespec set[2] = { { 1000000000, 123456789 },
					 { 4000000000, 987654321 } };
	const struct timespec one[2] = { { 0, UTIME_OMIT }, { -5, 0 } };
	const struct timespec bad[2] = { { 1, 1000000000 }, { 1, 0 } };
	struct stat st;
	int fd;

	put("f", "x");
	CALL(symlink("f", "s"));
	CALL(mkdir("d", 0755));
	CALL(utimensat(AT_FDCWD, "f", set, 0));
	say_times("f");
	CALL(utimensat(AT_FDCWD, "f", one, 0));
	say_times("f");
	CALL(utimensat(AT_FDCWD, "f", bad, 0));
	CALL(utimensat(AT_FDCWD, "s", set, AT_SYMLINK_NOFOLLOW));
	say_times("s");
	CALL(utimensat(AT_FDCWD, "d", set, 0));
	say_times("d");
	fd = OPEN(open("f", O_RDONLY));
	CALL(futimens(fd, set));
	close(fd);
	say_times("f");
	CALL(utimensat(AT_FDCWD, "f", NULL, 0));
	CALL(stat("f", &st));
	CALL(st.st_mtim.tv_sec > 1700000000);
}

static void extended(void)
{
	static char big[4000];
	char buf[256] = "";

	put("f", "x");
	CALL(mkdir("d", 0755));
	CALL(symlink("f", "s"));
	CALL(setxattr("f", "user.a", "value", 5, 0));
	CALL(getxattr("f", "user.a", NULL, 0));
	CALL(getxattr("f", "user.a", buf, sizeof(buf)));
	say("%s\n", buf);
	CALL(getxattr("f", "user.a", buf, 2));
	CALL(getxattr("f", "user.b", buf, sizeof(buf)));
	CALL(setxattr("f", "user.a", "v", 1, XATTR_CREATE));
	CALL(setxattr("f", "user.b", "v", 1, XATTR_REPLACE));
	CALL(setxattr("f", "user.empty", "", 0, XATTR_CREATE));
	CALL(getxattr("f", "user.empty", buf, sizeof(buf)));
	CALL(listxattr("f", buf, sizeof(buf)));
	CALL(listxattr("f", NULL, 0));
	CALL(listxattr("f", buf, 3));
	CALL(removexattr("f", "user.a"));
	CALL(removexattr("f", "user.a"));
	memset(big, 'b', sizeof(big));
	CALL(setxattr("f", "user.big", big, 3000, 0));
	CALL(getxattr("f", "user.big", big, sizeof(big)));
	CALL(setxattr("f", "nothing", "x", 1, 0));
	CALL(setxattr("d", "user.on-directory", "x", 1, 0));
	CALL(lsetxattr("s", "user.on-link", "x", 1, 0));
	CALL(setxattr("f", "trusted.t", "x", 1, 0));
	CALL(lgetxattr("s", "user.x", buf, sizeof(buf)));
}

/* Version 2, one entry for a user: as setfacl writes it. */
static const uint8_t acl[] = {
	2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0,
	57, 48, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 7, 0,
	255, 255, 255, 255, 32, 0, 1, 0, 255, 255, 255, 255,
};

static void access_lists(void)
{
	uint8_t buf[256];

	CALL(mkdir("d", 0755));
	CALL(setxattr("d", "system.posix_acl_default", acl, sizeof(acl), 0));
	CALL(getxattr("d", "system.posix_acl_default", buf, sizeof(buf)));
	CALL(memcmp(buf, acl, sizeof(acl)));
	umask(077);
	put("d/file", "x");
	CALL(mkdir("d/sub", 0777));
	say_path("d/file");
	say_path("d/sub");
	CALL(getxattr("d/file", "system.posix_acl_access", buf, sizeof(buf)));
	CALL(getxattr("d/sub", "system.posix_acl_default", buf, sizeof(buf)));
	put("f", "x");
	CALL(setxattr("f", "system.posix_acl_access", acl, sizeof(acl), 0));
	say_path("f");
	CALL(chmod("f", 0700));
	CALL(removexattr("f", "system.posix_acl_access"));
	say_path("f");
}

static void permission(void)
{
	put("none", "x");
	CALL(chmod("none", 0));
	CALL(mkdir("closed", 0755));
	put("closed/f", "x");
	CALL(chmod("closed", 0));
	close(OPEN(open("none", O_RDONLY)));
	close(OPEN(open("none", O_WRONLY)));
	CALL(access("none", R_OK));
	CALL(access("none", W_OK));
	CALL(access("none", X_OK));
	CALL(access("none", F_OK));
	close(OPEN(open("closed/f", O_RDONLY)));
	say_names("closed");
	CALL(chdir("closed"));
	CALL(chmod("../closed", 0555));
	close(OPEN(open("../closed/new", O_CREAT | O_WRONLY, 0600)));
	CALL(truncate("../none", 0));
	CALL(unlink("../closed/f"));
}

static void run_file(void)
{
	char *const argv[] = { (char *)"f", NULL };
	char *const envp[] = { NULL };

	CALL(execve("./f", argv, envp));
	CALL(execve("f", argv, envp));
}

static void executing(void)
{
	put("f", "#!/bin/sh\nexit 7\n");
	CALL(chmod("f", 0644));
	in_child(run_file);
	CALL(chmod("f", 0755));
	in_child(run_file);
	CALL(chmod("f", 0111));
	CALL(access("f", X_OK));
	put("g", "no program");
	CALL(chmod("g", 0755));
	CALL(rename("g", "f"));
	in_child(run_file);
}

static void other_owner(void)
{
	if (getuid() == 0 && (setgid(4242) || setuid(4242)))
		return;
	umask(022);
	put("public/by-other", "x");
	CALL(mkdir("public/dir", 0777));
	CALL(mkfifo("public/fifo", 0666));
	CALL(symlink("t", "public/link"));
	CALL(mkdir("private/dir", 0777));
	close(OPEN(open("mine", O_RDONLY)));
	close(OPEN(open("mine", O_WRONLY)));
	CALL(chmod("mine", 0666));
	CALL(unlink("public/mine"));
	CALL(chmod("public/by-other", 06755));
	put("public/by-other", "y");
	say_path("public/by-other");
	close(OPEN(open("public", O_TMPFILE | O_RDWR, 0600)));
}

/* In a root job: what another user may do, and whose his files are. */
static void other_user(void)
{
	CALL(mkdir("public", 0777));
	CALL(chmod("public", 01777));
	CALL(mkdir("private", 0755));
	put("mine", "x");
	CALL(chmod("mine", 0644));
	put("public/mine", "x");
	in_child(other_owner);
	say_path("public/by-other");
	say_path("public/dir");
	say_path("public/fifo");
	say_path("public/link");
	say_names("public");
}

const struct scenario attr_scenarios[] = {
	{ "modes", modes },
	{ "set_id", set_id },
	{ "owners", owners },
	{ "times", times },
	{ "extended", extended },
	{ "access_lists", access_lists },
	{ "permission", permission },
	{ "executing", executing },
	{ "other_user", other_user },
	{ NULL, NULL },
};
