/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-protocol.h"

#include <assert.h>
#include <ctype.h>
#include <stddef.h>
#include <string.h>

#define MAX_DEPTH 8 /* of nested JSON values; ours has one level */

static const char *const op_names[] = {
	[REQUEST_HELLO] = "hello",
	[REQUEST_RUN] = "run",
	[REQUEST_ATTACH] = "attach",
	[REQUEST_STARTED] = "started",
	[REQUEST_BOOT_FAILED] = "boot-failed",
	[REQUEST_STOPPING] = "stopping",
	[REQUEST_RUNNING] = "running",
	[REQUEST_UP] = "up",
	[REQUEST_STALE] = "stale",
	[REQUEST_JOBS] = "jobs",
	[REQUEST_INFO] = "info",
	[REQUEST_SUSPEND] = "suspend",
	[REQUEST_RESUME] = "resume",
	[REQUEST_KILL] = "kill",
	[REQUEST_MIGRATE] = "migrate",
	[REQUEST_WHY] = "why",
	[REQUEST_CLUSTER] = "cluster",
	[REQUEST_NODES] = "nodes",
	[REQUEST_DOCTOR] = "doctor",
	[REQUEST_SCHEDULE] = "schedule",
};
static_assert(sizeof(op_names) / sizeof(op_names[0]) == REQUEST_COUNT,
	      "each operation has a name");

enum field_type {
	FIELD_NUMBER, /* 0 to UINT32_MAX */
	FIELD_BOOL,
	FIELD_UUID,
	FIELD_TEXT, /* refused when longer than the field */
	FIELD_CUT,  /* cut when longer than the field, at a character */
};

#define OP(name) (1u << REQUEST_##name)
#define OWNER_OPS (OP(RUN) | OP(ATTACH) | OP(STARTED) | OP(BOOT_FAILED) | \
		   OP(STOPPING) | OP(RUNNING) | OP(UP) | OP(STALE))
#define JOB_OPS (OP(INFO) | OP(SUSPEND) | OP(RESUME) | OP(KILL) | \
		 OP(MIGRATE) | OP(WHY))
/* What mvrun says about the copy it is linked to. */
#define LINKED_OPS (OWNER_OPS & ~OP(RUN))
#define MEMBER(m) offsetof(struct request, m), sizeof(((struct request *)0)->m)

/* Which operation has which field, and where it goes. */
static const struct field {
	const char *name;
	enum field_type type;
	size_t offset, size;
	unsigned ops;      /* that have it */
	unsigned required; /* that must have it */
} fields[] = {
	{ "version", FIELD_NUMBER, MEMBER(version), OP(HELLO), OP(HELLO) },
	{ "uuid", FIELD_UUID, MEMBER(uuid), OWNER_OPS, OWNER_OPS },
	{ "name", FIELD_CUT, MEMBER(name), OWNER_OPS, 0 },
	{ "command", FIELD_CUT, MEMBER(command), OWNER_OPS, OP(RUN) },
	{ "on", FIELD_TEXT, MEMBER(on), OP(RUN), 0 },
	{ "not_on", FIELD_TEXT, MEMBER(not_on), OP(RUN), 0 },
	{ "near", FIELD_TEXT, MEMBER(near), OP(RUN), 0 },
	{ "group", FIELD_TEXT, MEMBER(group), OP(RUN), 0 },
	{ "kind", FIELD_TEXT, MEMBER(kind), OP(RUN), 0 },
	{ "best", FIELD_BOOL, MEMBER(best), OP(RUN), 0 },
	{ "nowait", FIELD_BOOL, MEMBER(nowait), OP(RUN), 0 },
	{ "home_patience", FIELD_NUMBER, MEMBER(home_patience), OP(RUN), 0 },
	{ "host", FIELD_TEXT, MEMBER(host), LINKED_OPS, 0 },
	{ "incarnation", FIELD_NUMBER, MEMBER(incarnation), LINKED_OPS, 0 },
	{ "to", FIELD_TEXT, MEMBER(to), OP(MIGRATE), OP(MIGRATE) },
	{ "postcopy", FIELD_BOOL, MEMBER(postcopy), OP(MIGRATE), 0 },
	{ "memory", FIELD_NUMBER, MEMBER(memory), OP(RUN), 0 },
	{ "cpus", FIELD_NUMBER, MEMBER(cpus), OP(RUN), 0 },
	{ "pin", FIELD_BOOL, MEMBER(pin), OP(RUN), 0 },
	{ "home", FIELD_BOOL, MEMBER(home), OP(RUN), 0 },
	{ "all", FIELD_BOOL, MEMBER(all), OP(JOBS), 0 },
	{ "job", FIELD_TEXT, MEMBER(job), JOB_OPS, JOB_OPS },
	{ "signal", FIELD_NUMBER, MEMBER(signal), OP(KILL), OP(KILL) },
	{ "action", FIELD_TEXT, MEMBER(cluster.action), OP(CLUSTER) | OP(SCHEDULE),
	  OP(CLUSTER) | OP(SCHEDULE) },
	{ "host", FIELD_TEXT, MEMBER(cluster.host), OP(CLUSTER), 0 },
	{ "token", FIELD_TEXT, MEMBER(cluster.token), OP(CLUSTER), 0 },
	{ "node", FIELD_TEXT, MEMBER(cluster.node), OP(CLUSTER) | OP(SCHEDULE), 0 },
	{ "name", FIELD_TEXT, MEMBER(cluster.name), OP(CLUSTER) | OP(SCHEDULE), 0 },
	{ "value", FIELD_TEXT, MEMBER(value), OP(SCHEDULE), 0 },
	{ "address", FIELD_TEXT, MEMBER(cluster.address), OP(CLUSTER), 0 },
	{ "port", FIELD_NUMBER, MEMBER(cluster.port), OP(CLUSTER), 0 },
};

