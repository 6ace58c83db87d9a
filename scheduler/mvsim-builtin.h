/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Built-in scenarios; the table ends with a NULL name. */
#ifndef MV_SCHED_MVSIM_BUILTIN_H
#define MV_SCHED_MVSIM_BUILTIN_H

struct sim_builtin {
	const char *name, *what, *text;
};

extern const struct sim_builtin sim_builtins[];
const struct sim_builtin *sim_builtin_find(const char *name); /* NULL: none */

#endif
