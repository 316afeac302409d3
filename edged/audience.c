#include "edged/audience.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "proto/names.h"

#define RING 32u /* segments that are remembered: the whole ten before the near ones, and those */
#define NEAR_SEGMENTS (AUDIENCE_NEAR_US / US_PER_S)
#define TEN_US (AUDIENCE_TEN * US_PER_S)
#define FORGET_US (4 * TEN_US)

static_assert(NEAR_SEGMENTS + 2 * AUDIENCE_TEN <= RING, "the ten that is told is still there");

/* One session of a stream, at one thread. */
struct watched {
        char stream[STREAM_ID_MAX + 1];
        int64_t used_us, near_us;              /* when anything, when something near was fetched last; used 0: free */
        uint32_t newest;                       /* segment of those that are near */
        uint32_t near[RING][AUDIENCE_KINDS];   /* by segment */
        int64_t ten;                           /* of the clock: the one that is now, */
        uint32_t far[2][AUDIENCE_KINDS];       /* and the one before, by its number */
};

struct part {
        pthread_mutex_t lock;
        uint64_t sessions[AUDIENCE_STREAMS + 1]; /* names_session(); in the order of watched */
        struct watched watched[AUDIENCE_STREAMS + 1]; /* the last one: what there was no room for */
};

struct audience {
        struct headcount told;
        unsigned threads;
        struct part parts[];
};

struct audience *audience_open(unsigned threads)
{
        struct audience *a = mem_alloc(sizeof(*a) + threads * sizeof(a->parts[0]));
        headcount_open(&a->told);
        a->threads = threads;
        for (unsigned i = 0; i < threads; i++)
                pthread_mutex_init(&a->parts[i].lock, NULL);
        return a;
}

void audience_close(struct audience *a)
{
        for (unsigned i = 0; i < a->threads; i++)
                pthread_mutex_destroy(&a->parts[i].lock);
        headcount_close(&a->told);
        free(a);
}

/* ---- counting: under the part's lock ------------------------------------------------------------------------------------ */

static struct watched *place_of_watched(struct part *p, const struct audience_fetch *f)
{
        uint64_t session = names_session(f->stream, f->session);
        unsigned at = AUDIENCE_STREAMS;
        for (unsigned i = 0; i < AUDIENCE_STREAMS; i++) {
                struct watched *w = &p->watched[i];
                if (p->sessions[i] == session && w->used_us)
                        return w;
                if (at == AUDIENCE_STREAMS && f->now_us - w->used_us > FORGET_US)
                        at = i;
        }
        struct watched *w = &p->watched[at];
        if (at == AUDIENCE_STREAMS)
                return w;
        *w = (struct watched){0};
        snprintf(w->stream, sizeof(w->stream), "%s", f->stream);
        p->sessions[at] = session;
        return w;
}

static void count_far(struct watched *w, const struct audience_fetch *f)
{
        int64_t ten = f->now_us / TEN_US;
        if (ten > w->ten + 1)
                memset(w->far, 0, sizeof(w->far));
        else if (ten > w->ten)
                memset(w->far[ten & 1], 0, sizeof(w->far[0]));
        w->ten = ten > w->ten ? ten : w->ten;
        w->far[ten & 1][f->of]++;
}

/* false: it is not near. */
static bool count_near(struct watched *w, const struct audience_fetch *f)
{
        if (f->now_us - f->wanted_us >= AUDIENCE_NEAR_US)
                return false;
        if (f->now_us - w->near_us > AUDIENCE_SILENT_US || (f->segment > w->newest && f->segment - w->newest >= RING)) {
                memset(w->near, 0, sizeof(w->near));
                w->newest = f->segment;
        }
        if (f->segment < w->newest && w->newest - f->segment >= RING) /* somebody goes through a recording behind another one */
                return false;
        for (; w->newest < f->segment; w->newest++)
                memset(w->near[(w->newest + 1) % RING], 0, sizeof(w->near[0]));
        w->near[f->segment % RING][f->of]++;
        w->near_us = f->now_us;
        return true;
}

void audience_saw(struct audience *a, unsigned thread, const struct audience_fetch *f)
{
        struct part *p = &a->parts[thread];
        assert(thread < a->threads);
        pthread_mutex_lock(&p->lock);
        struct watched *w = place_of_watched(p, f);
        w->used_us = f->now_us;
        if (w == &p->watched[AUDIENCE_STREAMS] || !count_near(w, f))
                count_far(w, f);
        pthread_mutex_unlock(&p->lock);
}

