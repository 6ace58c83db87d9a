/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A reservation is made for a peer that wants to send a job here: whether it can
 * run here is found out first, memory is set aside, and every file it will need
 * is there before it comes. The answer holds a secret, and only the peer that
 * knows it may speak to our libvirt, and only until the job has come. When the
 * domain runs it is adopted as any other (mvd-adopt.c), and the reservation ends.
 */
#include "vmm-agent/mvd-arrive.h"

#include "net/cleanup.h"
#include "vmm-agent/mvd-boot.h"
#include "vmm-agent/mvd-dial.h"
#include "vmm-agent/mvd-kit.h"
#include "vmm-agent/mvd-node.h"
#include "vmm-agent/mvd-probe.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-tell.h"
#include "vmm-agent/mvd-vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPIRY_S 120
#define LOOK_S 10
#define STREAM_MS 10000
#define LINK_MS 60000
#define MAX_CLOCK_SKEW_MS (60 * 1000)
#define USERFAULTFD "/proc/sys/vm/unprivileged_userfaultfd"

struct reservation {
	struct arrivals *arrivals;
	char uuid[UUID_TEXT_SIZE];
	char *from, *home, *dir, *secret;
	unsigned memory; /* MiB */
	unsigned looks;
	guint look;
};

struct arrivals {
	struct mvd *mvd;
	GHashTable *by_uuid; /* owns the reservations */
};

/* Directories */

char *arrivals_dir(const struct mvd *mvd, const char *uuid)
{
	g_autofree char *run = g_path_get_dirname(mvd->config.socket);

	return g_build_filename(run, "migrate", uuid, NULL);
}

/* "+UID:+GID"; root where libvirt makes no choice. */
static void parse_dac(const char *dac, unsigned *uid, unsigned *gid)
{
	*uid = *gid = 0;
	if (dac && sscanf(dac, "+%u:+%u", uid, gid) != 2)
		*uid = *gid = 0;
}

unsigned arrivals_uid(const char *dac)
{
	unsigned uid, gid;

	parse_dac(dac, &uid, &gid);
	return uid;
}

int arrivals_make_dir(const struct mvd *mvd, const char *path, const char *dac,
		      struct err *err)
{
	g_autofree char *parent = g_path_get_dirname(path);
	unsigned uid, gid;

	(void)mvd;
	parse_dac(dac, &uid, &gid);
	arrivals_remove_dir(path);
	if ((mkdir(parent, 0711) < 0 && errno != EEXIST) ||
	    chmod(parent, 0711) < 0 || mkdir(path, 0700) < 0 ||
	    lchown(path, uid, gid) < 0)
		return err_set(err, errno, "cannot make the directory %s", path);
	return 0;
}

void arrivals_remove_dir(const char *path)
{
	static const char *const names[] = { "memory", "libvirt" };
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *file = g_build_filename(path, names[i], NULL);

		unlink(file);
	}
	rmdir(path);
}

/* What an agent that was killed has left. */
static void sweep(const struct mvd *mvd)
{
	g_autofree char *run = g_path_get_dirname(mvd->config.socket);
	g_autofree char *path = g_build_filename(run, "migrate", NULL);
	GDir *dir = g_dir_open(path, 0, NULL);
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *old = g_build_filename(path, name, NULL);

		arrivals_remove_dir(old);
	}
	if (dir)
		g_dir_close(dir);
}

/* The table */

static void reservation_free(void *p)
{
	struct reservation *r = p;

	g_clear_handle_id(&r->look, g_source_remove);
	arrivals_remove_dir(r->dir);
	g_free(r->from);
	g_free(r->home);
	g_free(r->dir);
	g_free(r->secret);
	g_free(r);
}

struct arrivals *arrivals_new(struct mvd *mvd)
{
	struct arrivals *arrivals = g_new0(struct arrivals, 1);

	arrivals->mvd = mvd;
	arrivals->by_uuid = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
						  reservation_free);
	if (mvd->config.socket)
		sweep(mvd);
	return arrivals;
}

void arrivals_free(struct arrivals *arrivals)
{
	g_hash_table_unref(arrivals->by_uuid);
	g_free(arrivals);
}

void arrivals_done(struct arrivals *arrivals, const char *uuid)
{
	g_hash_table_remove(arrivals->by_uuid, uuid);
}

bool arrivals_expects(const struct arrivals *arrivals, const char *uuid)
{
	return g_hash_table_contains(arrivals->by_uuid, uuid);
}

unsigned arrivals_memory(const struct arrivals *arrivals)
{
	struct reservation *r;
	GHashTableIter iter;
	unsigned sum = 0;

	g_hash_table_iter_init(&iter, arrivals->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&r))
		sum += r->memory;
	return sum;
}

