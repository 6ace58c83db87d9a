/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/mvsim-json.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 8

struct json_object *sim_json_parse(const char *text, size_t len, size_t most,
				   struct err *err)
{
	struct json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);
	struct json_object *top = NULL;
	enum json_tokener_error error;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	if (len > 0 && len <= most)
		top = json_tokener_parse_ex(tokener, text, (int)len);
	error = json_tokener_get_error(tokener);
	if (error != json_tokener_success || json_tokener_get_parse_end(tokener) != len ||
	    !json_object_is_type(top, json_type_object)) {
		err_set(err, 0, "not a JSON object: %s at byte %zu",
			error == json_tokener_success ? "unexpected text" :
			json_tokener_error_desc(error),
			json_tokener_get_parse_end(tokener));
		json_object_put(top);
		top = NULL;
	}
	json_tokener_free(tokener);
	return top;
}

/* "64M": with a unit of 1024. */
static int bytes_of(const char *text, double *value)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	*value = strtod(text, &end);
	if (end == text)
		return -1;
	if (*end == '\0')
		return 0;
	unit = strchr(units, *end);
	if (!unit || end[1] != '\0')
		return -1;
	*value = ldexp(*value, 10 * (int)(unit - units + 1));
	return 0;
}

static int number_of(struct json_object *json, const struct sim_field *field, double *value)
{
	if (field->type == SIM_BYTES && json_object_is_type(json, json_type_string))
		return bytes_of(json_object_get_string(json), value);
	if (!json_object_is_type(json, json_type_int) &&
	    !json_object_is_type(json, json_type_double))
		return -1;
	*value = json_object_get_double(json);
	return 0;
}

int sim_json_set(double value, const struct sim_field *field, char *base, const char *where,
		 struct err *err)
{
	if (!(value >= field->min && value <= field->max))
		return err_set(err, 0, "%s: \"%s\" must be between %g and %g", where,
			       field->name, field->min, field->max);
	if (field->type != SIM_COUNT) {
		memcpy(base + field->at, &value, sizeof(value));
	} else {
		uint32_t count = (uint32_t)value;

		if (count != value)
			return err_set(err, 0, "%s: \"%s\" is not a whole number", where,
				       field->name);
		memcpy(base + field->at, &count, sizeof(count));
	}
	return 0;
}

int sim_json_number(struct json_object *json, const struct sim_field *field, char *base,
		      const char *where, struct err *err)
{
	double value;

	if (number_of(json, field, &value) < 0)
		return err_set(err, 0, "%s: \"%s\" is not a number%s", where, field->name,
			       field->type == SIM_BYTES ? ", nor a text like \"64M\" (K, M, G, T)" :
			       "");
	return sim_json_set(value, field, base, where, err);
}

static int set_field(struct json_object *json, const struct sim_field *field, char *base,
		     const char *where, struct err *err)
{
	bool value;

	if (field->type == SIM_OTHER)
		return 0;
	if (field->type != SIM_BOOL)
		return sim_json_number(json, field, base, where, err);
	if (!json_object_is_type(json, json_type_boolean))
		return err_set(err, 0, "%s: \"%s\" is not true or false", where,
			       field->name);
	value = json_object_get_boolean(json);
	memcpy(base + field->at, &value, sizeof(value));
	return 0;
}

int sim_json_fields(struct json_object *json, const struct sim_field *fields, void *base,
		       const char *where, struct err *err)
{
	if (!json_object_is_type(json, json_type_object))
		return err_set(err, 0, "%s is not an object", where);
	json_object_object_foreach(json, name, value) {
		const struct sim_field *field = fields;

		while (field->name && strcmp(field->name, name) != 0)
			field++;
		if (!field->name)
			return err_set(err, 0, "%s: there is no field \"%.40s\"", where,
				       name);
		if (set_field(value, field, base, where, err) < 0)
			return -1;
	}
	return 0;
}

struct json_object *sim_json_get(struct json_object *json, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(json, name, &value);
	return value;
}

const char *sim_json_text(struct json_object *json, const char *name)
{
	struct json_object *value = sim_json_get(json, name);

	return json_object_is_type(value, json_type_string) ?
		json_object_get_string(value) : NULL;
}

int sim_json_array(struct json_object *top, const char *name, unsigned most,
		     struct json_object **array, uint32_t *count, struct err *err)
{
	size_t length;

	*array = sim_json_get(top, name);
	*count = 0;
	if (!*array)
		return 0;
	if (!json_object_is_type(*array, json_type_array))
		return err_set(err, 0, "\"%s\" is not a list", name);
	length = json_object_array_length(*array);
	if (length > most)
		return err_set(err, 0, "\"%s\" has %zu entries, at most %u are allowed",
			       name, length, most);
	*count = (uint32_t)length;
	return 0;
}
