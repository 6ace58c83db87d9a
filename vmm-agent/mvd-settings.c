/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-settings.h"

#include <errno.h>
#include <glib.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MAX_FILE (64 * 1024)

enum type { YES_NO, USE, COUNT, REAL, HOSTS };

/* Those beside the policy's. */
static const struct entry {
	const char *name;
	enum type type;
	size_t at;
	double min, max, standard;
	const char *unit, *what;
} entries[] = {
#define ENTRY(field, type, min, max, standard, unit, what) \
	{ #field, type, offsetof(struct mvd_settings, field), min, max, standard, unit, what }
	ENTRY(place, YES_NO, 0, 1, 1, "", "jobs start on the node where they cost least"),
	ENTRY(balance, YES_NO, 0, 1, 1, "", "jobs move to where they cost less"),
	ENTRY(usher, YES_NO, 0, 1, 1, "", "jobs leave when memory becomes short"),
	ENTRY(weights, YES_NO, 0, 1, 1, "", "old jobs yield the processor to young ones"),
	ENTRY(stay, YES_NO, 0, 1, 0, "", "no job leaves this node by itself"),
	ENTRY(block, YES_NO, 0, 1, 0, "", "this node takes no jobs of other nodes"),
	ENTRY(drain, YES_NO, 0, 1, 0, "", "this node takes no jobs and sends all that are here away"),
	ENTRY(in_use, USE, 0, 2, 0, "", "its owner works at it: takes no jobs of other nodes"),
	ENTRY(owner_idle, REAL, 10, 604800, 900, "s", "without input, then it is not in use (auto)"),
	ENTRY(expel_when_used, YES_NO, 0, 1, 0, "", "jobs of other nodes leave when it is in use"),
	ENTRY(slots, COUNT, 0, 65535, 512, "jobs", "hosted here at most"),
	ENTRY(memory_promised, REAL, 0, 1000, 0, "", "times its memory, to all jobs here; 0: no bound"),
	ENTRY(interval, REAL, 0.5, 3600, 2, "s", "between two decisions about moving"),
	ENTRY(seeds, HOSTS, 0, 0, 0, "", "nodes to ask, HOST[:PORT], where a cluster is looked for"),
#undef ENTRY
};

static void *place_of(struct mvd_settings *settings, const struct entry *entry)
{
	return (char *)settings + entry->at;
}

static void put(struct mvd_settings *settings, const struct entry *entry, double value)
{
	void *at = place_of(settings, entry);

	switch (entry->type) {
	case YES_NO: *(bool *)at = value != 0; break;
	case USE: *(enum settings_use *)at = (enum settings_use)value; break;
	case COUNT: *(uint32_t *)at = (uint32_t)value; break;
	case REAL: *(double *)at = value; break;
	case HOSTS: *(char *)at = '\0'; break;
	}
}

static double get(const struct mvd_settings *settings, const struct entry *entry)
{
	const void *at = (const char *)settings + entry->at;

	switch (entry->type) {
	case YES_NO: return *(const bool *)at;
	case USE: return *(const enum settings_use *)at;
	case COUNT: return *(const uint32_t *)at;
	default: return *(const double *)at;
	}
}

void settings_default(struct mvd_settings *settings)
{
	size_t i;

	sched_policy_default(&settings->policy);
	for (i = 0; i < G_N_ELEMENTS(entries); i++)
		put(settings, &entries[i], entries[i].standard);
}

static const struct entry *find(const char *name)
{
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(entries); i++)
		if (strcmp(entries[i].name, name) == 0)
			return &entries[i];
	return NULL;
}

static int yes_or_no(const char *text)
{
	static const char *const words[][2] = {
		{ "no", "yes" }, { "off", "on" }, { "false", "true" }, { "0", "1" },
	};
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(words); i++) {
		if (g_ascii_strcasecmp(text, words[i][0]) == 0)
			return 0;
		if (g_ascii_strcasecmp(text, words[i][1]) == 0)
			return 1;
	}
	return -1;
}

static int number(const char *name, const char *text, double *value, struct err *err)
{
	char *end;

	*value = g_ascii_strtod(text, &end);
	if (!*text || *end || !isfinite(*value))
		return err_set(err, 0, "%.64s takes a number, not \"%.64s\"", name, text);
	return 0;
}

static int set_hosts(char *at, const struct entry *entry, const char *text, struct err *err)
{
	static const char others[] = ".-:%_[], ";
	size_t i;

	for (i = 0; text[i]; i++)
		if (i >= SETTINGS_SEEDS_MAX ||
		    (!g_ascii_isalnum(text[i]) && !strchr(others, text[i])))
			return err_set(err, 0, "%s takes HOST[:PORT], several with commas, not "
				       "\"%.64s\"", entry->name, text);
	memcpy(at, text, i + 1);
	return 0;
}

