/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All members of a cluster but the first, in one process, as the first one's agent sees them.
 *
 *	crowd make DIR N    a cluster of N nodes: the directory of node1, which has the
 *	                    address 127.0.0.1 and port 7480
 *	crowd play DIR [TIMES]
 *	                    be node2 to nodeN, and do all so many times as often as agents
 *	                    do (1). A line "stats" on standard input is answered with what
 *	                    was sent and received, as JSON; the end of the input is the end
 *
 * Theory of operation
 *
 * What the agent gets is made by the code that agents make it with (net/seal,
 * scheduler/gossip-wire, scheduler/swim) and comes as often: each member gossips once a second to
 * one of all the others, and pings another one; of that only what concerns node1 is sent.
 * The members answer pings and challenges, and ping for node1 whom it asks for. What they do
 * among each other is left out:
 *
 *   - They share one detector, which acts for one of them at a time and believes all of
 *     them to be alive. A ping for node1 at another member comes back at once.
 *   - What a member would know of the others' load is drawn: each message has as many entries of
 *     each age as the formulas of scheduler/gossip.h say (mvsim finds the same by simulation).
 *     An entry is what its node would have said of itself at that time.
 *
 * One socket serves all: IP_PKTINFO says which member is meant, and who speaks.
 */
#include "net/cluster-file.h"
#include "net/cluster.h"
#include "net/json.h"
#include "net/seal-key.h"
#include "net/seal.h"
#include "scheduler/gossip-wire.h"
#include "scheduler/swim-member.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define PORT 7480         /* node1's */
#define CROWD_PORT 7481   /* the others': node1 has its own at all addresses */
#define ENTRIES ((SEAL_PAYLOAD_MAX - GOSSIP_HEADER) / GOSSIP_ENTRY)
#define MEASURE 1.0       /* s from a member's measurement of its load to the next */
#define ASK_SHARE 0.03    /* of a member's pings at node1 another member asks for so many */
#define CHALLENGE_GAP 0.5 /* s, as in vmm-agent/mvd-gossip-net.c */
#define SILENT 30.0       /* s; likewise */
#define BUFFER (4 << 20)  /* one socket has the traffic of all */

enum event { EVENT_GOSSIP, EVENT_PING, EVENTS };

struct member {
	struct seal seal;
	struct seal_peer node1;
	uint32_t address; /* network order */
	double due[EVENTS];
	bool wanted[EVENTS]; /* when node1 has proven who it is */
	double asked, heard;
	double phase; /* of the second in which it measures itself */
};

struct count {
	uint64_t datagrams, bytes;
};

static struct crowd {
	int fd;
	unsigned count;       /* members, without node1 */
	struct member *members;
	uint32_t *order;      /* shuffled bit by bit, to draw some of them */
	struct swim swim;
	struct swim_out out;
	struct sched_random random;
	uint64_t node1;
	double period;        /* s from gossip to gossip, and from ping to ping */
	unsigned window;
	double ages[GOSSIP_WINDOW_MAX]; /* of a message's entries, in periods */
	double wall;          /* the clock's offset from the monotonic one */
	struct count in[SEAL_KINDS], sent[SEAL_KINDS];
	uint64_t refused, challenges;
	uint32_t sequence;
} crowd;

static double now_s(void)
{
	return (double)g_get_monotonic_time() / G_USEC_PER_SEC;
}

/* ---- making ---- */

static uint32_t address_of(unsigned number)
{
	/* 127.1.0.2 and so on. */
	return 0x7f010000u + number;
}

static int add_members(struct roster *roster, unsigned count, struct err *err)
{
	struct roster_member member = { .port = CROWD_PORT };
	unsigned i;

	for (i = 2; i <= count; i++) {
		struct in_addr address = { htonl(address_of(i)) };

		g_snprintf(member.name, sizeof(member.name), "node%u", i);
		inet_ntop(AF_INET, &address, member.address, sizeof(member.address));
		pki_hash(member.name, strlen(member.name), member.fingerprint);
		if (roster_add(roster, &member, err) < 0)
			return -1;
	}
	return 0;
}

