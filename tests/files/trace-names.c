/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scenarios: names, links, directories. */
#include "tests/files/trace.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

static void create(void)
{
	int fd = OPEN(open("a", O_CREAT | O_EXCL | O_RDWR, 0666));

	say_fd(fd);
	close(fd);
	OPEN(open("a", O_CREAT | O_EXCL | O_RDWR, 0666));
	close(OPEN(open("a", O_CREAT | O_RDWR, 0666)));
	umask(077);
	close(OPEN(open("b", O_CREAT | O_WRONLY, 0666)));
	umask(0);
	close(OPEN(open("c", O_CREAT | O_WRONLY, 01777)));
	CALL(mkdir("d", 02777));
	umask(027);
	CALL(mkdir("e", 0777));
	OPEN(open("d", O_CREAT | O_WRONLY, 0666));
	OPEN(open("missing/x", O_CREAT | O_WRONLY, 0666));
	OPEN(open("a/x", O_CREAT | O_WRONLY, 0666));
	OPEN(open("missing", O_RDONLY));
	say_path("a");
	say_path("b");
	say_path("c");
	say_path("d");
	say_path("e");
	say_names(".");
}

static void open_flags(void)
{
	put("f", "hello");
	CALL(symlink("f", "l"));
	CALL(symlink("nowhere", "dangling"));
	CALL(symlink("loop", "loop"));
	CALL(mkdir("d", 0755));
	OPEN(open("l", O_RDONLY | O_NOFOLLOW));
	OPEN(open("f", O_RDONLY | O_DIRECTORY));
	OPEN(open("d", O_WRONLY));
	OPEN(open("dangling", O_RDONLY));
	OPEN(open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0600));
	close(OPEN(open("dangling", O_CREAT | O_WRONLY, 0600)));
	say_path("nowhere");
	OPEN(open("loop", O_RDONLY));
	OPEN(open("f/", O_RDONLY));
	close(OPEN(open("f", O_RDONLY | O_TRUNC)));
	say_path("f");
	put("f", "again");
	close(OPEN(open("f", O_WRONLY | O_TRUNC)));
	say_path("f");
	close(OPEN(open("f", O_PATH)));
	close(OPEN(open("f", O_RDONLY | O_NOATIME | O_SYNC)));
}

static void long_names(void)
{
	char name[300], path[5000] = "";
	int i;

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	put(name, "x");
	CALL(access(name, F_OK));
	CALL(mkdir("d", 0755));
	CALL(chdir("d"));
	CALL(mkdir(name, 0755));
	CALL(symlink(name, "l"));
	CALL(rmdir(name));
	name[255] = 'n';
	name[256] = '\0';
	OPEN(open(name, O_CREAT | O_WRONLY, 0600));
	CALL(mkdir(name, 0755));
	CALL(rename("l", name));
	CALL(unlink(name));
	put("\xc3\xa4 \n\t*\\", "odd");
	say_names(".");
	for (i = 0; i < 2400; i++)
		strcat(path, "./");
	CALL(access(path, F_OK));
}

/* Deeper than PATH_MAX, walked step by step. */
static void deep(void)
{
	char name[201];
	int i, failed = 0;

	memset(name, 'd', 200);
	name[200] = '\0';
	for (i = 0; i < 60; i++)
		failed += mkdir(name, 0755) || chdir(name);
	CALL(failed);
	put("leaf", "at the end");
	say_contents("leaf");
	say_names(".");
	CALL(rename("leaf", "leaf2"));
	say_path("leaf2");
	for (i = 0; i < 60; i++)
		failed += chdir("..");
	CALL(failed);
	say_names(".");
}

static void unlinking(void)
{
	char buf[16] = "";
	int fd;

	put("f", "contents");
	CALL(link("f", "g"));
	fd = OPEN(open("f", O_RDWR));
	CALL(unlink("f"));
	say_fd(fd);
	CALL(unlink("g"));
	say_fd(fd);
	CALL(pread(fd, buf, 8, 0));
	say("%s\n", buf);
	CALL(pwrite(fd, "more", 4, 8));
	CALL(ftruncate(fd, 3));
	CALL(fchmod(fd, 0600));
	CALL(fsync(fd));
	say_fd(fd);
	put("f", "another");
	CALL(pread(fd, buf, sizeof(buf), 0));
	close(fd);
	say_contents("f");
	CALL(mkdir("d", 0755));
	CALL(unlink("d"));
	CALL(rmdir("f"));
	CALL(unlink("missing"));
	CALL(rmdir("missing"));
	put("d/x", "");
	CALL(rmdir("d"));
	CALL(unlink("d/x"));
	CALL(rmdir("d"));
	CALL(rmdir("."));
	CALL(rmdir(".."));
	say_names(".");
}

