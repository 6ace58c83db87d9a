/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A job as libvirt knows it: the XML of its domain, and the facts about the job
 * in the domain's <metadata>, which are the only record of it. Pure: nothing
 * here talks to libvirt.
 */
#ifndef MV_MVD_DOMAIN_H
#define MV_MVD_DOMAIN_H

#include "net/err.h"
#include "vmm-agent/mvd-protocol.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define DOMAIN_METADATA_URI "http://monovisor.org/xmlns/job/1"
#define DOMAIN_METADATA_KEY "mv"
#define DOMAIN_LINK_PORT "org.monovisor.link.0"
#define DOMAIN_TRANSLATIONS 128U /* MiB of translated code that an emulator keeps at most */

enum accel {
	ACCEL_AUTO, /* not known yet; never a domain's */
	ACCEL_KVM,
	ACCEL_TCG,
	ACCEL_COUNT
};
const char *accel_name(enum accel accel);
bool accel_find(const char *name, enum accel *accel);

enum job_transport {
	JOB_SERIAL,
	JOB_VSOCK,
	JOB_TRANSPORT_COUNT
};
/* The names that the protocol and net/transport.h use. */
const char *job_transport_name(enum job_transport transport);

/* What its user says of a job, until it is seen. */
enum job_kind { JOB_ANY, JOB_CPU_BOUND, JOB_IO_BOUND, JOB_KINDS };

/* What the metadata element holds. Strings are owned, valid UTF-8, and without
 * control characters. */
struct job_facts {
	char uuid[UUID_TEXT_SIZE];
	char *agent;   /* socket of the agent that the job belongs to */
	char *name, *user, *command;
	char *home;    /* name of the home node */
	char *from;    /* the node it came from last, "": it has never moved */
	pid_t pid;     /* of mvrun */
	uint64_t start; /* its start time, struct process */
	uid_t uid;
	int64_t since; /* s since 1970 */
	unsigned moves, memory, cpus; /* memory in MiB */
	unsigned boots; /* how often a microVM was started for it */
	/*
	 * Of all copies of a job the one with the highest incarnation is the
	 * job. Each attempt to move it takes the next number, which the source
	 * notes in `attempt` first; see mvd-migrate.c.
	 */
	unsigned incarnation, attempt;
	unsigned home_patience; /* s without home until it is killed; 0: for ever */
	bool pin, stay_home;
	char *group;   /* that it is in, or NULL */
	char *only, *never; /* nodes, separated by commas, or NULL: --on, --not-on */
	char *near;    /* UUID of another job of its home, or NULL: --near */
	unsigned kind; /* enum job_kind */
	uint64_t age_ms; /* CPU time that it had before it came here, at speed 1 */
	bool probe;    /* no job: the agent's test of KVM */
	bool frozen;   /* suspended by the agent, because mvrun is stopped */
	bool started;  /* the program runs */
	enum accel accel;
	enum job_transport transport;
	unsigned vsock_port;
};

void job_facts_clear(struct job_facts *facts);
/* Into an empty one. */
void job_facts_copy(struct job_facts *to, const struct job_facts *from);

/* The metadata element as text, without a namespace: libvirt adds it and
 * refuses one that is there. Never NULL. */
char *job_facts_to_xml(const struct job_facts *facts);

/*
 * Read the metadata element as libvirt returns it. What is in it may have been
 * edited by anybody with access to libvirt: checked like any other input.
 */
int job_facts_from_xml(struct job_facts *facts, const char *xml,
		       struct err *err);

/* What else is needed to write a domain. All strings are borrowed. */
struct domain_spec {
	const struct job_facts *facts;
	const char *name;
	const char *kernel, *initramfs;
	const char *socket;  /* where QEMU listens for the link */
	const char *console; /* file that gets the guest's console */
	const char *cpu;     /* CPU model; NULL: the emulator's own */
	const char *dac;     /* user and group of QEMU, "+UID:+GID"; NULL: libvirt's choice */
	bool may_move;       /* there are other nodes */
};

/* The domain's XML, or NULL. */
char *domain_to_xml(const struct domain_spec *spec, struct err *err);

/* What differs from node to node in the description of one domain; borrowed. */
struct domain_place {
	const char *kernel, *initramfs;
	const char *socket, *console;
	const char *dac; /* NULL: libvirt's choice */
};

/* A running domain's XML, as it is to be where it moves to, or NULL. */
char *domain_move_xml(const char *xml, const struct domain_place *place,
		      const struct job_facts *facts, struct err *err);

/* "mv-USER-PROGRAM-PID" at the job's home, "mv-HOME-USER-PROGRAM-PID" at another
 * node, with what libvirt would not take replaced. */
char *domain_name(const struct job_facts *facts, const char *node);

/* The guest's vsock address in a running domain's XML; 0 when there is none. */
unsigned domain_cid(const char *xml);

/* DAC user and group for domains of this type in libvirt's capabilities, or NULL. */
char *domain_dac_label(const char *capabilities, enum accel accel);

/* The first of our CPU baselines that this host's KVM offers, in libvirt's domain
 * capabilities, or NULL. A static string. */
const char *domain_cpu_baseline(const char *domain_capabilities);

/* May a guest with the baseline `need` run where `have` is the best one? */
bool domain_cpu_covers(const char *have, const char *need);

/* A copy that is valid UTF-8 and has no control character: those become '?'. */
char *clean_text(const char *text);

#endif
