/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose a new file is, and its mode.
 *
 * INIT grants FUSE_DONT_MASK: the guest sends the mode as the program gave it,
 * and its umask beside it. Each worker has a file-system context of its own
 * (CLONE_FS), so it can take on the request's umask and home's kernel applies
 * it, or a directory's default ACL in its place, as it would to the program.
 *
 * A deputy that is root serves a guest in which several users may be. Their
 * rights are checked by the guest's kernel (default_permissions); what they
 * create must be theirs. setfsuid() and setfsgid() are properties of a thread
 * when called raw, and SECBIT_NO_SETUID_FIXUP keeps the thread's capabilities,
 * which it needs because the user's supplementary groups are not known here.
 */
#include "vmm-agent/files-internal.h"

#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static __thread mode_t current_umask;
static __thread bool own_umask, switched;

void cred_thread_start(struct files *f)
{
	own_umask = unshare(CLONE_FS) == 0;
	if (own_umask)
		umask(current_umask = 0);
	if (f->is_root)
		prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
}

static void take_owner(const struct fuse_in_header *header)
{
	if (header->uid == 0 && header->gid == 0)
		return;
	syscall(SYS_setfsgid, header->gid);
	syscall(SYS_setfsuid, header->uid);
	switched = true;
}

mode_t cred_enter(struct files *f, const struct fuse_in_header *header,
		  mode_t umask_value, mode_t mode)
{
	umask_value &= 0777;
	if (f->is_root)
		take_owner(header);
	/* Without a umask of its own the thread knows no default ACL. */
	if (!own_umask)
		return mode & ~umask_value;
	if (umask_value != current_umask)
		umask(current_umask = umask_value);
	return mode;
}

void cred_leave(struct files *f)
{
	(void)f;
	if (!switched)
		return;
	syscall(SYS_setfsuid, 0);
	syscall(SYS_setfsgid, 0);
	switched = false;
}

/*
 * FUSE_HANDLE_KILLPRIV_V2: the guest asks for it with each write or truncation
 * by someone without CAP_FSETID. A deputy that is an ordinary user has home's
 * kernel do it.
 */
void cred_strip_suid(struct files *f, int fd)
{
	struct stat st;
	mode_t strip = 0;

	if (!f->is_root || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	if (st.st_mode & S_ISUID)
		strip |= S_ISUID;
	if ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
		strip |= S_ISGID;
	if (strip)
		fchmod(fd, (st.st_mode & ~strip) & 07777);
}