/* Without a handle: only the inode is known. */
static void unlinked_path_fd(void)
{
	int fd, dir;

	put("f", "12345");
	fd = OPEN(open("f", O_PATH));
	CALL(unlink("f"));
	say_fd(fd);
	CALL(mkdir("d", 0751));
	dir = OPEN(open("d", O_PATH));
	CALL(rmdir("d"));
	say_fd(dir);
	OPEN(openat(dir, "x", O_CREAT | O_WRONLY, 0600));
	put("g", "old");
	close(fd);
	fd = OPEN(open("g", O_PATH));
	put("h", "newer");
	CALL(rename("h", "g"));
	say_fd(fd);
	close(fd);
	close(dir);
}

static void deleted_cwd(void)
{
	char buf[64];
	DIR *dir;

	CALL(mkdir("d", 0755));
	CALL(chdir("d"));
	CALL(rmdir("../d"));
	say_path(".");
	OPEN(open("x", O_CREAT | O_WRONLY, 0600));
	CALL(mkdir("x", 0700));
	CALL(access("x", F_OK));
	CALL(getcwd(buf, sizeof(buf)) ? 0 : -1);
	dir = opendir(".");
	CALL(dir ? 0 : -1);
	CALL(dir && readdir(dir) ? 1 : 0);
	if (dir)
		closedir(dir);
	CALL(chdir(".."));
	say_names(".");
}

static void renaming(void)
{
	CALL(mkdir("d", 0755));
	CALL(mkdir("d/sub", 0755));
	put("a", "A");
	put("b", "B");
	CALL(rename("a", "c"));
	CALL(rename("c", "b"));
	say_contents("b");
	CALL(rename("b", "d/b"));
	CALL(rename("missing", "x"));
	CALL(rename("d", "d/sub/d"));
	CALL(rename("d/b", "d"));
	CALL(rename("d", "d/b"));
	CALL(mkdir("e", 0755));
	CALL(rename("e", "d"));
	CALL(rename("d", "e"));
	say_names("e");
	say_contents("e/b");
	put("x", "x");
	CALL(link("x", "y"));
	CALL(rename("x", "y"));
	say_names(".");
	say_path("x");
	CALL(rename("e/", "f/"));
	CALL(rename("x", "x"));
	CALL(unlink("y"));
	say_path("x");
}

static void rename_flags(void)
{
	put("a", "first");
	put("b", "second");
	CALL(mkdir("d", 0755));
	CALL(mkdir("e", 0700));
	put("d/in", "inside");
	CALL(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	CALL(renameat2(AT_FDCWD, "a", AT_FDCWD, "n", RENAME_NOREPLACE));
	CALL(renameat2(AT_FDCWD, "n", AT_FDCWD, "b", RENAME_EXCHANGE));
	say_contents("n");
	say_contents("b");
	CALL(renameat2(AT_FDCWD, "d", AT_FDCWD, "b", RENAME_EXCHANGE));
	say_names("b");
	say_contents("b/in");
	say_contents("d");
	CALL(renameat2(AT_FDCWD, "b", AT_FDCWD, "e/b", 0));
	say_contents("e/b/in");
	CALL(renameat2(AT_FDCWD, "n", AT_FDCWD, "none", RENAME_EXCHANGE));
	CALL(renameat2(AT_FDCWD, "n", AT_FDCWD, "d",
		       RENAME_EXCHANGE | RENAME_NOREPLACE));
	CALL(renameat2(AT_FDCWD, "n", AT_FDCWD, "d", 64));
	say_names(".");
}

/* What is open stays open, under whatever name. */
static void rename_open(void)
{
	char buf[8] = "";
	int a, b;

	put("a", "aaa");
	put("b", "bbb");
	a = OPEN(open("a", O_RDWR));
	b = OPEN(open("b", O_RDWR));
	CALL(rename("a", "b"));
	CALL(pread(a, buf, 3, 0));
	say("%s\n", buf);
	CALL(pread(b, buf, 3, 0));
	say("%s\n", buf);
	say_fd(a);
	say_fd(b);
	CALL(pwrite(a, "AAAA", 4, 0));
	CALL(ftruncate(b, 1));
	say_fd(b);
	say_contents("b");
	CALL(mkdir("d", 0755));
	CALL(rename("b", "d/c"));
	CALL(rename("d", "e"));
	CALL(fchmod(a, 0640));
	say_path("e/c");
	CALL(pread(a, buf, 4, 0));
	say("%s\n", buf);
	close(a);
	close(b);
}

static void links(void)
{
	char buf[64] = "";
	struct stat a, b;

	put("a", "x");
	CALL(link("a", "b"));
	CALL(link("a", "b"));
	CALL(link("missing", "c"));
	CALL(stat("a", &a) || stat("b", &b));
	CALL(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	say_path("a");
	CALL(mkdir("d", 0755));
	CALL(link("d", "e"));
	CALL(symlink("a", "s"));
	CALL(symlink("a", "s"));
	CALL(symlink("", "t"));
	CALL(readlink("s", buf, sizeof(buf)));
	say("%s\n", buf);
	CALL(readlink("a", buf, sizeof(buf)));
	CALL(readlink("s", buf, 0));
	CALL(linkat(AT_FDCWD, "s", AT_FDCWD, "s2", 0));
	CALL(linkat(AT_FDCWD, "s", AT_FDCWD, "s3", AT_SYMLINK_FOLLOW));
	say_path("s2");
	say_path("s3");
	CALL(unlink("a"));
	put("b", "through another name");
	say_contents("s3");
	CALL(chmod("b", 0600));
	say_path("s3");
	say_names(".");
}

static void nodes(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	CALL(mkfifo("fifo", 0640));
	CALL(mkfifo("fifo", 0640));
	CALL(mknod("file", S_IFREG | 0600, 0));
	CALL(mknod("null", S_IFCHR | 0600, makedev(1, 3)));
	CALL(mknod("block", S_IFBLK | 0600, makedev(259, 1048575)));
	CALL(mknod("dir", S_IFDIR | 0700, 0));
	strcpy(address.sun_path, "socket");
	CALL(bind(fd, (void *)&address, sizeof(address)));
	CALL(listen(fd, 1));
	CALL(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address,
		     sizeof(address)));
	close(fd);
	say_path("fifo");
	say_path("file");
	say_path("null");
	say_path("block");
	say_path("socket");
	say_names(".");
}

static void write_fifo(void)
{
	int fd = open("fifo", O_WRONLY);

	CALL(write(fd, "through the pipe", 16));
}

static void fifo(void)
{
	char buf[32] = "";
	int fd;

	CALL(mkfifo("fifo", 0600));
	OPEN(open("fifo", O_WRONLY | O_NONBLOCK));
	fd = OPEN(open("fifo", O_RDONLY | O_NONBLOCK));
	in_child(write_fifo);
	CALL(read(fd, buf, sizeof(buf)));
	say("%s\n", buf);
	close(fd);
}

/* A listing in several pieces, and what changes under it. */
static void listing(void)
{
	int i, seen = 0, again = 0, failed = 0;
	struct dirent *entry;
	char name[16];
	long middle = 0;
	DIR *dir;

	for (i = 0; i < 1500; i++) {
		snprintf(name, sizeof(name), "entry-%04d", i);
		put(name, "");
	}
	dir = opendir(".");
	while ((entry = readdir(dir))) {
		seen++;
		if (seen == 700)
			middle = telldir(dir);
	}
	CALL(seen);
	seekdir(dir, middle);
	while (readdir(dir))
		again++;
	CALL(again);
	put("added", "");
	rewinddir(dir);
	for (seen = 0; readdir(dir); seen++)
		;
	CALL(seen);
	rewinddir(dir);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] == 'e')
			failed += unlink(entry->d_name);
	CALL(failed);
	closedir(dir);
	say_names(".");
	say_names("missing");
}

