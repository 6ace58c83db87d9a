/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/files-check.h"

#include "vmm-agent/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>

/* What follows the fixed part of a request. */
enum tail {
	TAIL_NONE,
	TAIL_NAME,    /* one entry name */
	TAIL_NAMES,   /* two of them */
	TAIL_SYMLINK, /* an entry name, then any text */
	TAIL_XATTR,   /* the name of an extended attribute */
	TAIL_OTHER,   /* `check` looks at it */
};

/* The bytes behind the header, already known to be min_size or more. */
struct payload {
	const uint8_t *bytes;
	size_t len;
};

struct rule {
	const char *name; /* NULL: unknown opcode */
	size_t min_size;  /* fixed part, without struct fuse_in_header */
	enum tail tail;
	int refuse;       /* answered with this errno, whatever it says */
	/* 0, errno, or -1 as files_check(). */
	int (*check)(struct payload p);
};

/* A name of one directory entry: 0, errno, or -1 without NUL. */
static int check_entry(const uint8_t *name, size_t room, size_t *used)
{
	size_t len = strnlen((const char *)name, room);

	if (len == room)
		return -1;
	*used = len + 1;
	if (len > NAME_MAX)
		return ENAMETOOLONG;
	if (len == 0 || memchr(name, '/', len))
		return EINVAL;
	/* The guest's kernel resolves these itself. */
	if (!strcmp((const char *)name, ".") ||
	    !strcmp((const char *)name, ".."))
		return EINVAL;
	return 0;
}

static int check_name(struct payload p)
{
	size_t used;
	int error = check_entry(p.bytes, p.len, &used);

	return error >= 0 && used != p.len ? -1 : error;
}

static int check_names(struct payload p)
{
	size_t used, rest;
	int first = check_entry(p.bytes, p.len, &used), second;

	if (first < 0)
		return -1;
	rest = p.len - used;
	second = check_entry(p.bytes + used, rest, &used);
	if (second < 0 || used != rest)
		return -1;
	return first ? first : second;
}

static int check_symlink(struct payload p)
{
	size_t used, rest, text;
	int error = check_entry(p.bytes, p.len, &used);

	if (error < 0)
		return -1;
	rest = p.len - used;
	text = strnlen((const char *)p.bytes + used, rest);
	if (text + 1 != rest)
		return -1;
	if (error)
		return error;
	if (text == 0)
		return ENOENT;
	return text >= PATH_MAX ? ENAMETOOLONG : 0;
}

/* What setxattr(2) says of a name of this length. */
static int check_xattr_len(size_t len)
{
	return len == 0 || len > XATTR_NAME_MAX ? ERANGE : 0;
}

static int check_xattr(struct payload p)
{
	size_t len = strnlen((const char *)p.bytes, p.len);

	if (len + 1 != p.len)
		return -1;
	return check_xattr_len(len);
}

static int check_tail(enum tail tail, struct payload p)
{
	switch (tail) {
	case TAIL_NAME:
		return check_name(p);
	case TAIL_NAMES:
		return check_names(p);
	case TAIL_SYMLINK:
		return check_symlink(p);
	case TAIL_XATTR:
		return check_xattr(p);
	case TAIL_NONE:
	case TAIL_OTHER:
		break;
	}
	return 0;
}

/* --- requests whose numbers need a look --------------------------------- */

static int check_init(struct payload p)
{
	const struct fuse_init_in *in = (const void *)p.bytes;

	if (in->major != FUSE_KERNEL_VERSION || in->minor < FILES_MIN_MINOR)
		return -1;
	if ((in->flags & FUSE_INIT_EXT) && p.len < sizeof(*in))
		return -1;
	return 0;
}

static int check_batch_forget(struct payload p)
{
	const struct fuse_batch_forget_in *in = (const void *)p.bytes;
	size_t rest = p.len - sizeof(*in);

	return rest / sizeof(struct fuse_forget_one) == in->count &&
			       rest % sizeof(struct fuse_forget_one) == 0 ?
		       0 :
		       -1;
}

static bool bad_time(uint32_t valid, uint32_t set, uint32_t now, uint32_t nsec)
{
	return (valid & set) && !(valid & now) && nsec >= 1000000000;
}

static int check_setattr(struct payload p)
{
	const struct fuse_setattr_in *in = (const void *)p.bytes;

	if ((in->valid & FATTR_SIZE) && in->size > INT64_MAX)
		return EINVAL;
	if (bad_time(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atimensec) ||
	    bad_time(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtimensec))
		return EINVAL;
	return 0;
}

