/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/json.h"

#include <limits.h>
#include <string.h>

struct json_object *json_parse_object(const char *bytes, size_t len)
{
	struct json_tokener *tokener = json_tokener_new_ex(JSON_MAX_DEPTH);
	struct json_object *object = NULL;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT |
			       JSON_TOKENER_VALIDATE_UTF8);
	if (len > 0 && len <= INT_MAX)
		object = json_tokener_parse_ex(tokener, bytes, (int)len);
	if (json_tokener_get_error(tokener) != json_tokener_success ||
	    json_tokener_get_parse_end(tokener) != len ||
	    !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

const char *json_text(struct json_object *object)
{
	return json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN |
					      JSON_C_TO_STRING_NOSLASHESCAPE);
}

static struct json_object *peek(struct json_object *object, const char *field,
				enum json_type type)
{
	struct json_object *value;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, field, &value) ||
	    !json_object_is_type(value, type))
		return NULL;
	return value;
}

const char *json_peek_string(struct json_object *object, const char *field)
{
	struct json_object *value = peek(object, field, json_type_string);
	const char *text;

	if (!value)
		return NULL;
	text = json_object_get_string(value);
	if (strlen(text) != (size_t)json_object_get_string_len(value))
		return NULL;
	return text;
}

bool json_get_string(struct json_object *object, const char *field, char *to,
		     size_t size)
{
	const char *text = json_peek_string(object, field);
	size_t len = text ? strlen(text) : 0;

	if (len == 0 || len >= size)
		return false;
	memcpy(to, text, len + 1);
	return true;
}

bool json_get_int(struct json_object *object, const char *field, int64_t min,
		  int64_t max, int64_t *to)
{
	struct json_object *value = peek(object, field, json_type_int);
	int64_t number;

	if (!value)
		return false;
	/* Beyond its range json-c gives the nearest number. */
	number = json_object_get_int64(value);
	if (number < min || number > max)
		return false;
	*to = number;
	return true;
}

struct json_object *json_peek_object(struct json_object *object,
				     const char *field)
{
	return peek(object, field, json_type_object);
}

void json_add_string(struct json_object *object, const char *field,
		     const char *value)
{
	json_object_object_add(object, field,
			       json_object_new_string(value ? value : ""));
}

void json_add_int(struct json_object *object, const char *field,
		  int64_t value)
{
	json_object_object_add(object, field, json_object_new_int64(value));
}