const char *request_name(enum request_op op)
{
	return op < REQUEST_COUNT ? op_names[op] : "";
}

bool uuid_normalize(char out[UUID_TEXT_SIZE], const char *text)
{
	size_t i;

	for (i = 0; i < UUID_TEXT_SIZE - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
			return false;
		out[i] = (char)tolower((unsigned char)text[i]);
	}
	out[i] = '\0';
	return text[i] == '\0';
}

static int get_number(const struct field *f, void *to, struct json_object *v,
		      struct err *err)
{
	uint32_t *number = to;
	int64_t value;

	if (!json_object_is_type(v, json_type_int))
		return err_set(err, 0, "the field \"%s\" is not a number",
			       f->name);
	value = json_object_get_int64(v);
	if (value < 0 || value > UINT32_MAX)
		return err_set(err, 0, "the field \"%s\" is out of range",
			       f->name);
	*number = (uint32_t)value;
	return 0;
}

static int get_bool(const struct field *f, void *to, struct json_object *v,
		    struct err *err)
{
	bool *flag = to;

	if (!json_object_is_type(v, json_type_boolean))
		return err_set(err, 0, "the field \"%s\" is neither true nor "
			       "false", f->name);
	*flag = json_object_get_boolean(v);
	return 0;
}

/* The string of a field, free of NULs; *len is its length. */
static const char *get_text(const struct field *f, struct json_object *v,
			    size_t *len, struct err *err)
{
	const char *text;

	if (!json_object_is_type(v, json_type_string)) {
		err_set(err, 0, "the field \"%s\" is not a string", f->name);
		return NULL;
	}
	text = json_object_get_string(v);
	*len = (size_t)json_object_get_string_len(v);
	if (strlen(text) != *len) {
		err_set(err, 0, "the field \"%s\" has a NUL inside", f->name);
		return NULL;
	}
	return text;
}

/* Not in the middle of a UTF-8 character. */
static size_t cut_length(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

static int get_string(const struct field *f, char *to, struct json_object *v,
		      struct err *err)
{
	size_t len;
	const char *text = get_text(f, v, &len, err);

	if (!text)
		return -1;
	if (f->type == FIELD_UUID) {
		if (!uuid_normalize(to, text))
			return err_set(err, 0, "the field \"%s\" is not a UUID",
				       f->name);
		return 0;
	}
	if (f->type == FIELD_TEXT && (len == 0 || len >= f->size))
		return err_set(err, 0, "the field \"%s\" is empty or longer than "
			       "%zu bytes", f->name, f->size - 1);
	len = cut_length(text, len, f->size - 1);
	memcpy(to, text, len);
	to[len] = '\0';
	return 0;
}

static int get_field(struct request *request, const struct field *f,
		     struct json_object *object, struct err *err)
{
	void *to = (char *)request + f->offset;
	unsigned op = 1u << request->op;
	struct json_object *v;

	if (!(f->ops & op))
		return 0;
	if (!json_object_object_get_ex(object, f->name, &v)) {
		if (f->required & op)
			return err_set(err, 0, "the field \"%s\" is missing",
				       f->name);
		return 0;
	}
	switch (f->type) {
	case FIELD_NUMBER:
		return get_number(f, to, v, err);
	case FIELD_BOOL:
		return get_bool(f, to, v, err);
	default:
		return get_string(f, to, v, err);
	}
}

static int get_op(struct request *request, struct json_object *object,
		  struct err *err)
{
	struct json_object *v;
	const char *name;
	size_t len;
	unsigned op;

	if (!json_object_object_get_ex(object, "op", &v) ||
	    !json_object_is_type(v, json_type_string))
		return err_set(err, 0, "the message has no \"op\"");
	name = json_object_get_string(v);
	len = (size_t)json_object_get_string_len(v);
	for (op = 0; op < REQUEST_COUNT; op++)
		if (strlen(op_names[op]) == len &&
		    memcmp(op_names[op], name, len) == 0) {
			request->op = op;
			return 0;
		}
	return err_set(err, 0, "the operation is unknown");
}

/* NULL when the line is anything but one JSON object. */
static struct json_object *parse_object(const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);
	struct json_object *object = NULL;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT |
			       JSON_TOKENER_VALIDATE_UTF8);
	if (len > 0 && len <= INT32_MAX)
		object = json_tokener_parse_ex(tokener, line, (int)len);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    json_tokener_get_parse_end(tokener) != len ||
	    !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

int request_parse(struct request *request, const char *line, size_t len,
		  struct err *err)
{
	struct json_object *object = parse_object(line, len);
	size_t i;
	int rc;

	memset(request, 0, sizeof(*request));
	if (!object)
		return err_set(err, 0, "the line is not a JSON object");
	rc = get_op(request, object, err);
	for (i = 0; rc == 0 && i < sizeof(fields) / sizeof(fields[0]); i++)
		rc = get_field(request, &fields[i], object, err);
	json_object_put(object);
	return rc;
}

struct json_object *event_new(const char *name)
{
	struct json_object *event = json_object_new_object();

	event_add_string(event, "event", name);
	return event;
}

void event_add_string(struct json_object *event, const char *field,
		      const char *value)
{
	json_object_object_add(event, field,
			       json_object_new_string(value ? value : ""));
}

void event_add_number(struct json_object *event, const char *field,
		      int64_t value)
{
	json_object_object_add(event, field, json_object_new_int64(value));
}

void event_add_bool(struct json_object *event, const char *field, bool value)
{
	json_object_object_add(event, field, json_object_new_boolean(value));
}