/* ---- telling -------------------------------------------------------------------------------------------------------------- */

/* The newest segment of one session that anybody near has seen, whichever thread has him. */
struct edge {
        uint64_t session;
        uint32_t newest;
};
#define EDGES_MAX 512 /* of more sessions those that come last have nobody near */

/* When there are rows enough the rest is that of "". */
static struct audience_row *row_of(struct audience_row *rows, size_t *count, const char *stream)
{
        for (size_t i = 0; i < *count; i++) {
                if (strcmp(rows[i].stream, stream) == 0)
                        return &rows[i];
        }
        if (*stream && *count >= AUDIENCE_STREAMS)
                return row_of(rows, count, "");
        snprintf(rows[*count].stream, sizeof(rows[0].stream), "%s", stream);
        return &rows[(*count)++];
}

static bool is_near_now(const struct watched *w, int64_t now_us)
{
        return w->near_us && now_us - w->near_us <= AUDIENCE_SILENT_US;
}

static struct edge *edge_of(struct edge edges[EDGES_MAX], size_t count, uint64_t session)
{
        size_t i = 0;
        while (i < count && edges[i].session != session)
                i++;
        return i < EDGES_MAX ? &edges[i] : NULL;
}

static size_t find_edges(struct audience *a, struct edge edges[EDGES_MAX], int64_t now_us)
{
        size_t count = 0;
        for (unsigned t = 0; t < a->threads; t++) {
                struct part *p = &a->parts[t];
                pthread_mutex_lock(&p->lock);
                for (unsigned i = 0; i < AUDIENCE_STREAMS; i++) {
                        struct edge *e = is_near_now(&p->watched[i], now_us) ? edge_of(edges, count, p->sessions[i]) : NULL;
                        if (!e)
                                continue;
                        if (e == &edges[count])
                                edges[count++] = (struct edge){.session = p->sessions[i]};
                        e->newest = e->newest > p->watched[i].newest ? e->newest : p->watched[i].newest;
                }
                pthread_mutex_unlock(&p->lock);
        }
        return count;
}

/* Of the last ten segments that nobody near fetches any more. */
static void add_near(const struct watched *w, uint32_t newest, struct audience_row *row)
{
        if (newest < NEAR_SEGMENTS + AUDIENCE_TEN)
                return;
        uint32_t end = (newest - NEAR_SEGMENTS) / AUDIENCE_TEN * AUDIENCE_TEN;
        for (uint32_t n = end - AUDIENCE_TEN; n < end; n++) {
                if (n > w->newest || w->newest - n >= RING)
                        continue;
                for (int of = 0; of < AUDIENCE_KINDS; of++)
                        row->tenths[of] += w->near[n % RING][of];
        }
}

static void add_far(const struct watched *w, int64_t now_us, struct audience_row *row)
{
        int64_t ten = now_us / TEN_US - 1;
        if (w->ten != ten && w->ten != ten + 1)
                return;
        for (int of = 0; of < AUDIENCE_KINDS; of++)
                row->tenths[of] += w->far[ten & 1][of];
}

static void add_part(struct part *p, struct edge edges[EDGES_MAX], size_t edge_count, int64_t now_us, struct audience_row *rows, size_t *count)
{
        for (unsigned i = 0; i <= AUDIENCE_STREAMS; i++) {
                const struct watched *w = &p->watched[i];
                if (!w->used_us || now_us - w->used_us > FORGET_US)
                        continue;
                struct audience_row *row = row_of(rows, count, w->stream);
                const struct edge *e = is_near_now(w, now_us) ? edge_of(edges, edge_count, p->sessions[i]) : NULL;
                if (e && e < &edges[edge_count])
                        add_near(w, e->newest, row);
                add_far(w, now_us, row);
        }
}

void audience_look(struct audience *a, int64_t now_us)
{
        static struct audience_row rows[AUDIENCE_STREAMS + 1]; /* loop thread only */
        static struct edge edges[EDGES_MAX];
        size_t count = 0, edge_count = find_edges(a, edges, now_us);
        memset(rows, 0, sizeof(rows));
        for (unsigned t = 0; t < a->threads; t++) {
                pthread_mutex_lock(&a->parts[t].lock);
                add_part(&a->parts[t], edges, edge_count, now_us, rows, &count);
                pthread_mutex_unlock(&a->parts[t].lock);
        }
        headcount_put(&a->told, rows, count);
}

size_t audience_rows(struct audience *a, struct audience_row rows[AUDIENCE_STREAMS + 1])
{
        return headcount_get(&a->told, rows);
}