static int check_read(struct payload p)
{
	const struct fuse_read_in *in = (const void *)p.bytes;

	if (in->size > FILES_MAX_IO || in->offset > INT64_MAX)
		return EINVAL;
	return 0;
}

/* Offsets of directories are cookies of home's file system: any value. */
static int check_readdir(struct payload p)
{
	const struct fuse_read_in *in = (const void *)p.bytes;

	return in->size > FILES_MAX_IO ? EINVAL : 0;
}

static int check_write(struct payload p)
{
	const struct fuse_write_in *in = (const void *)p.bytes;

	if (in->size != p.len - sizeof(*in) || in->size > FILES_MAX_IO)
		return -1;
	return in->offset > INT64_MAX - FILES_MAX_IO ? EFBIG : 0;
}

/*
 * Only FUSE_SETXATTR_EXT, which INIT does not grant, has the longer fixed part
 * of <linux/fuse.h>.
 */
static int check_setxattr(struct payload p)
{
	const struct fuse_setxattr_in *in = (const void *)p.bytes;
	const uint8_t *name = p.bytes + FUSE_COMPAT_SETXATTR_IN_SIZE;
	size_t rest = p.len - FUSE_COMPAT_SETXATTR_IN_SIZE;
	size_t len = strnlen((const char *)name, rest);

	if (len == rest || in->size != rest - len - 1)
		return -1;
	if (in->size > XATTR_SIZE_MAX)
		return E2BIG;
	return check_xattr_len(len);
}

static int check_getxattr_size(const struct fuse_getxattr_in *in)
{
	return in->size > XATTR_SIZE_MAX ? E2BIG : 0;
}

static int check_listxattr(struct payload p)
{
	return check_getxattr_size((const void *)p.bytes);
}

static int check_getxattr(struct payload p)
{
	return check_getxattr_size((const void *)p.bytes);
}

static int check_rename2(struct payload p)
{
	const struct fuse_rename2_in *in = (const void *)p.bytes;
	const uint32_t known =
		RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;

	return in->flags & ~known ? EINVAL : 0;
}

static int check_lock(struct payload p)
{
	const struct fuse_lk_in *in = (const void *)p.bytes;

	if (in->lk.type != F_RDLCK && in->lk.type != F_WRLCK &&
	    in->lk.type != F_UNLCK)
		return EINVAL;
	if (in->lk.start > in->lk.end || in->lk.end > INT64_MAX)
		return EINVAL;
	return 0;
}

/* The guest's kernel calls the unnamed file "/": the name means nothing. */
static int check_tmpfile(struct payload p)
{
	const uint8_t *name = p.bytes + sizeof(struct fuse_create_in);
	size_t rest = p.len - sizeof(struct fuse_create_in);

	return strnlen((const char *)name, rest) + 1 == rest ? 0 : -1;
}

