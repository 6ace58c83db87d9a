/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/agent-client.h"

#include "net/cleanup.h"
#include "vmm-agent/agent-paths.h"
#include "vmm-agent/agent-spawn.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HELLO_WAIT_MS 15000
#define SEND_WAIT_MS 10000
#define MAX_WAITING_FDS 4

/*
 * Descriptors travel beside the bytes, with the first byte of their message at
 * the latest read that returns it. They wait in `fds` until the message that
 * they belong to, an `attach`, is taken.
 */
struct agent {
	int fd;
	char path[PATH_MAX];
	char *node;
	char *buffer;
	size_t used, size, scanned;
	int fds[MAX_WAITING_FDS];
	unsigned nfds;
	struct json_tokener *tokener;
};

void agent_free(struct agent *agent)
{
	unsigned i;

	if (!agent)
		return;
	for (i = 0; i < agent->nfds; i++)
		close(agent->fds[i]);
	cleanup_fd_(&agent->fd);
	json_tokener_free(agent->tokener);
	free(agent->node);
	free(agent->buffer);
	free(agent);
}

int agent_fd(const struct agent *agent)
{
	return agent->fd;
}

const char *agent_node(const struct agent *agent)
{
	return agent->node ? agent->node : "";
}

const char *agent_socket(const struct agent *agent)
{
	return agent->path;
}

/* Wait for `events` until `deadline` (ms, -1: for ever). 1 ready, 0 timed out. */
static int wait_fd(int fd, short events, int64_t deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int64_t left = -1;
	int n;

	do {
		if (deadline >= 0) {
			left = deadline - agent_now_ms();
			if (left < 0)
				left = 0;
		}
		n = poll(&pfd, 1, (int)left);
	} while (n < 0 && errno == EINTR);
	return n;
}

static int send_all(struct agent *agent, const char *bytes, size_t len,
		    struct err *err)
{
	int64_t deadline = agent_now_ms() + SEND_WAIT_MS;
	ssize_t n;

	while (len > 0) {
		n = send(agent->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return err_set(err, errno == EPIPE ? ECONNRESET : errno,
				       "cannot write to the agent");
		if (wait_fd(agent->fd, POLLOUT, deadline) == 0)
			return err_set(err, ETIMEDOUT,
				       "cannot write to the agent");
	}
	return 0;
}

int agent_send(struct agent *agent, struct json_object *message,
	       struct err *err)
{
	const char *text = json_object_to_json_string_ext(
		message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	size_t len;

	if (!text)
		return err_set(err, ENOMEM, "cannot write to the agent");
	len = strlen(text);
	if (len + 1 > AGENT_MAX_LINE)
		return err_set(err, EMSGSIZE, "cannot write to the agent");
	if (send_all(agent, text, len, err) < 0)
		return -1;
	return send_all(agent, "\n", 1, err);
}

int agent_send_op(struct agent *agent, const char *op, const char *uuid,
		  struct err *err)
{
	struct json_object *message = json_object_new_object();
	int rc;

	json_object_object_add(message, "op", json_object_new_string(op));
	if (uuid)
		json_object_object_add(message, "uuid",
				       json_object_new_string(uuid));
	rc = agent_send(agent, message, err);
	json_object_put(message);
	return rc;
}

static void keep_fds(struct agent *agent, struct msghdr *msg)
{
	struct cmsghdr *c;
	size_t i, n;
	int fd;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (agent->nfds < MAX_WAITING_FDS)
				agent->fds[agent->nfds++] = fd;
			else
				close(fd);
		}
	}
}

static int grow(struct agent *agent, struct err *err)
{
	size_t size = agent->size ? agent->size * 2 : 16384;
	char *buffer;

	if (agent->used < agent->size)
		return 0;
	if (size > AGENT_MAX_ANSWER)
		return err_set(err, EMSGSIZE, "the agent sent too long a line");
	buffer = realloc(agent->buffer, size);
	if (!buffer)
		return err_set(err, ENOMEM, "cannot read from the agent");
	agent->buffer = buffer;
	agent->size = size;
	return 0;
}