/* readdir's inode numbers are stat's. */
static void inode_numbers(void)
{
	struct dirent *entry;
	int different = 0;
	struct stat st;
	DIR *dir;

	put("f", "");
	CALL(mkdir("d", 0755));
	CALL(symlink("x", "s"));
	dir = opendir(".");
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, "..") &&
		    (lstat(entry->d_name, &st) || st.st_ino != entry->d_ino))
			different++;
	CALL(different);
	closedir(dir);
}

static void unnamed(void)
{
	char path[64];
	int fd = OPEN(open(".", O_TMPFILE | O_RDWR, 0640));

	say_fd(fd);
	CALL(write(fd, "unnamed", 7));
	say_names(".");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CALL(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	say_fd(fd);
	close(fd);
	say_contents("named");
	say_path("named");
	fd = OPEN(open(".", O_TMPFILE | O_WRONLY | O_EXCL, 0600));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CALL(linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
	close(fd);
	OPEN(open(".", O_TMPFILE | O_RDONLY, 0600));
	say_names(".");
}

static void set_group_directory(void)
{
	umask(002);
	CALL(mkdir("d", 0755));
	CALL(chown("d", -1, 65533));
	CALL(chmod("d", 02775));
	put("d/file", "");
	CALL(mkdir("d/sub", 0775));
	CALL(mkfifo("d/fifo", 0666));
	CALL(symlink("x", "d/link"));
	say_path("d");
	say_path("d/file");
	say_path("d/sub");
	say_path("d/fifo");
	say_path("d/link");
}

const struct scenario name_scenarios[] = {
	{ "create", create },
	{ "open_flags", open_flags },
	{ "long_names", long_names },
	{ "deep", deep },
	{ "unlinking", unlinking },
	{ "unlinked_path_fd", unlinked_path_fd },
	{ "deleted_cwd", deleted_cwd },
	{ "renaming", renaming },
	{ "rename_flags", rename_flags },
	{ "rename_open", rename_open },
	{ "links", links },
	{ "nodes", nodes },
	{ "fifo", fifo },
	{ "listing", listing },
	{ "inode_numbers", inode_numbers },
	{ "unnamed", unnamed },
	{ "set_group_directory", set_group_directory },
	{ NULL, NULL },
};
