/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/predict.h"

#include <math.h>

#define BANDWIDTH_MIN 1.0 /* a link that carries nothing must not divide by 0 */

struct sched_forecast sched_forecast(const struct sched_job *job,
				     const struct sched_link *link)
{
	double bandwidth = fmax(link->bandwidth, BANDWIDTH_MIN);
	double hot = job->hot > 0 ? fmin(job->hot, job->touched) : job->touched;
	double round = job->touched, copying = 0;
	struct sched_forecast forecast = { .converges = true };

	/* The job changes memory more slowly while it is slowed down itself. */
	while (round > bandwidth * link->stop && forecast.rounds < PREDICT_ROUNDS) {
		double time = round / bandwidth;

		forecast.bytes += round;
		copying += time;
		forecast.rounds++;
		round = fmin(hot, job->dirty * (1 - link->slowdown) * time);
	}
	forecast.converges = round <= bandwidth * link->stop;
	forecast.bytes += round;
	forecast.downtime = round / bandwidth + link->resume;
	forecast.time = link->setup + copying + forecast.downtime;
	forecast.delay = copying * link->slowdown + forecast.downtime;
	return forecast;
}

double sched_move_price(const struct sched_forecast *forecast,
			const struct sched_link *link)
{
	return forecast->delay + 2 * link->cpu * forecast->time;
}

void sched_forecast_compare(struct sched_forecast_error *error, double forecast,
			    double actual)
{
	double share, off;

	if (!(forecast > 0) || !(actual > 0) || isinf(forecast) || isinf(actual))
		return;
	error->count++;
	share = fmax(1.0 / (double)error->count, 1.0 / 16);
	off = log(actual / forecast);
	error->spread += share * (fabs(off) - error->spread);
	error->bias += share * (off - error->bias);
}

double sched_remaining(double age, double youngest)
{
	return fmax(age, youngest);
}
