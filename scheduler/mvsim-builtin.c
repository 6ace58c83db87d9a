/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Scenarios that need no file, as the text that a file would have. */
#include "scheduler/mvsim-builtin.h"

#include <string.h>

#define PUBLISHED_NODES \
	"\"nodes\": [{\"name\": \"pro\", \"count\": 3, \"speed\": 1, \"memory\": \"64M\"},\n" \
	"  {\"name\": \"pentium\", \"count\": 2, \"speed\": 0.665, \"memory\": \"32M\"},\n" \
	"  {\"name\": \"laptop\", \"speed\": 0.45, \"memory\": \"24M\"}],\n"

const struct sim_builtin sim_builtins[] = {
	{ "published", "the cluster and the jobs of Amir et al. 2000",
	  "{\"name\": \"published\",\n"
	  PUBLISHED_NODES
	  "\"workload\": {\"kind\": \"published\", \"rate\": 0.1, \"seconds\": 1000,\n"
	  "  \"spread\": 0.5, \"most\": 1000000, \"memory_least\": 671088.64,\n"
	  "  \"memory_most\": \"64M\"},\n"
	  "\"policy\": {\"memory_low\": 0, \"memory_high\": 0}}\n" },
	{ "constant", "the same, with the same rate of arrivals in all runs",
	  "{\"name\": \"constant\",\n"
	  PUBLISHED_NODES
	  "\"workload\": {\"kind\": \"published\", \"rate\": 0.1, \"seconds\": 1000,\n"
	  "  \"most\": 1000000, \"memory_least\": 671088.64,\n"
	  "  \"memory_most\": \"64M\"},\n"
	  "\"policy\": {\"memory_low\": 0, \"memory_high\": 0}}\n" },
	{ "mixed", "24 servers of three kinds, lifetimes of Harchol-Balter and Downey",
	  "{\"name\": \"mixed\",\n"
	  "\"nodes\": [{\"name\": \"new\", \"count\": 8, \"cpus\": 8, \"speed\": 1.5,\n"
	  "    \"memory\": \"32G\"},\n"
	  "  {\"name\": \"mid\", \"count\": 8, \"cpus\": 4, \"speed\": 1, \"memory\": \"16G\"},\n"
	  "  {\"name\": \"old\", \"count\": 8, \"cpus\": 2, \"speed\": 0.6, \"memory\": \"8G\"}],\n"
	  "\"workload\": {\"kind\": \"lifetimes\", \"rate\": 12, \"seconds\": 1000,\n"
	  "  \"spread\": 0.3, \"most\": 10000, \"memory_least\": \"64M\",\n"
	  "  \"memory_most\": \"4G\"},\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 12}}\n" },
	{ "lublin", "sixteen servers, parallel jobs of Lublin and Feitelson",
	  "{\"name\": \"lublin\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 16, \"cpus\": 8, \"memory\": \"32G\"}],\n"
	  "\"workload\": {\"kind\": \"lublin\", \"rate\": 0.0012, \"seconds\": 30000,\n"
	  "  \"most\": 20000, \"memory_least\": \"64M\", \"memory_most\": \"4G\"},\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 12}}\n" },
	{ "pareto", "24 servers as in \"mixed\", bounded Pareto of 0.7, few very long jobs",
	  "{\"name\": \"pareto\",\n"
	  "\"nodes\": [{\"name\": \"new\", \"count\": 8, \"cpus\": 8, \"speed\": 1.5,\n"
	  "    \"memory\": \"32G\"},\n"
	  "  {\"name\": \"mid\", \"count\": 8, \"cpus\": 4, \"speed\": 1, \"memory\": \"16G\"},\n"
	  "  {\"name\": \"old\", \"count\": 8, \"cpus\": 2, \"speed\": 0.6, \"memory\": \"8G\"}],\n"
	  "\"workload\": {\"kind\": \"pareto\", \"alpha\": 0.7, \"rate\": 4, \"seconds\": 1000,\n"
	  "  \"spread\": 0.3, \"least\": 1, \"most\": 10000, \"memory_least\": \"64M\",\n"
	  "  \"memory_most\": \"4G\"},\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 12}}\n" },
	{ "flash", "1000 jobs within a second on one node of 50",
	  "{\"name\": \"flash\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 50, \"cpus\": 4, \"memory\": \"64G\"}],\n"
	  "\"workload\": {\"kind\": \"pareto\", \"from\": 60, \"rate\": 1000, \"count\": 1000,\n"
	  "  \"alpha\": 1, \"least\": 60, \"most\": 6000, \"memory_least\": \"16M\",\n"
	  "  \"memory_most\": \"1G\", \"home\": \"n-1\"},\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 12}}\n" },
	{ "oscillate", "long jobs; processes of others come and go on half of eight nodes",
	  "{\"name\": \"oscillate\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 8, \"cpus\": 2, \"memory\": \"8G\"}],\n"
	  "\"workload\": {\"kind\": \"pareto\", \"alpha\": 1, \"rate\": 1, \"seconds\": 60,\n"
	  "  \"count\": 24, \"least\": 1000, \"most\": 2000, \"memory_least\": \"64M\",\n"
	  "  \"memory_most\": \"512M\"},\n"
	  "\"events\": [\n"
	  "  {\"at\": 60, \"every\": 30, \"until\": 3000, \"node\": \"n-1\", \"what\": \"others\",\n"
	  "   \"value\": 4},\n"
	  "  {\"at\": 75, \"every\": 30, \"until\": 3000, \"node\": \"n-1\", \"what\": \"others\",\n"
	  "   \"value\": 0},\n"
	  "  {\"at\": 65, \"every\": 40, \"until\": 3000, \"node\": \"n-2\", \"what\": \"others\",\n"
	  "   \"value\": 4},\n"
	  "  {\"at\": 85, \"every\": 40, \"until\": 3000, \"node\": \"n-2\", \"what\": \"others\",\n"
	  "   \"value\": 0},\n"
	  "  {\"at\": 70, \"every\": 60, \"until\": 3000, \"node\": \"n-3\", \"what\": \"others\",\n"
	  "   \"value\": 4},\n"
	  "  {\"at\": 100, \"every\": 60, \"until\": 3000, \"node\": \"n-3\", \"what\": \"others\",\n"
	  "   \"value\": 0},\n"
	  "  {\"at\": 72, \"every\": 10, \"until\": 3000, \"node\": \"n-4\", \"what\": \"others\",\n"
	  "   \"value\": 4},\n"
	  "  {\"at\": 77, \"every\": 10, \"until\": 3000, \"node\": \"n-4\", \"what\": \"others\",\n"
	  "   \"value\": 0}],\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 8}}\n" },
	{ "boaster", "one node of ten says it is a hundred times as fast, and knows better",
	  "{\"name\": \"boaster\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 10, \"cpus\": 4, \"memory\": \"16G\"}],\n"
	  "\"workload\": {\"kind\": \"lifetimes\", \"rate\": 3, \"seconds\": 1000,\n"
	  "  \"most\": 10000, \"memory_least\": \"64M\", \"memory_most\": \"2G\"},\n"
	  "\"events\": [{\"at\": 0, \"node\": \"n-10\", \"what\": \"boast\", \"value\": 100}],\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 8}}\n" },
	{ "hider", "one node of ten says that it has no load, and all of its memory free",
	  "{\"name\": \"hider\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 10, \"cpus\": 4, \"memory\": \"16G\"}],\n"
	  "\"workload\": {\"kind\": \"lifetimes\", \"rate\": 3, \"seconds\": 1000,\n"
	  "  \"most\": 10000, \"memory_least\": \"64M\", \"memory_most\": \"2G\"},\n"
	  "\"events\": [{\"at\": 0, \"node\": \"n-10\", \"what\": \"hide\"}],\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 8}}\n" },
	{ "liar", "one node of ten believes and says it is a hundred times as fast",
	  "{\"name\": \"liar\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 10, \"cpus\": 4, \"memory\": \"16G\"}],\n"
	  "\"workload\": {\"kind\": \"lifetimes\", \"rate\": 3, \"seconds\": 1000,\n"
	  "  \"most\": 10000, \"memory_least\": \"64M\", \"memory_most\": \"2G\"},\n"
	  "\"events\": [{\"at\": 0, \"node\": \"n-10\", \"what\": \"lie\", \"value\": 100}],\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 8}}\n" },
	{ "honest", "the same, without the lie",
	  "{\"name\": \"honest\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 10, \"cpus\": 4, \"memory\": \"16G\"}],\n"
	  "\"workload\": {\"kind\": \"lifetimes\", \"rate\": 3, \"seconds\": 1000,\n"
	  "  \"most\": 10000, \"memory_least\": \"64M\", \"memory_most\": \"2G\"},\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 8}}\n" },
	{ "visitor", "one node of ten fails and returns each two minutes",
	  "{\"name\": \"visitor\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 10, \"cpus\": 4, \"memory\": \"16G\"}],\n"
	  "\"workload\": {\"kind\": \"lifetimes\", \"rate\": 3, \"seconds\": 1000,\n"
	  "  \"most\": 10000, \"memory_least\": \"64M\", \"memory_most\": \"2G\"},\n"
	  "\"events\": [\n"
	  "  {\"at\": 60, \"every\": 120, \"until\": 1200, \"node\": \"n-10\", \"what\": \"fail\"},\n"
	  "  {\"at\": 120, \"every\": 120, \"until\": 1200, \"node\": \"n-10\",\n"
	  "   \"what\": \"return\"}],\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 8}}\n" },
	{ "drained", "the same node is emptied for a minute instead",
	  "{\"name\": \"drained\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 10, \"cpus\": 4, \"memory\": \"16G\"}],\n"
	  "\"workload\": {\"kind\": \"lifetimes\", \"rate\": 3, \"seconds\": 1000,\n"
	  "  \"most\": 10000, \"memory_least\": \"64M\", \"memory_most\": \"2G\"},\n"
	  "\"events\": [\n"
	  "  {\"at\": 60, \"every\": 120, \"until\": 1200, \"node\": \"n-10\", \"what\": \"drain\"},\n"
	  "  {\"at\": 120, \"every\": 120, \"until\": 1200, \"node\": \"n-10\",\n"
	  "   \"what\": \"open\"}],\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 8}}\n" },
	{ "parted", "three nodes of ten do not hear the others for five minutes",
	  "{\"name\": \"parted\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 10, \"cpus\": 4, \"memory\": \"16G\"}],\n"
	  "\"workload\": {\"kind\": \"lifetimes\", \"rate\": 3, \"seconds\": 1000,\n"
	  "  \"most\": 10000, \"memory_least\": \"64M\", \"memory_most\": \"2G\"},\n"
	  "\"events\": [{\"at\": 300, \"node\": \"n-8\", \"what\": \"cut\"},\n"
	  "  {\"at\": 300, \"node\": \"n-9\", \"what\": \"cut\"},\n"
	  "  {\"at\": 300, \"node\": \"n-10\", \"what\": \"cut\"},\n"
	  "  {\"at\": 600, \"node\": \"n-8\", \"what\": \"heal\"},\n"
	  "  {\"at\": 600, \"node\": \"n-9\", \"what\": \"heal\"},\n"
	  "  {\"at\": 600, \"node\": \"n-10\", \"what\": \"heal\"}],\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 8}}\n" },
	{ "usher", "jobs whose memory grows, on a node that it does not suffice for",
	  "{\"name\": \"usher\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 6, \"cpus\": 32, \"memory\": \"4G\"}],\n"
	  "\"workload\": {\"kind\": \"pareto\", \"alpha\": 1, \"rate\": 1, \"seconds\": 60,\n"
	  "  \"count\": 24, \"least\": 200, \"most\": 400, \"memory_least\": \"64M\",\n"
	  "  \"memory_most\": \"64M\", \"grow\": \"4M\", \"grow_most\": \"700M\",\n"
	  "  \"home\": \"n-1\"},\n"
	  "\"params\": {\"bandwidth\": 110000000, \"file_rate\": 110000000, \"window\": 6}}\n" },
	{ "talkers", "jobs that read files of home, on a slow network",
	  "{\"name\": \"talkers\",\n"
	  "\"nodes\": [{\"name\": \"n\", \"count\": 8, \"cpus\": 2, \"memory\": \"8G\"}],\n"
	  "\"workload\": {\"kind\": \"lifetimes\", \"rate\": 1.2, \"seconds\": 1000,\n"
	  "  \"most\": 10000, \"memory_least\": \"16M\", \"memory_most\": \"1G\",\n"
	  "  \"io\": 22000000, \"io_share\": 0.5},\n"
	  "\"params\": {\"window\": 8}}\n" },
	{ 0 },
};

const struct sim_builtin *sim_builtin_find(const char *name)
{
	const struct sim_builtin *builtin;

	for (builtin = sim_builtins; builtin->name; builtin++)
		if (strcmp(builtin->name, name) == 0)
			return builtin;
	return NULL;
}
