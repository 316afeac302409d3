#include "originD/writers.h"

#include <stdlib.h>
#include <string.h>

#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/stats.h"

struct putting {
        struct turn turn;
        struct catch_up_wait compared;
        struct writers *writers;
        struct rpc_request *req;
};

static enum stat_id refusal(int status)
{
        switch (status) {
        case ERR_FENCED:
                return STAT_PUTS_FENCED;
        case ERR_ORDER:
                return STAT_PUTS_ORDER;
        case ERR_NOSPACE:
                return STAT_PUTS_NOSPACE;
        case ERR_CONFLICT:
                return STAT_PUTS_CONFLICT;
        case ERR_PROTO:
                return STAT_PUTS_PROTO;
        default:
                return STAT_PUTS_OTHER;
        }
}

/* why: of ERR_IO, what the disk said; 0: no more than that */
static void count_refusal(struct writers *ws, const struct put *m, int status, int why)
{
        stat_add(refusal(status), 1);
        if (status == ERR_NOSPACE)
                store_no_space(ws->store);
        else if (status == ERR_IO)
                space_doubt(ws->store, m->session, m->track, why ? why : status);
        bool writers = status == ERR_NOSPACE || status == ERR_IO || status == ERR_FENCED || status == ERR_ORDER || status == ERR_NOT_YET ||
                       status == ERR_FULL;
        if (writers) /* it deals with it */
                log_debug("session=%s track=%s msg=\"PUT refused\" segment=%u chunk=%u error=\"%s\"", m->session, m->track,
                          m->segment, m->chunk, err_text(status));
        else
                log_warn("session=%s track=%s msg=\"PUT refused\" segment=%u chunk=%u start_us=%lld error=\"%s\"", m->session,
                         m->track, m->segment, m->chunk, (long long)m->start_us, err_text(status));
}

static void reply_put(struct rpc_request *req, int status, struct session *s, const char *track)
{
        struct put_reply m = {.status = (int8_t)status};
        struct track *t = s ? session_track(s, track) : NULL;
        if (t && t->log) {
                track_next(t, &m.next_segment, &m.next_chunk, &m.end_us);
        } else if (t) {
                m.next_segment = t->first_segment;
                m.end_us = t->start_us;
        }
        rpc_reply(req, message_new(MSG_PUT_REPLY, put_reply_encode, &m));
}

static void put_done(struct putting *p, int status)
{
        struct turn *t = &p->turn;
        if (status) {
                struct put m = {.segment = t->append.segment, .chunk = t->append.chunk, .start_us = t->append.start_us};
                strcpy(m.session, t->session->id);
                strcpy(m.track, t->track);
                count_refusal(p->writers, &m, status, t->append.why);
        }
        reply_put(p->req, status, t->session, t->track);
        buf_unref(&t->append.bytes);
        free(p);
}

static void turn_done(struct turn *t, int status)
{
        stat_add(STAT_CHUNKS_AGAIN, t->append.again ? 1 : 0);
        put_done((struct putting *)t, status);
}

static void track_added(void *arg, int status)
{
        put_done(arg, status);
}

/* What is missing before the chunk is here now, or nobody has it: a hole then. Meanwhile all may have changed. */
static void put_compared(struct catch_up_wait *w, int status)
{
        struct putting *p = (struct putting *)((char *)w - offsetof(struct putting, compared));
        struct turn *t = &p->turn;
        t->session->pins--;
        int rc = shadow_turns_judge(t->session, t->track, t->append.generation);
        if (rc != ERR_NOT_FOUND && status &&
            !track_ahead(session_track(t->session, t->track), t->append.segment, t->append.chunk))
                status = 0;
        if (status || rc)
                put_done(p, rc ? rc : status);
        else
                shadow_turns_put(&p->writers->turns, t);
}

static bool hold_put(struct putting *p, const struct track *t)
{
        struct catch_up *r = p->writers->catch_up;
        const struct chunk_append *a = &p->turn.append;
        if (!r || !track_ahead(t, a->segment, a->chunk) || !catch_up_wait(r, p->turn.session, &p->compared, put_compared))
                return false;
        p->turn.session->pins++;
        return true;
}

static void free_message(void *msg)
{
        nng_msg_free(msg);
}

static void log_fence(const struct session *s, const struct put *m)
{
        log_info("session=%s stream=%s track=%s msg=\"writer fenced\" generation=%u current=%u", s->id, s->stream, m->track,
                 m->generation, s->generation);
}

/* 0: the session takes it. */
static int judge_put(struct writers *ws, const struct put *m, struct session *s)
{
        if (!s || s->state == SESSION_ENDED || s->ending || !s->claimed)
                return ERR_NOT_FOUND;
        if (m->generation != s->generation) {
                log_fence(s, m);
                return ERR_FENCED;
        }
        if (m->chunk >= chunks_of_segment(s->chunk_ms))
                return ERR_CONFLICT;
        session_heard(s); /* full or not, the writer is there */
        return space_refusal(ws->store);
}

/* How long the chunk lasts is what its boxes say, so that who walks the file finds the same; duration_us says whether they guess.
 * Takes the message, which the bytes lie in, and starts what the PUT asks for. */
static void start_put(struct writers *ws, struct rpc_request *req, const struct put *m, struct session *s)
{
        struct track *t = session_track(s, m->track);
        struct putting *p = mem_alloc(sizeof(*p));
        *p = (struct putting){.writers = ws, .req = req, .turn = {.session = s, .done = turn_done}};
        p->turn.append = (struct chunk_append){.segment = m->segment, .chunk = m->chunk, .flags = m->flags,
                                               .start_us = m->start_us, .end_us = m->start_us + m->duration_us, .generation = m->generation,
                                               .previous = m->previous, .after_us = m->after_us};
        strcpy(p->turn.track, m->track);
        p->turn.append.bytes = buf_wrap((uint8_t *)(uintptr_t)m->bytes, m->len, free_message, req->msg);
        req->msg = NULL;
        if (m->flags & PUT_INIT)
                session_add_track(s, m, track_added, p);
        else if (!t || !t->log)
                put_done(p, t && t->unreadable ? ERR_IO : ERR_NOT_FOUND);
        else if (m->after_us || !hold_put(p, t)) /* what is missing first: then whose turn it is can be told */
                shadow_turns_put(&ws->turns, &p->turn);
}

void writers_put(struct writers *ws, struct rpc_request *req)
{
        struct put m;
        if (put_decode(&req->body, &m) < 0) {
                stat_add(STAT_PUTS_PROTO, 1);
                rpc_drop(req, "malformed PUT");
                return;
        }
        struct session *s = store_session(ws->store, m.session);
        int rc = m.start_us < 0 ? ERR_CONFLICT : judge_put(ws, &m, s);
        if (!rc) {
                start_put(ws, req, &m, s);
                return;
        }
        count_refusal(ws, &m, rc, 0);
        reply_put(req, rc, s, m.track);
}

void writers_refuse_put(struct rpc_request *req, int status)
{
        reply_put(req, status, NULL, "");
}
