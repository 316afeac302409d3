/* Who may write: the session that a writer is given. */
#include "originD/store_impl.h"

#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "proto/generation.h"

static int begin_session(struct store *st, const struct claim *c, struct session **out)
{
        if (store_session(st, c->session))
                return ERR_CONFLICT;
        if (store_unreadable(st, c->session))
                return ERR_IO;
        if (st->why_full)
                return space_refusal(st);
        if ((int64_t)st->live >= st->options.live_max)
                return ERR_FULL;
        *out = session_new(st->loop, st->options.data_dir, c, st->options.volume_segments,
                           st->options.sync_segments);
        (*out)->long_parts = st->long_parts;
        store_add(st, *out);
        return 0;
}

/* A claim is a promise: it is on the disk before it is answered. Where that is known to fail it would only raise the generation, and
 * fence a writer for nothing, each time that it is tried again. */
static int judge_disk(const struct store *st, const struct session *s)
{
        if (space_failing(st))
                return space_refusal(st);
        return !s->save_status ? 0 : s->save_status == ERR_NOSPACE ? ERR_NOSPACE : ERR_IO;
}

/* May the writer go on with this one here? */
static int judge_join(const struct store *st, const struct session *s, const struct claim *c)
{
        if (strcmp(s->stream, c->stream) != 0)
                return ERR_CONFLICT;
        if (s->state == SESSION_ENDED || s->ending)
                return ERR_CLOSED;
        if (!generation_possible(c->generation)) /* taken, it could never be claimed again */
                return ERR_LIMIT;
        if (c->chunk_ms && c->chunk_ms != s->chunk_ms && s->track_count)
                return ERR_CONFLICT;
        bool same = c->generation == s->generation && strcmp(c->node, s->node) == 0;
        return same || c->generation > s->generation ? judge_disk(st, s) : ERR_FENCED;
}

static int join(struct store *st, const struct claim *c, struct session **out)
{
        struct session *s = store_session(st, c->session), *live = stream_live(store_stream(st, c->stream));
        int rc = s ? judge_join(st, s, c) : generation_possible(c->generation) ? 0 : ERR_LIMIT;
        if (rc)
                return rc;
        if (live && live != s) {
                bool only_claimed = !live->track_count && strcmp(live->node, c->node) == 0;
                if (!only_claimed && !session_newer(c->epoch_us, c->session, live))
                        return ERR_FENCED;
                log_info("session=%s stream=%s msg=\"superseded\" by=%s", live->id, live->stream, c->session);
                session_end(live, live->end_us, false, NULL, NULL);
        }
        *out = s;
        return s ? 0 : begin_session(st, c, out);
}

/* A session of a generation that there cannot be, from a file or from before: nobody can claim it any more, and the stream goes on with
 * another one. */
static bool is_beyond(const struct session *s)
{
        if (generation_possible(s->generation))
                return false;
        log_error("session=%s stream=%s msg=\"there is no such generation: the session ends, the stream goes on with another\" generation=%u",
                  s->id, s->stream, s->generation);
        return true;
}

int store_claim(struct store *st, const struct claim *c, struct session **out)
{
        int rc;
        if (c->flags & CLAIM_JOIN) {
                rc = join(st, c, out);
        } else {
                *out = stream_live(store_stream(st, c->stream));
                if (*out && (*out)->over_elsewhere) /* the other owners would refuse it (ERR_CLOSED): one copy only from there on */
                        *out = NULL;
                if (*out && is_beyond(*out)) {
                        session_end(*out, (*out)->end_us, false, NULL, NULL);
                        *out = NULL;
                }
                if (c->flags & CLAIM_ONLY_LIVE && (!*out || (*out)->track_count == 0))
                        return ERR_NOT_FOUND;
                if (!generation_possible(session_next_generation(*out, c)))
                        return ERR_LIMIT;
                rc = *out ? judge_disk(st, *out) : begin_session(st, c, out);
        }
        /* Where a track ends that cannot be read now nobody can say: the writer would write over what it does not know of. */
        return rc ? rc : session_readable(*out) ? 0 : ERR_IO;
}
