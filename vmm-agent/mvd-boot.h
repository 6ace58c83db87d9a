/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a microVM needs besides its facts: its domain's XML, its files.
 */
#ifndef MV_MVD_BOOT_H
#define MV_MVD_BOOT_H

#include "vmm-agent/mvd.h"

/* Files of a job: where QEMU listens for the link, and the console. */
char *boot_socket(const struct mvd *mvd, const char *uuid);
char *boot_console(const struct mvd *mvd, const char *uuid);

/* The domain's XML; the kit must be ready. NULL on failure. */
char *boot_xml(const struct mvd *mvd, const struct job_facts *facts,
	       struct err *err);

/* Remove socket and console. With `domain`, QEMU's log too, which libvirt would
 * keep for ever: one for each program that ever ran. */
void boot_remove_files(const struct mvd *mvd, const char *uuid,
		       const char *domain);

/* QEMU's log of this domain. */
char *boot_log(const struct mvd *mvd, const char *domain);

/* The job of each file that is here: once for each file. */
void boot_each(const struct mvd *mvd, void (*found)(void *ctx, const char *uuid), void *ctx);

#endif
