#include "originD/retention.h"

#include <stdlib.h>

#include "common/daemon/log.h"
#include "common/mem.h"
#include "originD/stats.h"

static int older_first(const void *a, const void *b)
{
        const struct session *x = *(struct session *const *)a, *y = *(struct session *const *)b;
        return x->ended_wall_us < y->ended_wall_us ? -1 : x->ended_wall_us > y->ended_wall_us;
}

/* The ended sessions that nobody is reading now, oldest end first. */
static size_t collect(struct store *st, struct session ***out, uint64_t *all_bytes)
{
        size_t n = 0, cap = 0;
        *out = NULL;
        for (size_t i = 0; i < STORE_BUCKETS; i++)
                for (struct session *s = st->by_id[i]; s; s = s->next_by_id) {
                        *all_bytes += session_bytes(s);
                        if (s->state != SESSION_ENDED || session_busy(s))
                                continue;
                        if (n == cap) {
                                cap = cap ? cap * 2 : 64;
                                *out = mem_resize(*out, cap * sizeof(**out));
                        }
                        (*out)[n++] = s;
                }
        return n;
}

size_t retention_sweep(struct store *st, int64_t now_wall_us)
{
        const struct store_options *o = &st->options;
        struct session **ended;
        uint64_t bytes = 0;
        size_t n = collect(st, &ended, &bytes), gone = 0;
        if (n)
                qsort(ended, n, sizeof(*ended), older_first);
        for (size_t i = 0; i < n; i++) {
                struct session *s = ended[i];
                bool old = o->retention_us && now_wall_us - s->ended_wall_us > o->retention_us;
                bool much = o->retention_bytes && bytes > (uint64_t)o->retention_bytes;
                if (!old && !much)
                        break;
                log_info("session=%s stream=%s msg=\"recording removed\" reason=%s bytes=%llu", s->id, s->stream,
                         old ? "age" : "bytes", (unsigned long long)session_bytes(s));
                stat_add(old ? STAT_REMOVED_AGE : STAT_REMOVED_BYTES, 1);
                bytes -= session_bytes(s);
                st->removed_until_wall_us = s->ended_wall_us;
                store_remove(st, s);
                gone++;
        }
        free(ended);
        return gone;
}
