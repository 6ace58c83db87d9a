/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON from others: strict parsing, and fields that are what they should be.
 */
#ifndef MV_NET_JSON_H
#define MV_NET_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_MAX_DEPTH 16

/* NULL when the bytes are anything but one JSON object, in UTF-8. */
struct json_object *json_parse_object(const char *bytes, size_t len);

/* On one line, without blanks. Borrowed from the object. */
const char *json_text(struct json_object *object);

/* A string field without NULs inside, borrowed; NULL when there is none. Any
 * `object` will do. */
const char *json_peek_string(struct json_object *object, const char *field);
/* A copy; false when there is none, it is empty, or does not fit. */
bool json_get_string(struct json_object *object, const char *field, char *to,
		     size_t size);
/* False when there is none, or it is out of the range. */
bool json_get_int(struct json_object *object, const char *field, int64_t min,
		  int64_t max, int64_t *to);
/* An object field, borrowed; NULL when there is none. */
struct json_object *json_peek_object(struct json_object *object,
				     const char *field);

void json_add_string(struct json_object *object, const char *field,
		     const char *value);
void json_add_int(struct json_object *object, const char *field,
		  int64_t value);

#endif
