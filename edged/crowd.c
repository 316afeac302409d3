#include "edged/crowd.h"

#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/siblings.h"
#include "proto/key.h"

#define ROW_BYTES_MAX (2 + STREAM_ID_MAX + AUDIENCE_KINDS * 4)
#define ANSWER_MS 1000
#define TENTHS_MAX (UINT32_C(1) << 30) /* of one edge */

struct edge_rows {
        uint64_t edge; /* 0: free */
        int64_t heard_us;
        size_t count;
        struct audience_row rows[AUDIENCE_STREAMS + 1];
};

struct crowd {
        struct audience *own;
        struct upstream *siblings;
        int64_t asked_us;
        struct edge_rows *others[CROWD_EDGES_MAX]; /* NULL: free */
        struct headcount sum;
};

struct crowd *crowd_open(struct audience *own, struct upstream *siblings)
{
        struct crowd *c = mem_alloc(sizeof(*c));
        c->own = own;
        c->siblings = siblings;
        headcount_open(&c->sum);
        return c;
}

void crowd_close(struct crowd *c)
{
        for (size_t i = 0; i < CROWD_EDGES_MAX; i++)
                free(c->others[i]);
        headcount_close(&c->sum);
        free(c);
}

/* ---- what is said -------------------------------------------------------------------------------------------------------- */

struct buf *crowd_say(struct crowd *c)
{
        struct audience_row rows[AUDIENCE_STREAMS + 1];
        uint8_t bytes[(AUDIENCE_STREAMS + 1) * ROW_BYTES_MAX];
        size_t count = audience_rows(c->own, rows);
        struct writer w;
        writer_init(&w, bytes, sizeof(bytes));
        for (size_t i = 0; i < count; i++) {
                writer_str(&w, rows[i].stream);
                for (int of = 0; of < AUDIENCE_KINDS; of++)
                        writer_u32(&w, rows[i].tenths[of]);
        }
        return buf_copy(bytes, w.len);
}

static struct edge_rows *place_of(struct crowd *c, uint64_t edge)
{
        size_t at = 0;
        for (size_t i = 0; i < CROWD_EDGES_MAX; i++) {
                if (!c->others[i]) {
                        c->others[i] = mem_alloc(sizeof(*c->others[i]));
                        return c->others[i];
                }
                if (c->others[i]->edge == edge)
                        return c->others[i];
                at = c->others[i]->heard_us < c->others[at]->heard_us ? i : at;
        }
        return c->others[at];
}

int crowd_heard(struct crowd *c, uint64_t edge, const uint8_t *said, size_t len_bytes, int64_t now_us)
{
        struct edge_rows heard = {.edge = edge, .heard_us = now_us};
        struct reader r;
        reader_init(&r, said, len_bytes);
        while (reader_left(&r)) {
                struct audience_row row;
                reader_str(&r, row.stream, sizeof(row.stream));
                for (int of = 0; of < AUDIENCE_KINDS; of++) {
                        row.tenths[of] = reader_u32(&r);
                        if (row.tenths[of] > TENTHS_MAX)
                                reader_fail(&r);
                }
                if (r.err || heard.count > AUDIENCE_STREAMS || (row.stream[0] && !stream_id_valid(row.stream)))
                        return ERR_PROTO;
                heard.rows[heard.count++] = row;
        }
        *place_of(c, edge) = heard;
        return 0;
}

/* ---- asking -------------------------------------------------------------------------------------------------------------- */

struct asking {
        struct crowd *crowd;
        uint64_t edge;
};

static void on_said(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct asking *a = arg;
        if (!err && m->status == 0)
                crowd_heard(a->crowd, a->edge, bytes ? bytes->data : NULL, bytes ? bytes->len : 0, clock_mono_us());
        free(a);
}

static void ask(void *arg, struct peer *p)
{
        struct asking *a = mem_alloc(sizeof(*a));
        *a = (struct asking){.crowd = arg, .edge = upstream_id(p)};
        struct fetch what = {.key = KEY_VIEWERS_PATH};
        upstream_ask(p, MSG_FETCH, &what, ANSWER_MS, NULL, on_said, a);
}

/* ---- the sum --------------------------------------------------------------------------------------------------------------- */

/* What there is no row for is told with the stream "". */
static void add(struct audience_row *rows, size_t *count, const struct audience_row *more)
{
        size_t i = 0;
        while (i < *count && strcmp(rows[i].stream, more->stream) != 0)
                i++;
        if (i == *count && more->stream[0] && *count >= AUDIENCE_STREAMS) {
                struct audience_row rest = *more;
                rest.stream[0] = '\0';
                add(rows, count, &rest);
                return;
        }
        if (i == *count)
                rows[(*count)++] = *more;
        else
                for (int of = 0; of < AUDIENCE_KINDS; of++) {
                        uint32_t room = UINT32_MAX - rows[i].tenths[of];
                        rows[i].tenths[of] += more->tenths[of] < room ? more->tenths[of] : room;
                }
}

void crowd_look(struct crowd *c, int64_t now_us)
{
        static struct audience_row rows[AUDIENCE_STREAMS + 1]; /* loop thread only */
        if (c->siblings && now_us - c->asked_us >= CROWD_ASK_US) {
                c->asked_us = now_us;
                siblings_each(c->siblings, ask, c);
        }
        size_t count = audience_rows(c->own, rows);
        for (size_t i = 0; i < CROWD_EDGES_MAX && c->others[i]; i++)
                for (size_t k = 0; k < c->others[i]->count && now_us - c->others[i]->heard_us < CROWD_KEPT_US; k++)
                        add(rows, &count, &c->others[i]->rows[k]);
        headcount_put(&c->sum, rows, count);
}

size_t crowd_rows(struct crowd *c, struct audience_row rows[AUDIENCE_STREAMS + 1])
{
        return headcount_get(&c->sum, rows);
}
