/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/files-internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define TRUST_LEAST 1.0 /* s */
#define TRUST_MOST 10.0
#define TRUST_SHARE 8

int stat_at(int fd, const char *path, int flags, struct statx *stx)
{
	if (statx(fd, path, flags | AT_NO_AUTOMOUNT, FILES_STATX, stx) < 0)
		return -errno;
	return 0;
}

uint64_t stat_dev(const struct statx *stx)
{
	return (uint64_t)stx->stx_dev_major << 32 | stx->stx_dev_minor;
}

/* A small number for a device: 1 and up, 0 when there are too many. */
static unsigned device_number(struct devices *d, uint64_t dev)
{
	unsigned i, count = atomic_load(&d->count);

	for (i = 0; i < count; i++)
		if (d->dev[i] == dev)
			return i + 1;
	pthread_mutex_lock(&d->mutex);
	for (count = atomic_load(&d->count); i < count; i++)
		if (d->dev[i] == dev)
			break;
	if (i == sizeof(d->dev) / sizeof(d->dev[0])) {
		pthread_mutex_unlock(&d->mutex);
		return 0;
	}
	if (i == count) {
		d->dev[i] = dev;
		atomic_store(&d->count, count + 1);
	}
	pthread_mutex_unlock(&d->mutex);
	return i + 1;
}

/* The device's type as statfs(2) numbers them, asked of `fd` the first time. */
static long device_type(struct files *f, uint64_t dev, int fd)
{
	unsigned number = dev == f->root_dev ? 0 : device_number(&f->devices, dev);
	atomic_long *type = &f->devices.type[number];
	struct statfs st;

	if (dev != f->root_dev && number == 0)
		return 0;
	if (atomic_load(type) == 0 && fstatfs(fd, &st) == 0)
		atomic_store(type, (long)st.f_type);
	return atomic_load(type);
}

bool stat_renames_open_files(struct files *f, const struct statx *stx, int fd)
{
	return device_type(f, stat_dev(stx), fd) == f->renaming_type;
}

void stat_learn_device(struct files *f, uint64_t dev, int fd)
{
	device_type(f, dev, fd);
}

bool stat_is_local(struct files *f, const struct inode *inode)
{
	uint64_t dev = inode->id.dev;
	unsigned number = dev == f->root_dev ? 0 : device_number(&f->devices, dev);

	switch (atomic_load(&f->devices.type[number])) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return dev == f->root_dev || number;
	default:
		return false;
	}
}

int stat_below(struct files *f, const struct inode *at, int fd,
	       const char *path, int flags, struct statx *stx)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_CACHED | RESOLVE_NO_XDEV };
	int cached, r;

	if (!work_must_not_wait())
		return stat_at(fd, path, flags, stx);
	if (!stat_is_local(f, at))
		return -FILES_LATER;
	if (!*path)
		return stat_at(fd, path, flags, stx);
	/* statx() has no flag for "only if cached", openat2() has. */
	cached = (int)syscall(SYS_openat2, fd, path, &how, sizeof(how));
	if (cached < 0)
		return errno == ENOENT ? -ENOENT : -FILES_LATER;
	r = stat_at(cached, "", AT_EMPTY_PATH, stx);
	close(cached);
	return r;
}

/* splitmix64's finalizer: a one-to-one mixing of 64 bits. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/*
 * The guest sees one file system, so one st_dev: two files of different devices
 * at home must not have the same inode number, or programs take them for hard
 * links of each other. The root's device keeps its numbers. The others get
 * their device's small number in the upper bits; where those are in use already
 * (or there are too many devices), all bits are mixed and the top one is set.
 */
uint64_t stat_ino(struct files *f, uint64_t dev, uint64_t ino)
{
	unsigned number;

	if (dev == f->root_dev)
		return ino;
	number = device_number(&f->devices, dev);
	if (number && ino < (uint64_t)1 << 48)
		return (uint64_t)number << 48 | ino;
	return mix(ino ^ mix(dev)) | (uint64_t)1 << 63;
}

static struct timespec to_timespec(const struct statx_timestamp *t)
{
	return (struct timespec){ .tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec };
}

void stat_fill(struct files *f, const struct statx *stx, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = stat_ino(f, stat_dev(stx), stx->stx_ino);
	st->st_mode = stx->stx_mode;
	st->st_nlink = stx->stx_nlink;
	st->st_uid = stx->stx_uid;
	st->st_gid = stx->stx_gid;
	st->st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor);
	st->st_size = (off_t)stx->stx_size;
	st->st_blksize = stx->stx_blksize;
	st->st_blocks = (blkcnt_t)stx->stx_blocks;
	st->st_atim = to_timespec(&stx->stx_atime);
	st->st_mtim = to_timespec(&stx->stx_mtime);
	st->st_ctim = to_timespec(&stx->stx_ctime);
}

double stat_trust(double configured, const struct statx *stx)
{
	struct timespec now;
	double age;

	if (configured >= 0)
		return configured;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	age = (double)(now.tv_sec - stx->stx_ctime.tv_sec) / TRUST_SHARE;
	if (age > TRUST_MOST)
		return TRUST_MOST;
	return age > TRUST_LEAST ? age : TRUST_LEAST;
}