static int make(const char *dir, unsigned count, struct err *err)
{
	g_autofree char *key = NULL;
	struct cluster *cluster;
	struct roster *roster;
	struct json_object *envelope = NULL;
	int rc = -1;

	if (cluster_init(dir, "node1", "127.0.0.1", PORT, PKI_YEAR_S, err) < 0)
		return -1;
	cluster = cluster_load(dir, err);
	key = cluster_file_read(dir, "ca.key", PKI_MAX_PEM, err);
	if (!cluster || !key)
		return -1;
	roster = roster_copy(cluster->roster);
	if (add_members(roster, count, err) == 0)
		envelope = roster_seal(roster, key, err);
	if (envelope)
		rc = cluster_file_write(dir, "roster.json", json_text(envelope), err);
	json_object_put(envelope);
	roster_free(roster);
	cluster_free(cluster);
	return rc;
}

/* ---- datagrams ---- */

static void add(struct count *count, size_t len)
{
	count->datagrams++;
	count->bytes += len;
}

static void transmit(const struct member *from, enum seal_kind kind, uint8_t *bytes,
		     size_t len)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	union {
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} control = { .bytes = { 0 } };
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes, .msg_controllen = sizeof(control.bytes),
	};
	struct in_pktinfo info = { .ipi_spec_dst.s_addr = from->address };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	if (len > 0 && sendmsg(crowd.fd, &msg, 0) == (ssize_t)len)
		add(&crowd.sent[kind], len);
}

static void challenge(struct member *member, const uint8_t *answer, bool ask)
{
	uint8_t bytes[SEAL_MAX];
	double now = now_s();

	if (ask && !answer && now < member->asked + CHALLENGE_GAP)
		return;
	if (ask) {
		member->asked = now;
		crowd.challenges++;
	}
	transmit(member, SEAL_HELLO, bytes, seal_hello(&member->seal, &member->node1, ask,
						       answer, bytes, sizeof(bytes)));
}

static void send_sealed(struct member *member, enum seal_kind kind, const uint8_t *payload,
			size_t len)
{
	uint8_t bytes[SEAL_MAX];

	transmit(member, kind, bytes, seal_write(&member->seal, &member->node1, kind,
						 payload, len, bytes, sizeof(bytes)));
}

/* ---- gossip ---- */

/* How old the entries of a message are: of age `a` and younger it has as many as the formula says. */
static void draw_ages(void)
{
	unsigned i, nodes = crowd.count + 1, step;

	for (i = 0; i < crowd.window; i++) {
		double low = 0, high = 300;

		for (step = 0; step < 40; step++) {
			double age = (low + high) / 2;

			if (gossip_up_to(nodes, crowd.window, age) < i + 1)
				low = age;
			else
				high = age;
		}
		crowd.ages[i] = high;
	}
}

/* What a member said of itself at its last measurement before that time. */
static void put_entry(uint8_t *out, const struct member *member, double when, double now)
{
	struct sched_node node = {
		.id = member->seal.id, .cpus = 8, .speed = 1, .mem_total = 0x1p35,
		.mem_free = 0x1p34, .net_max = 1e8, .slots = 64,
		.qemu = 7002000, .cpu = 1, .state = SCHED_OPEN,
	};
	double tick = floor((when - member->phase) / MEASURE) * MEASURE + member->phase;

	node.run = node.others = 0.01 * (double)(sched_mix(node.id, (uint64_t)tick) % 100);
	gossip_put_entry(out, &node, (uint64_t)((tick + crowd.wall) * 1000), now - tick);
}

