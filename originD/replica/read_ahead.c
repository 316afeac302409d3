#include "originD/replica/read_ahead.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/log/index.h"

static void on_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes);

static void free_segment(struct ahead_segment *s)
{
        buf_unref(&s->bytes);
        buf_unref(&s->room);
        free(s);
}

/* false: it came to nothing, at once. */
static bool ask(struct read_ahead *ra, struct ahead_segment *s)
{
        struct fetch m = {.offset = s->offset + s->len, .hops = FETCH_HOPS_MAX}; /* what the peer has itself */
        snprintf(m.key, sizeof(m.key), "/live/%s/%s/%s/%" PRIu32 ".m4s", ra->stream, ra->session, ra->track, s->segment);
        s->state = AHEAD_ASKED;
        s->asked_us = clock_mono_us();
        ra->under_way++;
        int rc = ra->link->ops->fetch(ra->link, ra->peer, &m, on_answer, s);
        if (!rc)
                return true;
        ra->under_way--;
        s->state = AHEAD_CAME;
        s->status = rc;
        return false;
}

static void drop_first(struct read_ahead *ra)
{
        struct ahead_segment *s = ra->first;
        ra->first = s->next;
        if (!ra->first)
                ra->last = &ra->first;
        ra->held_bytes -= s->len;
        if (s->state == AHEAD_ASKED) {
                s->of = NULL;
                ra->under_way--;
        } else {
                free_segment(s);
        }
}

static void add_bytes(struct read_ahead *ra, struct ahead_segment *s, struct buf *bytes)
{
        size_t need = s->len + bytes->len;
        if (!s->len) { /* most come in one answer, and are not copied */
                buf_unref(&s->room);
                s->room = buf_ref(bytes);
        } else {
                if (need > s->room->len) {
                        struct buf *bigger = buf_new(need > 2 * s->len ? need : 2 * s->len);
                        memcpy(bigger->data, s->room->data, s->len);
                        buf_unref(&s->room);
                        s->room = bigger;
                }
                memcpy(s->room->data + s->len, bytes->data, bytes->len);
        }
        s->len = need;
        ra->held_bytes += bytes->len;
        ra->came_bytes += bytes->len;
}

/* What a way carries at once is seen in how long answers take: when there is more on it, the later ones stand in line. */
static void judge_time(struct read_ahead *ra, int64_t took_us)
{
        if (!ra->fastest_us || took_us < ra->fastest_us)
                ra->fastest_us = took_us;
        if (took_us - ra->fastest_us > READ_AHEAD_SLOW_US)
                ra->window -= ra->window > 1;
        else if (took_us - ra->fastest_us < READ_AHEAD_QUICK_US)
                ra->window += ra->window < ra->max;
}

static void came(struct read_ahead *ra, struct ahead_segment *s, int status)
{
        s->state = AHEAD_CAME;
        s->status = status;
        buf_unref(&s->bytes);
        if (s->len)
                s->bytes = buf_slice(s->room, 0, s->len);
        if (!status && !s->offset)
                ra->usual_bytes = (uint32_t)(ra->usual_bytes ? (ra->usual_bytes * UINT64_C(3) + s->len) / 4 : s->len);
        if (s == ra->first)
                ra->ready(ra->arg);
}

static void on_answer(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct ahead_segment *s = arg;
        struct read_ahead *ra = s->of;
        int status = err ? err : m->status;
        if (!ra) {
                free_segment(s);
                return;
        }
        ra->under_way--;
        bool whole = s->segment < ra->whole_end;
        s->complete = !err && m->flags & FETCH_COMPLETE;
        if (!status && bytes) {
                judge_time(ra, clock_mono_us() - s->asked_us);
                add_bytes(ra, s, bytes);
                if (s->len > SEGMENT_MAX_BYTES)
                        status = ERR_LIMIT;
        } else if (!status && !s->complete && whole) {
                status = ERR_PROTO;
        } else if (status == ERR_FULL || status == ERR_TIMEOUT) {
                ra->window = 1;
        }
        bool rest = !status && !s->complete && whole;
        if (!rest || !ask(ra, s))
                came(ra, s, rest ? s->status : status);
}

void read_ahead_begin(struct read_ahead *ra, uint32_t segment, uint64_t offset, uint32_t whole_end, uint32_t end)
{
        read_ahead_stop(ra);
        ra->next = segment;
        ra->next_offset = offset;
        ra->whole_end = whole_end;
        ra->end = end;
        ra->fastest_us = 0; /* it may be another peer */
        if (!ra->window)
                ra->window = READ_AHEAD_FIRST;
}

static struct ahead_segment *add_next(struct read_ahead *ra)
{
        struct ahead_segment *s = mem_alloc(sizeof(*s));
        *s = (struct ahead_segment){.of = ra, .segment = ra->next++, .offset = ra->next_offset};
        ra->next_offset = 0;
        *ra->last = s;
        ra->last = &s->next;
        return s;
}

bool read_ahead_more(struct read_ahead *ra)
{
        struct ahead_segment *s = ra->first;
        while (s && s->state != AHEAD_NOT_ASKED)
                s = s->next;
        bool much = ra->held_bytes + (uint64_t)ra->under_way * ra->usual_bytes >= ra->max_bytes;
        if (ra->under_way >= ra->window || (much && s != ra->first) || (!s && ra->next >= ra->end))
                return false;
        return ask(ra, s ? s : add_next(ra));
}

struct ahead_segment *read_ahead_first(const struct read_ahead *ra)
{
        return ra->first && ra->first->state == AHEAD_CAME ? ra->first : NULL;
}

void read_ahead_take(struct read_ahead *ra)
{
        drop_first(ra);
}

void read_ahead_again(struct read_ahead *ra)
{
        for (struct ahead_segment *s = ra->first; s; s = s->next)
                if (s->state == AHEAD_CAME && (s == ra->first || s->status == ra->first->status))
                        s->state = AHEAD_NOT_ASKED;
}

bool read_ahead_pass_to(struct read_ahead *ra, uint32_t segment)
{
        while (ra->first && ra->first->segment < segment)
                drop_first(ra);
        return ra->first ? ra->first->segment == segment && !ra->first->offset : ra->next == segment && segment < ra->end && !ra->next_offset;
}

void read_ahead_stop(struct read_ahead *ra)
{
        if (!ra->last)
                ra->last = &ra->first;
        while (ra->first)
                drop_first(ra);
        ra->next = ra->end = 0;
}
