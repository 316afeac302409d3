#include "common/daemon/metrics.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TABLES_MAX 96
#define LINE_BYTES 512

/* One kind of entry a slot. The count is published after the slot is filled: readers need no lock. */
static struct table {
        struct metric *rows;
        size_t count;
        struct histogram *histogram;
        const struct metric_rows *found;
} tables[TABLES_MAX];
static atomic_size_t table_count;

static void add_table(struct table t)
{
        size_t n = atomic_load(&table_count);
        for (size_t i = 0; i < n; i++) {
                if (tables[i].rows == t.rows && tables[i].histogram == t.histogram && tables[i].found == t.found)
                        return;
        }
        assert(n < TABLES_MAX);
        tables[n] = t;
        atomic_store(&table_count, n + 1);
}

void metrics_register(struct metric *rows, size_t count)
{
        add_table((struct table){.rows = rows, .count = count});
}

void metrics_register_histogram(struct histogram *h)
{
        add_table((struct table){.histogram = h});
}

void metrics_register_rows(const struct metric_rows *r)
{
        add_table((struct table){.found = r});
}

void histogram_observe(struct histogram *h, int64_t us)
{
        size_t i = 0;
        while (i < HISTOGRAM_BUCKETS && h->bounds[i] > 0 && (double)us > h->bounds[i] * 1e6)
                i++;
        if (i < HISTOGRAM_BUCKETS && h->bounds[i] <= 0)
                i = HISTOGRAM_BUCKETS; /* beyond the last bound there is only +Inf */
        atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

struct output {
        void (*write)(void *arg, const char *text, size_t len);
        void *arg;
        const char *last_name; /* HELP and TYPE stand once before the rows of a name */
};

static void __attribute__((format(printf, 2, 3))) put(struct output *o, const char *fmt, ...)
{
        char line[LINE_BYTES];
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(line, sizeof(line), fmt, ap);
        va_end(ap);
        assert(n >= 0 && (size_t)n < sizeof(line));
        o->write(o->arg, line, (size_t)n);
}

static void put_head(struct output *o, const char *name, const char *help, const char *type)
{
        if (o->last_name && strcmp(o->last_name, name) == 0)
                return;
        o->last_name = name;
        put(o, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value(struct output *o, const char *name, const char *labels, double scale, int64_t v)
{
        put(o, "%s%s%s%s ", name, labels ? "{" : "", labels ? labels : "", labels ? "}" : "");
        if (scale == 0 || scale == 1)
                put(o, "%lld\n", (long long)v);
        else
                put(o, "%.9g\n", (double)v * scale);
}

static void put_metric(struct output *o, struct metric *m)
{
        put_head(o, m->name, m->help, m->type == METRIC_COUNTER ? "counter" : "gauge");
        put_value(o, m->name, m->labels, m->scale, metric_get(m));
}

struct found {
        struct output *output;
        const struct metric_rows *rows;
};

static void put_found(void *to, const char *labels, int64_t value)
{
        struct found *f = to;
        assert(strlen(labels) < METRIC_LABELS_MAX);
        put_value(f->output, f->rows->name, labels, f->rows->scale, value);
}

static void put_rows(struct output *o, const struct metric_rows *r)
{
        struct found f = {o, r};
        put_head(o, r->name, r->help, r->type == METRIC_COUNTER ? "counter" : "gauge");
        r->list(r->arg, put_found, &f);
}

static void put_bucket(struct output *o, const struct histogram *h, const char *le, long long below)
{
        put(o, "%s_bucket{%s%sle=\"%s\"} %lld\n", h->name, h->labels ? h->labels : "", h->labels ? "," : "", le, below);
}

static void put_sum(struct output *o, const struct histogram *h, const char *what)
{
        put(o, "%s_%s%s%s%s ", h->name, what, h->labels ? "{" : "", h->labels ? h->labels : "", h->labels ? "}" : "");
}

static void put_histogram(struct output *o, struct histogram *h)
{
        long long below = 0;
        char le[32];
        put_head(o, h->name, h->help, "histogram");
        for (size_t i = 0; i < HISTOGRAM_BUCKETS && h->bounds[i] > 0; i++) {
                below += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
                snprintf(le, sizeof(le), "%.9g", h->bounds[i]);
                put_bucket(o, h, le, below);
        }
        below += atomic_load_explicit(&h->counts[HISTOGRAM_BUCKETS], memory_order_relaxed);
        put_bucket(o, h, "+Inf", below);
        put_sum(o, h, "sum");
        put(o, "%.9g\n", (double)atomic_load_explicit(&h->sum_us, memory_order_relaxed) * 1e-6);
        put_sum(o, h, "count");
        put(o, "%lld\n", below);
}

void metrics_render(void (*write)(void *arg, const char *text, size_t len), void *arg)
{
        struct output o = {.write = write, .arg = arg};
        size_t n = atomic_load(&table_count);
        for (size_t t = 0; t < n; t++) {
                if (tables[t].histogram)
                        put_histogram(&o, tables[t].histogram);
                if (tables[t].found)
                        put_rows(&o, tables[t].found);
                for (size_t i = 0; i < tables[t].count; i++)
                        put_metric(&o, &tables[t].rows[i]);
        }
}