/* Any member but those drawn for this message. */
static const struct member *draw(unsigned drawn)
{
	unsigned at = drawn + (unsigned)sched_random_below(&crowd.random,
							   crowd.count - drawn);
	uint32_t place = crowd.order[at];

	crowd.order[at] = crowd.order[drawn];
	crowd.order[drawn] = place;
	return &crowd.members[place];
}

static void gossip(struct member *member)
{
	struct gossip_header header = { .sender = member->seal.id };
	uint8_t part[GOSSIP_HEADER + ENTRIES * GOSSIP_ENTRY];
	/* Where few are, node1's own entry is among those that it is sent; it would skip it. */
	unsigned left = MIN(crowd.window, crowd.count), done = 0;
	double now = now_s();

	while (left > 0) {
		unsigned i, count = (unsigned)MIN(left, ENTRIES);

		for (i = 0; i < count; i++, done++)
			put_entry(part + GOSSIP_HEADER + i * GOSSIP_ENTRY,
				  done ? draw(done - 1) : member, now - crowd.ages[done] * crowd.period, now);
		header.count = count;
		gossip_put_header(part, &header);
		send_sealed(member, SEAL_GOSSIP, part, GOSSIP_HEADER + count * GOSSIP_ENTRY);
		left -= count;
	}
}

/* ---- the detector ---- */

static struct member *member_of(uint64_t id)
{
	uint32_t place = sched_map_find(&crowd.swim.map, id);

	/* The first of the detector's members is node1. */
	return place == SCHED_MAP_NONE || place == 0 ? NULL : &crowd.members[place - 1];
}

static void act_as(const struct member *member)
{
	crowd.swim.self = member->seal.id;
	crowd.swim.alive = crowd.swim.count;
	/* Each would be at another place of those that it tells of in turn. */
	crowd.swim.refresh = (unsigned)sched_random_below(&crowd.random, crowd.swim.count);
}

/* What the detector has to say, to node1 or within the crowd. */
static void carry_out(struct member *from, unsigned depth)
{
	struct swim_out out = crowd.out;
	unsigned i;

	crowd.out.packet_count = crowd.out.change_count = 0;
	for (i = 0; i < out.packet_count; i++) {
		const struct swim_packet *packet = &out.packets[i];
		struct member *to = member_of(packet->to);

		if (packet->to == crowd.node1) {
			send_sealed(from, SEAL_SWIM, packet->bytes, packet->len);
		} else if (to && depth < 3) {
			act_as(to);
			swim_receive(&crowd.swim, packet->bytes, packet->len, now_s(),
				     &crowd.out, NULL);
			carry_out(to, depth + 1);
		}
	}
}

static void ping(struct member *member)
{
	struct swim_header header = { .kind = SWIM_PING, .target = crowd.node1 };

	if (++crowd.sequence == 0)
		crowd.sequence = 1;
	header.sequence = crowd.sequence;
	if (crowd.count > 1 && sched_random_unit(&crowd.random) < ASK_SHARE) {
		header.kind = SWIM_PING_FOR;
		header.target = draw(0)->seal.id;
	}
	act_as(member);
	swim_send(&crowd.swim, &crowd.out, crowd.node1, &header);
	carry_out(member, 0);
}

static void take_swim(struct member *member, const uint8_t *payload, size_t len)
{
	act_as(member);
	if (swim_receive(&crowd.swim, payload, len, now_s(), &crowd.out, NULL) < 0)
		crowd.refused++;
	carry_out(member, 0);
}

/* ---- events ---- */

static void (*const acts[])(struct member *member) = { gossip, ping };
G_STATIC_ASSERT(G_N_ELEMENTS(acts) == EVENTS);

static void act(struct member *member, enum event event)
{
	if (member->node1.boot == 0) {
		member->wanted[event] = true;
		challenge(member, NULL, true);
		return;
	}
	acts[event](member);
	if (now_s() > member->heard + SILENT)
		challenge(member, NULL, true);
}

