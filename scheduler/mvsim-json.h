/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON from others, read strictly into structures by tables of fields. */
#ifndef MV_SCHED_MVSIM_JSON_H
#define MV_SCHED_MVSIM_JSON_H

#include "net/err.h"

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>

/* Into a double, a double in bytes ("64M" too), a uint32_t, a bool; or nothing: the
 * caller reads it. */
enum sim_field_type { SIM_NUMBER, SIM_BYTES, SIM_COUNT, SIM_BOOL, SIM_OTHER };

struct sim_field {
	const char *name;
	enum sim_field_type type;
	size_t at; /* in the structure */
	double min, max;
};

/* One object and nothing else, of at most `most` bytes; to be put. */
struct json_object *sim_json_parse(const char *text, size_t len, size_t most,
				   struct err *err);

/* All fields of an object, by a table that ends with a NULL name; a field that is
 * not in it is refused. `where` is for messages. */
int sim_json_fields(struct json_object *json, const struct sim_field *fields, void *base,
		    const char *where, struct err *err);
/* A number where the field says, if it is in its range. */
int sim_json_set(double value, const struct sim_field *field, char *base, const char *where,
		 struct err *err);
int sim_json_number(struct json_object *json, const struct sim_field *field, char *base,
		    const char *where, struct err *err);

/* Borrowed; NULL when there is none, or, of the text, when it is none. */
struct json_object *sim_json_get(struct json_object *json, const char *name);
const char *sim_json_text(struct json_object *json, const char *name);
/* No list has length 0. */
int sim_json_array(struct json_object *top, const char *name, unsigned most,
		   struct json_object **array, uint32_t *count, struct err *err);

#endif
