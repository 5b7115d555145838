/*
 * fuzz.h
 *		What the fuzzing harnesses share: repeatable random numbers, the loop over
 *		the inputs, and the report.
 *
 * A harness defines one_input(), which makes one random input, runs the code
 * under test and a naive model on it, and tells whether they agree.  Input
 * number n is made from n alone, so a failure is repeated by
 *
 *		HARNESS n 1
 *
 * The sanitizers end the program at their first finding; the number of the
 * input is then printed, too.
 */
#ifndef PARTREG_FUZZ_H
#define PARTREG_FUZZ_H

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* port.h puts functions of PostgreSQL in their place. */
#undef qsort
#undef printf
#undef fprintf
#undef snprintf
#include <stdio.h>

static uint64_t fuzz_state;
static unsigned long fuzz_input;

static bool one_input(void);

/* Sebastiano Vigna's splitmix64. */
static inline uint64_t
fuzz_random(void)
{
	uint64_t	z = (fuzz_state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline int
below(int n)
{
	return (int) (fuzz_random() % (uint64_t) n);
}

static inline bool
one_in(int n)
{
	return below(n) == 0;
}

/*
 * The largest size for what this input is made of: mostly small, since there
 * the odd cases are dense, now and then large.
 */
static inline int
random_limit(int large)
{
	return one_in(200) ? large : 24;
}

static int
compare_int64(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/*
 * Fill `points` with up to `count` ascending, different instants and return
 * how many they are: close together, or anywhere, with the extreme values now
 * and then.
 */
static inline int
random_points(int64_t *points, int count)
{
	bool		close = one_in(2);
	int64_t		base = one_in(2) ? 0 : (int64_t) (fuzz_random() >> 2);
	int			kept = 0;

	for (int i = 0; i < count; i++)
		points[i] = close ? base + below(2 * count) : (int64_t) fuzz_random();
	if (count > 0 && one_in(4))
		points[below(count)] = INT64_MIN;
	if (count > 0 && one_in(4))
		points[below(count)] = INT64_MAX;

	qsort(points, (size_t) count, sizeof(int64_t), compare_int64);
	for (int i = 0; i < count; i++)
		if (kept == 0 || points[i] != points[kept - 1])
			points[kept++] = points[i];
	return kept;
}

static void
report_abort(int signal_number)
{
	char		text[64];
	int			length = snprintf(text, sizeof(text), "stopped by signal %d at input %lu\n",
								  signal_number, fuzz_input);

	if (write(STDERR_FILENO, text, (size_t) length) != length)
		_exit(3);
	_exit(2);
}

int
main(int argc, char **argv)
{
	unsigned long first = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
	unsigned long failed = 0;

	signal(SIGABRT, report_abort);
	for (fuzz_input = first; fuzz_input < first + count; fuzz_input++)
	{
		fuzz_state = fuzz_input * UINT64_C(0xd1342543de82ef95);
		if (!one_input() && failed++ < 10)
			printf("input %lu: wrong\n", fuzz_input);
	}
	printf("%lu passed, %lu failed\n", count - failed, failed);
	return failed > 0;
}

#endif							/* PARTREG_FUZZ_H */