/* Read once without waiting. 1: got bytes, 0: none there, -1: error or end. */
static int read_some(struct agent *agent, struct err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * MAX_WAITING_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	if (grow(agent, err) < 0)
		return -1;
	iov.iov_base = agent->buffer + agent->used;
	iov.iov_len = agent->size - agent->used;
	n = recvmsg(agent->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return err_set(err, ECONNRESET, "the connection to the agent failed");
	keep_fds(agent, &msg);
	if (n == 0)
		return err_set(err, ECONNRESET,
			       "the agent closed the connection");
	agent->used += (size_t)n;
	return 1;
}

static int parse_line(struct agent *agent, size_t len,
		      struct json_object **message, struct err *err)
{
	struct json_object *object;

	json_tokener_reset(agent->tokener);
	object = json_tokener_parse_ex(agent->tokener, agent->buffer, (int)len);
	if (!json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		return err_set(err, EPROTO,
			       "the agent sent what is no message of its protocol");
	}
	*message = object;
	return 0;
}

/* 1: a whole line was there and is now *message. */
static int take_line(struct agent *agent, struct json_object **message,
		     struct err *err)
{
	char *end;
	size_t len;

	end = agent->used == agent->scanned ? NULL :
		memchr(agent->buffer + agent->scanned, '\n',
		       agent->used - agent->scanned);
	if (!end) {
		agent->scanned = agent->used;
		return 0;
	}
	len = (size_t)(end - agent->buffer) + 1;
	if (parse_line(agent, len, message, err) < 0)
		return -1;
	memmove(agent->buffer, agent->buffer + len, agent->used - len);
	agent->used -= len;
	agent->scanned = 0;
	return 1;
}

static int take_fd(struct agent *agent, struct json_object *message)
{
	int fd;

	if (strcmp(agent_string(message, "event"), "attach") != 0 ||
	    agent->nfds == 0)
		return -1;
	fd = agent->fds[0];
	agent->nfds--;
	memmove(agent->fds, agent->fds + 1, agent->nfds * sizeof(int));
	return fd;
}

int agent_receive(struct agent *agent, int timeout_ms,
		  struct json_object **message, int *fd, struct err *err)
{
	int64_t deadline = timeout_ms < 0 ? -1 : agent_now_ms() + timeout_ms;
	int rc;

	*message = NULL;
	*fd = -1;
	while ((rc = take_line(agent, message, err)) == 0) {
		rc = read_some(agent, err);
		if (rc < 0)
			return -1;
		if (rc == 0 && wait_fd(agent->fd, POLLIN, deadline) == 0)
			return 0;
	}
	if (rc > 0)
		*fd = take_fd(agent, *message);
	return rc;
}

const char *agent_string(struct json_object *message, const char *field)
{
	struct json_object *value;

	if (!json_object_object_get_ex(message, field, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

long long agent_number(struct json_object *message, const char *field)
{
	struct json_object *value;

	if (!json_object_object_get_ex(message, field, &value))
		return 0;
	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value);
	if (!json_object_is_type(value, json_type_int))
		return 0;
	return json_object_get_int64(value);
}

static int send_hello(struct agent *agent, const char *program,
		      struct err *err)
{
	struct json_object *hello = json_object_new_object();
	int rc;

	json_object_object_add(hello, "op", json_object_new_string("hello"));
	json_object_object_add(hello, "version",
			       json_object_new_int(AGENT_PROTOCOL_VERSION));
	json_object_object_add(hello, "program",
			       json_object_new_string(program));
	rc = agent_send(agent, hello, err);
	json_object_put(hello);
	return rc;
}

static int check_hello(struct agent *agent, struct json_object *hello,
		       struct err *err)
{
	if (strcmp(agent_string(hello, "event"), "error") == 0)
		return err_set(err, 0, "the agent refused: %s",
			       agent_string(hello, "text"));
	if (strcmp(agent_string(hello, "event"), "hello") != 0)
		return err_set(err, EPROTO, "%s is no agent's socket",
			       agent->path);
	if (agent_number(hello, "version") != AGENT_PROTOCOL_VERSION)
		return err_set(err, 0,
			       "the agent (mvd %s) speaks version %lld of the "
			       "protocol, this program version %d (restart mvd "
			       "after an upgrade)", agent_string(hello, "mvd"),
			       agent_number(hello, "version"),
			       AGENT_PROTOCOL_VERSION);
	agent->node = strdup(agent_string(hello, "node"));
	return 0;
}

static int exchange_hellos(struct agent *agent, const char *program,
			   struct err *err)
{
	struct json_object *hello;
	int fd, rc;

	if (send_hello(agent, program, err) < 0)
		return -1;
	rc = agent_receive(agent, HELLO_WAIT_MS, &hello, &fd, err);
	if (rc == 0)
		return err_set(err, ETIMEDOUT,
			       "the agent at %s does not answer", agent->path);
	if (rc < 0)
		return -1;
	rc = check_hello(agent, hello, err);
	json_object_put(hello);
	return rc;
}

/* An agent sees commands and holds transports: only root's or one's own. Root may
 * talk to any, where it gives nothing away. */
static int check_peer(int fd, const char *path, unsigned flags, struct err *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return err_set(err, errno, "cannot identify the agent at %s",
			       path);
	if (geteuid() == 0 && flags & AGENT_OF_OTHERS)
		return 0;
	if (cred.uid != 0 && cred.uid != geteuid())
		return err_set(err, EPERM, "the agent at %s belongs to user %u",
			       path, (unsigned)cred.uid);
	return 0;
}

/* Returns a connected descriptor or -1; num says whether nobody was there. */
static int connect_path(const char *path, unsigned flags, struct err *err)
{
	cleanup_fd int fd = -1;
	struct sockaddr_un address;

	if (agent_address(&address, path, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(err, errno, "cannot reach the agent at %s", path);
	if (check_peer(fd, path, flags, err) < 0)
		return -1;
	return steal_fd(&fd);
}

static bool nobody_there(const struct err *err)
{
	return err->num == ENOENT || err->num == ECONNREFUSED ||
	       err->num == ENOTDIR;
}

static int private_socket(char *path, size_t size, struct err *err)
{
	char dir[PATH_MAX - sizeof(AGENT_SOCKET_NAME)];

	if (agent_private_dir(dir, sizeof(dir), false, err) < 0)
		return -1;
	snprintf(path, size, "%s/" AGENT_SOCKET_NAME, dir);
	return 0;
}

/* Connect to the first agent that answers; its path goes to `path`. */
static int connect_any(char *path, size_t size, unsigned flags, struct err *err)
{
	const char *named = getenv("MONOVISOR_SOCKET");
	int fd;

	if (named && *named) {
		snprintf(path, size, "%s", named);
		return connect_path(path, flags, err);
	}
	snprintf(path, size, "%s", AGENT_SYSTEM_SOCKET);
	fd = connect_path(path, flags, err);
	if (fd >= 0 || !nobody_there(err) || geteuid() == 0)
		return fd;
	if (private_socket(path, size, err) < 0)
		return -1;
	return connect_path(path, flags, err);
}

static int no_agent(struct err *err)
{
	const char *named = getenv("MONOVISOR_SOCKET");
	int num = err->num;

	if (named && *named)
		err_set(err, num, "no agent answers at %s, which "
			"MONOVISOR_SOCKET names", named);
	else if (geteuid() == 0)
		err_set(err, 0, "no agent runs on this node (start it with "
			"\"mvd --daemonize\", see mvd(8))");
	else
		err_set(err, 0, "no agent runs on this node (start your own with "
			"\"mvd --session --daemonize\", see mvd(8))");
	err->num = num;
	return -1;
}

static int connect_or_start(struct agent *agent, unsigned flags,
			    struct err *err)
{
	const char *named = getenv("MONOVISOR_SOCKET");
	struct err started = { 0 };

	agent->fd = connect_any(agent->path, sizeof(agent->path), flags, err);
	if (agent->fd >= 0)
		return 0;
	if (!nobody_there(err))
		return -1;
	if (!(flags & AGENT_START) || (named && *named))
		return no_agent(err);
	/* Another client may start one at the same moment: what counts is
	 * whether one answers now. */
	agent_spawn(&started);
	agent->fd = connect_any(agent->path, sizeof(agent->path), flags, err);
	if (agent->fd >= 0)
		return 0;
	if (started.text[0])
		*err = started;
	return -1;
}

static int connect_and_greet(struct agent *agent, unsigned flags,
			     const char *program, struct err *err)
{
	if (connect_or_start(agent, flags, err) < 0)
		return -1;
	return exchange_hellos(agent, program, err);
}

int agent_connect(struct agent **out, unsigned flags, const char *program,
		  struct err *err)
{
	struct err scratch = { 0 };
	struct agent *agent = calloc(1, sizeof(*agent));
	int rc;

	if (!err)
		err = &scratch;
	if (agent) {
		agent->fd = -1;
		agent->tokener = json_tokener_new();
	}
	if (!agent || !agent->tokener) {
		agent_free(agent);
		return err_set(err, ENOMEM, "cannot connect to the agent");
	}
	rc = connect_and_greet(agent, flags, program, err);
	if (rc < 0 && err->num == ECONNRESET && (flags & AGENT_START)) {
		/* A private agent that was just about to end for want of work. */
		cleanup_fd_(&agent->fd);
		agent->fd = -1;
		agent->used = agent->scanned = 0;
		rc = connect_and_greet(agent, flags, program, err);
	}
	if (rc < 0) {
		agent_free(agent);
		return -1;
	}
	*out = agent;
	return 0;
}