/* Nothing will come, and what was made for it goes. */
static void give_up(struct arrivals *arrivals, struct reservation *r)
{
	const struct job *job = jobs_find(arrivals->mvd->jobs, r->uuid);

	if (!job || !job_is_here(job))
		boot_remove_files(arrivals->mvd, r->uuid, NULL);
	g_hash_table_remove(arrivals->by_uuid, r->uuid);
}

/* A question about a reservation, which may be gone or another's by its answer. */
struct doubt {
	struct arrivals *arrivals;
	char *secret;
	char uuid[UUID_TEXT_SIZE];
};

static struct doubt *doubt_new(const struct reservation *r)
{
	struct doubt *doubt = g_new0(struct doubt, 1);

	doubt->arrivals = r->arrivals;
	doubt->secret = g_strdup(r->secret);
	g_strlcpy(doubt->uuid, r->uuid, sizeof(doubt->uuid));
	return doubt;
}

static void doubt_free(struct doubt *doubt)
{
	g_free(doubt->secret);
	g_free(doubt);
}

static struct reservation *doubted(const struct doubt *doubt)
{
	struct reservation *r = g_hash_table_lookup(doubt->arrivals->by_uuid,
						    doubt->uuid);

	return r && strcmp(r->secret, doubt->secret) == 0 ? r : NULL;
}

static void on_described(void *ctx, const struct virt_domain *domain)
{
	struct doubt *doubt = ctx;
	struct reservation *r = doubted(doubt);

	if (!domain && r && virt_state(r->arrivals->mvd->virt) == VIRT_UP) {
		g_info("the reservation for %s has expired", r->uuid);
		give_up(doubt->arrivals, r);
	}
	doubt_free(doubt);
}

static void on_source_asked(void *ctx, const struct peer_reply *reply)
{
	struct doubt *doubt = ctx;
	struct json_object *moving;
	bool comes = reply->answer &&
		     json_object_object_get_ex(reply->answer, "moving",
					       &moving) &&
		     json_object_get_boolean(moving);

	if (!comes && doubted(doubt))
		virt_describe(doubt->arrivals->mvd->virt, doubt->uuid,
			      on_described, doubt);
	else
		doubt_free(doubt);
}

/* Its source may have died before it sent anything, or was restarted and has
 * forgotten it. */
static gboolean on_look(void *p)
{
	struct reservation *r = p;
	struct mvd *mvd = r->arrivals->mvd;
	struct json_object *have;

	if (++r->looks * LOOK_S > EXPIRY_S) {
		virt_describe(mvd->virt, r->uuid, on_described, doubt_new(r));
		return G_SOURCE_CONTINUE;
	}
	have = json_object_new_object();
	event_add_string(have, "op", "have");
	event_add_string(have, "uuid", r->uuid);
	peer_ask(mvd->peers, r->from, have, LOOK_S * 1000, on_source_asked,
		 doubt_new(r));
	return G_SOURCE_CONTINUE;
}

/* Admission */

struct wish {
	char uuid[UUID_TEXT_SIZE];
	unsigned memory, incarnation, vsock_port;
	enum accel accel;
	const char *cpu, *home;
	int64_t qemu, time;
	bool postcopy;
};