static void take_hello(struct member *member, const uint8_t *bytes, const uint8_t *payload,
		       size_t len)
{
	struct seal_heard heard;
	unsigned event;

	if (seal_take_hello(&member->node1, bytes, payload, len, &heard) < 0) {
		crowd.refused++;
		return;
	}
	if (heard.challenges)
		challenge(member, heard.challenge, heard.doubtful);
	else if (heard.doubtful)
		challenge(member, NULL, true);
	for (event = 0; event < EVENTS; event++)
		if (heard.proven && member->wanted[event]) {
			member->wanted[event] = false;
			acts[event](member);
		}
}

static void take(struct member *member, const uint8_t *bytes, size_t len)
{
	uint8_t payload[SEAL_PAYLOAD_MAX];
	enum seal_kind kind;
	size_t used;
	enum seal_verdict verdict = seal_open(&member->seal, &member->node1, bytes, len, &kind,
					      payload, &used);

	if (verdict == SEAL_UNPROVEN)
		challenge(member, NULL, true);
	if (verdict != SEAL_GOOD) {
		crowd.refused += verdict != SEAL_UNPROVEN;
		return;
	}
	add(&crowd.in[kind], len);
	member->heard = now_s();
	if (kind == SEAL_HELLO)
		take_hello(member, bytes, payload, used);
	else if (kind == SEAL_SWIM)
		take_swim(member, payload, used);
}