#define FIXED(op, type) [FUSE_##op] = { #op, sizeof(struct type) }
#define NAMED(op, type, tail_) [FUSE_##op] = { #op, sizeof(struct type), tail_ }
#define CHECKED(op, type, tail_, fn) \
	[FUSE_##op] = { #op, sizeof(struct type), tail_, 0, fn }

static const struct rule rules[FILES_OPCODES] = {
	[FUSE_LOOKUP] = { "LOOKUP", 0, TAIL_NAME },
	FIXED(FORGET, fuse_forget_in),
	FIXED(GETATTR, fuse_getattr_in),
	CHECKED(SETATTR, fuse_setattr_in, TAIL_NONE, check_setattr),
	[FUSE_READLINK] = { "READLINK", 0 },
	[FUSE_SYMLINK] = { "SYMLINK", 0, TAIL_SYMLINK },
	NAMED(MKNOD, fuse_mknod_in, TAIL_NAME),
	NAMED(MKDIR, fuse_mkdir_in, TAIL_NAME),
	[FUSE_UNLINK] = { "UNLINK", 0, TAIL_NAME },
	[FUSE_RMDIR] = { "RMDIR", 0, TAIL_NAME },
	NAMED(RENAME, fuse_rename_in, TAIL_NAMES),
	NAMED(LINK, fuse_link_in, TAIL_NAME),
	FIXED(OPEN, fuse_open_in),
	CHECKED(READ, fuse_read_in, TAIL_NONE, check_read),
	CHECKED(WRITE, fuse_write_in, TAIL_OTHER, check_write),
	[FUSE_STATFS] = { "STATFS", 0 },
	FIXED(RELEASE, fuse_release_in),
	FIXED(FSYNC, fuse_fsync_in),
	[FUSE_SETXATTR] = { "SETXATTR", FUSE_COMPAT_SETXATTR_IN_SIZE,
			    TAIL_OTHER, 0, check_setxattr },
	CHECKED(GETXATTR, fuse_getxattr_in, TAIL_XATTR, check_getxattr),
	CHECKED(LISTXATTR, fuse_getxattr_in, TAIL_NONE, check_listxattr),
	[FUSE_REMOVEXATTR] = { "REMOVEXATTR", 0, TAIL_XATTR },
	FIXED(FLUSH, fuse_flush_in),
	/* Kernels before 7.36 send the first four fields. */
	[FUSE_INIT] = { "INIT", 16, TAIL_OTHER, 0, check_init },
	FIXED(OPENDIR, fuse_open_in),
	CHECKED(READDIR, fuse_read_in, TAIL_NONE, check_readdir),
	FIXED(RELEASEDIR, fuse_release_in),
	FIXED(FSYNCDIR, fuse_fsync_in),
	CHECKED(GETLK, fuse_lk_in, TAIL_NONE, check_lock),
	CHECKED(SETLK, fuse_lk_in, TAIL_NONE, check_lock),
	CHECKED(SETLKW, fuse_lk_in, TAIL_NONE, check_lock),
	FIXED(ACCESS, fuse_access_in),
	NAMED(CREATE, fuse_create_in, TAIL_NAME),
	FIXED(INTERRUPT, fuse_interrupt_in),
	[FUSE_IOCTL] = { "IOCTL", 0, TAIL_OTHER, ENOTTY },
	[FUSE_POLL] = { "POLL", 0, TAIL_OTHER, ENOSYS },
	[FUSE_BMAP] = { "BMAP", 0, TAIL_OTHER, ENOSYS },
	[FUSE_DESTROY] = { "DESTROY", 0 },
	CHECKED(BATCH_FORGET, fuse_batch_forget_in, TAIL_OTHER,
		check_batch_forget),
	FIXED(FALLOCATE, fuse_fallocate_in),
	CHECKED(READDIRPLUS, fuse_read_in, TAIL_NONE, check_readdir),
	CHECKED(RENAME2, fuse_rename2_in, TAIL_NAMES, check_rename2),
	FIXED(LSEEK, fuse_lseek_in),
	FIXED(COPY_FILE_RANGE, fuse_copy_file_range_in),
	CHECKED(TMPFILE, fuse_create_in, TAIL_OTHER, check_tmpfile),
};

static const struct rule *rule_of(uint32_t opcode)
{
	static const struct rule unknown = { NULL, 0, TAIL_OTHER, ENOSYS };

	if (opcode >= FILES_OPCODES || !rules[opcode].name)
		return &unknown;
	return &rules[opcode];
}

const char *files_check_name(uint32_t opcode)
{
	const char *name = rule_of(opcode)->name;

	return name ? name : "?";
}

bool files_check_answered(uint32_t opcode)
{
	return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET &&
	       opcode != FUSE_INTERRUPT;
}

static int insane(struct err *err, const struct fuse_in_header *header,
		  const char *what)
{
	return err_set(err, 0, "FUSE request %s (opcode %u, %u bytes): %s",
		       files_check_name(header->opcode), header->opcode,
		       header->len, what);
}

static int check_payload(const struct rule *rule, struct payload p)
{
	struct payload tail = { p.bytes + rule->min_size,
				p.len - rule->min_size };
	int error = check_tail(rule->tail, tail);

	if (error)
		return error;
	return rule->check ? rule->check(p) : 0;
}

int files_check(const void *message, size_t len, struct err *err)
{
	const struct fuse_in_header *header = message;
	const struct rule *rule;
	struct payload p;
	int error;

	if (len < sizeof(*header))
		return err_set(err, 0, "FUSE request of %zu bytes", len);
	if (header->len != len || len > FILES_MAX_MESSAGE)
		return insane(err, header, "not the length of the message");
	if (header->total_extlen)
		return insane(err, header, "has extensions that INIT refused");
	rule = rule_of(header->opcode);
	if (header->unique == 0 && files_check_answered(header->opcode))
		return insane(err, header, "has no number to answer to");
	p = (struct payload){ (const uint8_t *)message + sizeof(*header),
			      len - sizeof(*header) };
	if (p.len < rule->min_size)
		return insane(err, header, "cut short");
	if (rule->refuse)
		return rule->refuse;
	error = check_payload(rule, p);
	if (error < 0)
		return insane(err, header,
			      header->opcode == FUSE_INIT ?
				      "the guest's kernel is too old or too new"
				      " (Linux 5.4 or later is needed)" :
				      "names, counts or sizes do not fit");
	return error;
}