static const char *text_of(struct json_object *body, const char *field)
{
	struct json_object *value;

	if (!json_object_object_get_ex(body, field, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

static int64_t number_of(struct json_object *body, const char *field)
{
	struct json_object *value;

	if (!json_object_object_get_ex(body, field, &value) ||
	    !json_object_is_type(value, json_type_int))
		return 0;
	return json_object_get_int64(value);
}

static bool flag_of(struct json_object *body, const char *field)
{
	struct json_object *value;

	return json_object_object_get_ex(body, field, &value) &&
	       json_object_get_boolean(value);
}

static int read_wish(struct wish *wish, struct json_object *body,
		     struct err *err)
{
	int64_t memory = number_of(body, "memory");

	wish->incarnation = (unsigned)number_of(body, "incarnation");
	wish->vsock_port = (unsigned)number_of(body, "vsock_port");
	wish->qemu = number_of(body, "qemu");
	wish->cpu = text_of(body, "cpu");
	wish->postcopy = flag_of(body, "postcopy");
	wish->home = text_of(body, "home");
	wish->time = number_of(body, "time");
	if (!uuid_normalize(wish->uuid, text_of(body, "uuid")) ||
	    memory < 1 || memory > G_MAXINT32 || !*wish->home || wish->time < 0 ||
	    !accel_find(text_of(body, "accel"), &wish->accel))
		return err_set(err, 0, "the question is not understood");
	wish->memory = (unsigned)memory;
	return 0;
}

static int check_software(struct mvd *mvd, const struct wish *wish,
			  struct err *err)
{
	const struct virt_facts *host = virt_facts(mvd->virt);

	if (virt_state(mvd->virt) != VIRT_UP)
		return err_set(err, 0, "%s", virt_error(mvd->virt));
	if (kit_state(mvd->kit) != KIT_READY)
		return err_set(err, 0, "it has no kernel and image for guests "
			       "yet (see mvctl doctor there)");
	if (host->microvm_error)
		return err_set(err, 0, "%s", host->microvm_error);
	if ((int64_t)host->qemu_version != wish->qemu)
		return err_set(err, 0, "it has another QEMU (%lu.%lu.%lu there, "
			       "%lld.%lld.%lld here)",
			       host->qemu_version / 1000000,
			       host->qemu_version / 1000 % 1000,
			       host->qemu_version % 1000,
			       (long long)(wish->qemu / 1000000),
			       (long long)(wish->qemu / 1000 % 1000),
			       (long long)(wish->qemu % 1000));
	return 0;
}

static int check_processor(struct mvd *mvd, const struct wish *wish,
			   struct err *err)
{
	const char *cpu = virt_facts(mvd->virt)->kvm_cpu;

	if (wish->accel != ACCEL_KVM)
		return 0;
	if (probe_accel(mvd->probe) != ACCEL_KVM)
		return err_set(err, 0, "the job runs under KVM, which does not "
			       "work there");
	if (!cpu || !domain_cpu_covers(cpu, wish->cpu))
		return err_set(err, 0, "its processor is not of the model %s",
			       wish->cpu);
	return 0;
}

/* QEMU must be told of each page that is touched before it has come. */
static int check_postcopy(struct mvd *mvd, const struct wish *wish,
			  struct err *err)
{
	g_autofree char *allowed = NULL;

	if (!wish->postcopy ||
	    arrivals_uid(virt_facts(mvd->virt)->dac[wish->accel]) == 0)
		return 0;
	if (g_file_get_contents(USERFAULTFD, &allowed, NULL, NULL) &&
	    allowed[0] == '1')
		return 0;
	return err_set(err, 0, "post-copy needs \"sysctl "
		       "vm.unprivileged_userfaultfd=1\" there");
}

/* A job lives by its home's clock, and files by their server's. */
static int check_clock(const struct wish *wish, struct err *err)
{
	int64_t ahead = g_get_real_time() / 1000 - wish->time;

	if (ABS(ahead) <= MAX_CLOCK_SKEW_MS)
		return 0;
	return err_set(err, 0, "its clock is %lld s %s that of the node where "
		       "the job is", (long long)ABS(ahead) / 1000,
		       ahead > 0 ? "ahead of" : "behind");
}

static int check_memory(struct mvd *mvd, const struct wish *wish,
			struct err *err)
{
	/* An earlier attempt's reservation makes way for this one. */
	const struct reservation *r = g_hash_table_lookup(
		mvd->jobs->arrivals->by_uuid, wish->uuid);
	unsigned room = node_room(mvd) + (r ? r->memory : 0);

	if (wish->memory > room)
		return err_set(err, 0, "it has no room: %u MiB are needed, %u "
			       "MiB are free", wish->memory, room);
	return 0;
}

static int check_place(struct mvd *mvd, const struct wish *wish,
		       struct err *err)
{
	const struct job *job = jobs_find(mvd->jobs, wish->uuid);

	if (job && job_is_here(job))
		return err_set(err, 0, "the job runs there already");
	/* A kernel may know of vsocks and have none for guests. */
	if (wish->vsock_port && !vsock_available())
		return err_set(err, 0, "the job's guest speaks by vsock, and it has no "
			       "/dev/vhost-vsock (modprobe vhost_vsock there)");
	if (wish->vsock_port &&
	    vsock_listen(mvd->vsock, wish->vsock_port, err) == 0)
		return -1;
	return 0;
}

static struct reservation *reserve(struct arrivals *arrivals, const char *from,
				   const struct wish *wish, struct err *err)
{
	struct mvd *mvd = arrivals->mvd;
	struct reservation *r;
	unsigned char bytes[16];

	if (check_software(mvd, wish, err) < 0 ||
	    check_processor(mvd, wish, err) < 0 ||
	    check_postcopy(mvd, wish, err) < 0 ||
	    check_clock(wish, err) < 0 ||
	    check_memory(mvd, wish, err) < 0 ||
	    check_place(mvd, wish, err) < 0)
		return NULL;
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
		err_set(err, errno, "no random numbers");
		return NULL;
	}
	arrivals_done(arrivals, wish->uuid);
	r = g_new0(struct reservation, 1);
	r->arrivals = arrivals;
	g_strlcpy(r->uuid, wish->uuid, sizeof(r->uuid));
	r->from = g_strdup(from);
	r->home = g_strdup(wish->home);
	r->memory = wish->memory;
	r->dir = arrivals_dir(mvd, wish->uuid);
	r->secret = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes,
						sizeof(bytes));
	if (arrivals_make_dir(mvd, r->dir,
			      virt_facts(mvd->virt)->dac[wish->accel],
			      err) < 0) {
		reservation_free(r);
		return NULL;
	}
	r->look = g_timeout_add_seconds(LOOK_S, on_look, r);
	g_hash_table_insert(arrivals->by_uuid, r->uuid, r);
	return r;
}

static struct json_object *describe(const struct arrivals *arrivals,
				    const struct reservation *r,
				    enum accel accel)
{
	struct mvd *mvd = arrivals->mvd;
	g_autofree char *socket = boot_socket(mvd, r->uuid);
	g_autofree char *console = boot_console(mvd, r->uuid);
	struct json_object *answer = json_object_new_object();
	const char *dac = virt_facts(mvd->virt)->dac[accel];

	event_add_string(answer, "secret", r->secret);
	event_add_string(answer, "agent", mvd->config.socket);
	event_add_string(answer, "dir", r->dir);
	event_add_string(answer, "kernel", kit_kernel(mvd->kit));
	event_add_string(answer, "initramfs", kit_initramfs(mvd->kit));
	event_add_string(answer, "socket", socket);
	event_add_string(answer, "console", console);
	event_add_string(answer, "dac", dac ? dac : "");
	tell_load(mvd, answer);
	return answer;
}

static int admit(struct mvd *mvd, const struct wish *wish, struct json_object *body,
		 struct err *err)
{
	g_autofree char *home = g_strdup(wish->home);
	struct job_facts facts = { .home = home, .memory = wish->memory,
				   .accel = wish->accel };

	g_strlcpy(facts.uuid, wish->uuid, sizeof(facts.uuid));
	return scheduler_admit(mvd, &facts, body, true, err);
}

void arrivals_reserve(struct arrivals *arrivals, const char *from,
		      struct json_object *body, struct peer_question *question)
{
	struct wish wish = { 0 };
	struct err err = { 0 };
	struct reservation *r = NULL;

	if (read_wish(&wish, body, &err) == 0 &&
	    admit(arrivals->mvd, &wish, body, &err) == 0)
		r = reserve(arrivals, from, &wish, &err);
	if (r)
		peer_answer(question, describe(arrivals, r, wish.accel));
	else
		tell_refusal(arrivals->mvd, question, err.text);
}

/* The peer's own reservation, which it proves by the secret. */
static struct reservation *find(struct arrivals *arrivals, const char *from,
				struct json_object *body)
{
	struct reservation *r = g_hash_table_lookup(arrivals->by_uuid,
						    text_of(body, "uuid"));

	if (!r || strcmp(r->from, from) != 0 ||
	    strcmp(r->secret, text_of(body, "secret")) != 0)
		return NULL;
	return r;
}

void arrivals_release(struct arrivals *arrivals, const char *from,
		      struct json_object *body, struct peer_question *question)
{
	struct reservation *r = find(arrivals, from, body);

	if (r)
		give_up(arrivals, r);
	peer_answer(question, NULL);
}

/* Streams */

/* libvirt's own socket: that of the one daemon or of QEMU's. */
static const char *libvirt_socket(void)
{
	static const char *const paths[] = {
		"/run/libvirt/virtqemud-sock",
		"/run/libvirt/libvirt-sock",
	};
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(paths); i++) {
		cleanup_fd int fd = dial_now(paths[i]);

		if (fd >= 0)
			return paths[i];
	}
	return paths[G_N_ELEMENTS(paths) - 1];
}

/* Home wants to be there when the job comes. */
static bool early_link(struct arrivals *arrivals, const char *from,
		       struct json_object *body, struct peer_stream *stream)
{
	struct reservation *r = g_hash_table_lookup(arrivals->by_uuid,
						    text_of(body, "uuid"));
	g_autofree char *path = NULL;

	if (!r || strcmp(r->home, from) != 0)
		return false;
	path = boot_socket(arrivals->mvd, r->uuid);
	dial_join(stream, path, LINK_MS, "the microVM has not come");
	return true;
}

bool arrivals_stream(struct arrivals *arrivals, const char *from,
		     const char *op, struct json_object *body,
		     struct peer_stream *stream)
{
	struct reservation *r;

	if (strcmp(op, "link") == 0)
		return early_link(arrivals, from, body, stream);
	r = find(arrivals, from, body);
	if (!r)
		return false;
	if (strcmp(op, "libvirt") == 0) {
		dial_join(stream, libvirt_socket(), 0,
			  "libvirt does not answer there");
	} else if (strcmp(op, "memory") == 0) {
		g_autofree char *path = g_build_filename(r->dir, "memory", NULL);

		dial_join(stream, path, STREAM_MS, "QEMU does not listen there");
	} else {
		return false;
	}
	return true;
}
