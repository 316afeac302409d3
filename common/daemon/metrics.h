/* metrics.h - counters, gauges and histograms in Prometheus text, declared as tables next to the code that counts.
 *
 * A table row is one series; rows of the same name with other labels stand next to each other. Values are atomics: any
 * thread counts, the admin thread reads. Tables live for ever (static) and are registered once, before admin starts. */
#ifndef COMMON_DAEMON_METRICS_H
#define COMMON_DAEMON_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
        const char *name; /* with unit and _total as Prometheus has it */
        enum metric_type type;
        const char *help;
        const char *labels; /* `reason="timeout"`; NULL: none */
        double scale;       /* what is shown is value * scale; 0 means 1 (a value in µs is shown in s with 1e-6) */
        _Atomic int64_t value;
};

static inline void metric_add(struct metric *m, int64_t n)
{
        atomic_fetch_add_explicit(&m->value, n, memory_order_relaxed);
}
static inline void metric_set(struct metric *m, int64_t v)
{
        atomic_store_explicit(&m->value, v, memory_order_relaxed);
}
static inline int64_t metric_get(struct metric *m)
{
        return atomic_load_explicit(&m->value, memory_order_relaxed);
}

#define HISTOGRAM_BUCKETS 16
struct histogram {
        const char *name, *help, *labels;
        double bounds[HISTOGRAM_BUCKETS]; /* seconds, rising; 0 ends the list; +Inf is implied */
        _Atomic int64_t counts[HISTOGRAM_BUCKETS + 1];
        _Atomic int64_t sum_us;
};
void histogram_observe(struct histogram *h, int64_t us);

/* Series whose labels are known only while the daemon runs; the text may have LABELS_MAX bytes, without quotes or backslashes in its
 * values. */
#define METRIC_LABELS_MAX 256
typedef void (*metric_put)(void *to, const char *labels, int64_t value);
struct metric_rows {
        const char *name;
        enum metric_type type;
        const char *help;
        double scale;
        void (*list)(void *arg, metric_put put, void *to); /* calls put(to, …) for each; the admin thread's */
        void *arg;
};

/* rows stays the caller's and must outlive the process. Loop thread only; a table that is there already is left alone. */
void metrics_register(struct metric *rows, size_t count);
void metrics_register_histogram(struct histogram *h);
void metrics_register_rows(const struct metric_rows *r);

/* Calls write(arg, text, len) for the whole exposition, piece by piece. Any thread after start. */
void metrics_render(void (*write)(void *arg, const char *text, size_t len), void *arg);

#endif