static void receive(void)
{
	uint8_t bytes[2048];
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	union {
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
		struct cmsghdr align;
	} control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	ssize_t len = recvmsg(crowd.fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *c = len >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	struct in_pktinfo info;
	uint32_t number;

	if (!c)
		return;
	memcpy(&info, CMSG_DATA(c), sizeof(info));
	number = ntohl(info.ipi_addr.s_addr) - address_of(2);
	if (number < crowd.count)
		take(&crowd.members[number], bytes, (size_t)len);
}

/* Each does something once a period, and the other is node1 as often as any of its others. */
static void look_at(struct member *member, double now)
{
	unsigned event;

	for (event = 0; event < EVENTS; event++)
		if (now >= member->due[event]) {
			member->due[event] += crowd.period;
			if (sched_random_below(&crowd.random, crowd.count) == 0)
				act(member, (enum event)event);
		}
}

/* ---- beginning ---- */

static int open_socket(struct err *err)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(CROWD_PORT) };
	int on = 1, size = BUFFER;

	crowd.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (crowd.fd < 0 ||
	    setsockopt(crowd.fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0 ||
	    bind(crowd.fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, errno, "cannot have UDP port %d", CROWD_PORT);
	if (setsockopt(crowd.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		return err_set(err, errno, "cannot receive for all members");
	return 0;
}

static int begin_member(struct member *member, const char *name, const struct seal_key *key,
			struct err *err)
{
	unsigned event;

	if (seal_init(&member->seal, name, err) < 0)
		return -1;
	member->seal.key = *key;
	seal_peer_init(&member->node1, "node1");
	member->phase = sched_random_unit(&crowd.random);
	for (event = 0; event < EVENTS; event++)
		member->due[event] = now_s() + crowd.period * sched_random_unit(&crowd.random);
	return swim_add(&crowd.swim, member->seal.id, &crowd.random);
}

/* They have been alive for long, and that is no news. */
static void begin_detector(unsigned nodes)
{
	struct swim_config config;

	swim_config_default(&config);
	swim_init(&crowd.swim, g_malloc0(swim_size(nodes)), nodes, 0, &config, now_s());
	swim_add(&crowd.swim, crowd.node1, &crowd.random);
}

static int begin_members(const struct roster *roster, const struct seal_key *key,
			 struct err *err)
{
	unsigned i;

	for (i = 0; i < crowd.count; i++) {
		struct member *member = &crowd.members[i];

		member->address = htonl(address_of(i + 2));
		crowd.order[i] = i;
		if (begin_member(member, roster->members[i + 1].name, key, err) < 0)
			return -1;
		crowd.swim.members[i + 1].state = SWIM_ALIVE;
	}
	crowd.swim.note = (uint64_t)roster->serial;
	return 0;
}

static int begin(const char *dir, struct err *err)
{
	struct cluster *cluster = cluster_load(dir, err);
	struct seal_key key;
	int rc;

	if (!cluster || seal_key_load(dir, &key, err) < 0)
		return -1;
	crowd.count = cluster->roster->count - 1;
	crowd.members = g_new0(struct member, crowd.count);
	crowd.order = g_new0(uint32_t, crowd.count);
	crowd.node1 = seal_id("node1");
	crowd.window = gossip_window(crowd.count + 1, ENTRIES);
	crowd.wall = (double)g_get_real_time() / G_USEC_PER_SEC - now_s();
	sched_random_seed(&crowd.random, 1);
	draw_ages();
	begin_detector(crowd.count + 1);
	rc = begin_members(cluster->roster, &key, err);
	cluster_free(cluster);
	return rc < 0 ? rc : open_socket(err);
}

/* ---- what is said ---- */

static void add_counts(struct json_object *json, const char *name, const struct count *counts)
{
	static const char *const kinds[] = { [SEAL_HELLO] = "hello", [SEAL_GOSSIP] = "gossip",
					     [SEAL_SWIM] = "detector" };
	struct json_object *all = json_object_new_object();
	unsigned kind;

	for (kind = SEAL_HELLO; kind < SEAL_KINDS; kind++) {
		struct json_object *one = json_object_new_object();

		json_add_int(one, "datagrams", (int64_t)counts[kind].datagrams);
		json_add_int(one, "bytes", (int64_t)counts[kind].bytes);
		json_object_object_add(all, kinds[kind], one);
	}
	json_object_object_add(json, name, all);
}

/* `in` and `out` as the agent sees them. */
static void tell(void)
{
	struct json_object *json = json_object_new_object();
	unsigned nodes = crowd.count + 1;

	add_counts(json, "in", crowd.sent);
	add_counts(json, "out", crowd.in);
	json_add_int(json, "refused", (int64_t)crowd.refused);
	json_add_int(json, "window", crowd.window);
	/* In a window for all the formula has no value. */
	if (crowd.window < nodes)
		json_object_object_add(json, "average_age", json_object_new_double(
			gossip_average_age(nodes, crowd.window)));
	puts(json_text(json));
	fflush(stdout);
	json_object_put(json);
}

static void play(void)
{
	struct pollfd fds[] = { { .fd = crowd.fd, .events = POLLIN },
				{ .fd = STDIN_FILENO, .events = POLLIN } };
	char line[64];
	unsigned i;

	for (;;) {
		double now = now_s();

		for (i = 0; i < crowd.count; i++)
			look_at(&crowd.members[i], now);
		poll(fds, G_N_ELEMENTS(fds), 10);
		/* A line at a time: nobody writes the next one before the answer. */
		if (fds[1].revents && read(STDIN_FILENO, line, sizeof(line)) <= 0)
			return;
		if (fds[1].revents)
			tell();
		for (i = 0; i < 64 && fds[0].revents; i++)
			receive();
	}
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	int rc = -1;

	crowd.period = argc == 4 && atof(argv[3]) > 0 ? 1 / atof(argv[3]) : 1;
	if (argc == 4 && strcmp(argv[1], "make") == 0)
		rc = make(argv[2], (unsigned)atoi(argv[3]), &err);
	else if ((argc == 3 || argc == 4) && strcmp(argv[1], "play") == 0)
		rc = begin(argv[2], &err);
	else
		err_set(&err, 0, "usage: crowd make DIR N, or crowd play DIR [TIMES]");
	if (rc < 0) {
		fprintf(stderr, "crowd: %s\n", err.text);
		return 1;
	}
	if (strcmp(argv[1], "play") == 0)
		play();
	return 0;
}