static int set_flag(struct mvd_settings *settings, const struct entry *entry,
		    const char *text, struct err *err)
{
	int flag = yes_or_no(text);

	if (entry->type == USE && g_ascii_strcasecmp(text, "auto") == 0)
		flag = SETTINGS_AUTO;
	if (flag < 0)
		return err_set(err, 0, "%s takes yes%s or no, not \"%.64s\"", entry->name,
			       entry->type == USE ? ", auto" : "", text);
	put(settings, entry, flag);
	return 0;
}

static int set_own(struct mvd_settings *settings, const struct entry *entry,
		   const char *text, struct err *err)
{
	double value = 0;

	if (entry->type == HOSTS)
		return set_hosts(place_of(settings, entry), entry, text, err);
	if (entry->type == YES_NO || entry->type == USE)
		return set_flag(settings, entry, text, err);
	if (number(entry->name, text, &value, err) < 0)
		return -1;
	if (value < entry->min || value > entry->max)
		return err_set(err, 0, "%s must be between %g and %g, not %g",
			       entry->name, entry->min, entry->max, value);
	if (entry->type == COUNT && value != floor(value))
		return err_set(err, 0, "%s takes a whole number", entry->name);
	put(settings, entry, value);
	return 0;
}

int settings_set(struct mvd_settings *settings, const char *name, const char *text,
		 struct err *err)
{
	const struct entry *entry = find(name);
	double value;

	if (entry)
		return set_own(settings, entry, text, err);
	if (sched_policy_get(&settings->policy, name, &value) < 0)
		return err_set(err, 0, "there is no setting \"%.64s\" (mvctl get lists "
			       "them)", name);
	if (number(name, text, &value, err) < 0)
		return -1;
	return sched_policy_set(&settings->policy, name, value, err);
}

int settings_assign(struct mvd_settings *settings, const char *text, struct err *err)
{
	g_autofree char *name = g_strdup(text);
	char *equals = strchr(name, '=');

	if (!equals)
		return err_set(err, 0, "\"%.64s\" is not NAME=VALUE", text);
	*equals = '\0';
	return settings_set(settings, g_strstrip(name), g_strstrip(equals + 1), err);
}

int settings_parse(struct mvd_settings *settings, const char *text, const char *path,
		   struct err *err)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	struct mvd_settings parsed = *settings;
	struct err why = { 0 };
	unsigned i;

	for (i = 0; lines[i]; i++) {
		char *comment = strchr(lines[i], '#');

		if (comment)
			*comment = '\0';
		if (!*g_strstrip(lines[i]))
			continue;
		if (settings_assign(&parsed, lines[i], &why) < 0)
			return err_set(err, 0, "%s, line %u: %s", path, i + 1, why.text);
	}
	*settings = parsed;
	return 0;
}

int settings_load(struct mvd_settings *settings, const char *path, bool optional,
		  struct err *err)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *text = NULL;
	gsize len;

	if (!g_file_get_contents(path, &text, &len, &error)) {
		if (optional && g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
			return 0;
		return err_set(err, 0, "cannot read the configuration: %s",
			       error->message);
	}
	if (len > MAX_FILE || strlen(text) != len)
		return err_set(err, 0, "the configuration %s is no text, or too long",
			       path);
	return settings_parse(settings, text, path, err);
}

static void add(struct json_object *list, const char *name, struct json_object *value,
		const char *unit, const char *what)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(object, "name", json_object_new_string(name));
	json_object_object_add(object, "value", value);
	json_object_object_add(object, "unit", json_object_new_string(unit));
	json_object_object_add(object, "what", json_object_new_string(what));
	json_object_array_add(list, object);
}

static struct json_object *real(double value)
{
	char text[32];

	g_ascii_formatd(text, sizeof(text), "%.10g", value);
	return json_object_new_double_s(value, text);
}

static struct json_object *value_of(const struct mvd_settings *settings,
				    const struct entry *entry)
{
	static const char *const uses[] = { "no", "yes", "auto" };
	double value;

	if (entry->type == HOSTS)
		return json_object_new_string((const char *)settings + entry->at);
	value = get(settings, entry);
	if (entry->type == USE)
		return json_object_new_string(uses[(int)value]);
	if (entry->type == YES_NO)
		return json_object_new_boolean(value != 0);
	return entry->type == COUNT ? json_object_new_int64((int64_t)value) :
				      real(value);
}

struct json_object *settings_to_json(const struct mvd_settings *settings,
				     const char *name)
{
	struct json_object *list = json_object_new_array();
	const struct sched_policy_entry *entry;
	double value;
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(entries); i++)
		if (!name || strcmp(name, entries[i].name) == 0)
			add(list, entries[i].name, value_of(settings, &entries[i]),
			    entries[i].unit, entries[i].what);
	for (entry = sched_policy_entries; entry->name; entry++)
		if ((!name || strcmp(name, entry->name) == 0) &&
		    sched_policy_get(&settings->policy, entry->name, &value) == 0)
			add(list, entry->name, real(value), entry->unit, entry->what);
	if (json_object_array_length(list) > 0)
		return list;
	json_object_put(list);
	return NULL;
}
