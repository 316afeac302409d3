#include "originD/claim.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "originD/stats.h"

static void reply(struct rpc_request *req, uint8_t type, message_encode *encode, const void *message)
{
        rpc_reply(req, message_new(type, encode, message));
}

/* CLAIM */

/* A title goes into JSON and XML; one that is not text is none. */
static void check_title(char *title)
{
        json_t *text = json_string(title);
        if (!text)
                title[0] = '\0';
        json_decref(text);
}

struct claiming {
        struct session_wait wait;
        struct repair_wait compared;
        struct claims *claims;
        struct rpc_request *req;
        struct session *session;
        uint32_t generation;
        bool join;
};

static void reply_claim(struct rpc_request *req, int status, const struct session *s)
{
        struct claim_reply m = {.status = (int8_t)status};
        if (!status) {
                strcpy(m.session, s->id);
                m.epoch_us = s->epoch_us;
                m.generation = s->generation;
                m.written_generation = session_written_generation(s);
                m.track_count = (uint8_t)session_claim_tracks(s, m.tracks);
        }
        reply(req, MSG_CLAIM_REPLY, claim_reply_encode, &m);
}

static void answer_claim(struct claiming *c, int status)
{
        c->session->pins--;
        if (!status && (c->session->generation != c->generation || c->session->ending))
                status = ERR_FENCED; /* claimed again by another one meanwhile */
        if (status == ERR_NOSPACE)
                store_no_space(c->claims->store);
        reply_claim(c->req, status, c->session);
        free(c);
}

/* In step or not, this is where its tracks end now. */
static void join_compared(struct repair_wait *w, int status)
{
        (void)status;
        answer_claim((struct claiming *)((char *)w - offsetof(struct claiming, compared)), 0);
}

static void claimed(struct session_wait *w, int status)
{
        struct claiming *c = (struct claiming *)w;
        struct repair *r = c->claims->repair;
        if (status || !c->join || !r || !repair_wait(r, c->session, &c->compared, join_compared))
                answer_claim(c, status);
}

static void handle_claim(struct claims *cl, struct rpc_request *req)
{
        struct claim m;
        struct session *s;
        if (claim_decode(&req->body, &m) < 0) {
                rpc_drop(req, "malformed CLAIM");
                return;
        }
        check_title(m.title);
        if (m.grace_ms > GRACE_MAX_MS)
                m.grace_ms = GRACE_MAX_MS;
        int rc = store_claim(cl->store, &m, &s);
        if (rc) {
                log_warn("session=%s stream=%s msg=\"claim refused\" node=%s error=\"%s\"", m.session, m.stream, m.node,
                         err_text(rc));
                reply_claim(req, rc, NULL);
                return;
        }
        struct claiming *c = mem_alloc(sizeof(*c));
        *c = (struct claiming){.claims = cl, .req = req, .session = s, .join = m.flags & CLAIM_JOIN};
        s->pins++;
        const char *what = m.flags & CLAIM_JOIN ? "joined" : s->generation ? "claimed again" : "session begins";
        char title[160], before[NODE_ID_MAX + 1];
        strcpy(before, s->node[0] ? s->node : "-");
        session_claim(s, &m, &c->wait, claimed); /* answers later, from the save */
        c->generation = s->generation;
        log_info("session=%s stream=%s msg=\"%s\" generation=%u node=%s before=%s title=%s", s->id, s->stream, what,
                 s->generation, m.node, before, log_quote(title, sizeof(title), m.title));
}

/* PUT */

struct putting {
        struct chunk_append append;
        struct repair_wait compared;
        struct claims *claims;
        struct rpc_request *req;
        struct session *session;
        char track[TRACK_NAME_MAX + 1];
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

static void count_refusal(struct claims *cl, const struct put *m, int status)
{
        stat_add(refusal(status), 1);
        if (status == ERR_NOSPACE)
                store_no_space(cl->store);
        bool writers = status == ERR_NOSPACE || status == ERR_FENCED || status == ERR_ORDER || status == ERR_NOT_YET;
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
        if (t && t->log && t->log->index.count) {
                index_next(&t->log->index, &m.next_segment, &m.next_chunk, &m.end_us);
        } else if (t) {
                m.next_segment = t->first_segment;
                m.end_us = t->start_us;
        }
        reply(req, MSG_PUT_REPLY, put_reply_encode, &m);
}

static void put_done(struct putting *p, int status)
{
        const struct chunk_append *a = &p->append;
        if (status) {
                struct put m = {.segment = a->segment, .chunk = a->chunk, .start_us = a->start_us};
                strcpy(m.session, p->session->id);
                strcpy(m.track, p->track);
                count_refusal(p->claims, &m, status);
        }
        reply_put(p->req, status, p->session, p->track);
        buf_unref(&p->append.bytes);
        free(p);
}

static void appended(struct chunk_append *a, int status)
{
        stat_add(STAT_CHUNKS_AGAIN, a->again ? 1 : 0);
        put_done((struct putting *)a, status);
}

static void track_added(void *arg, int status)
{
        put_done(arg, status);
}

/* What is missing before the chunk is here now, or nobody has it: a hole then. Meanwhile all may have changed. */
static void put_compared(struct repair_wait *w, int status)
{
        struct putting *p = (struct putting *)((char *)w - offsetof(struct putting, compared));
        struct session *s = p->session;
        struct track *t = session_track(s, p->track);
        s->pins--;
        if (status && t && t->log && !track_ahead(t, p->append.segment, p->append.chunk))
                status = 0;
        if (!status && (s->state == SESSION_ENDED || s->ending || !t || !t->log))
                put_done(p, ERR_NOT_FOUND);
        else if (!status && p->append.generation != s->generation)
                put_done(p, ERR_FENCED);
        else if (status)
                put_done(p, status);
        else
                chunk_log_append(t->log, &p->append);
}

static bool hold_put(struct putting *p, const struct track *t)
{
        struct repair *r = p->claims->repair;
        if (!r || !track_ahead(t, p->append.segment, p->append.chunk) ||
            !repair_wait(r, p->session, &p->compared, put_compared))
                return false;
        p->session->pins++;
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
static int judge_put(struct claims *cl, const struct put *m, struct session *s)
{
        if (!s || s->state == SESSION_ENDED || s->ending || !s->claimed)
                return ERR_NOT_FOUND;
        if (m->generation != s->generation) {
                log_fence(s, m);
                return ERR_FENCED;
        }
        session_heard(s); /* full or not, the writer is there */
        return cl->store->full ? ERR_NOSPACE : 0;
}

/* How long the chunk lasts is what its boxes say, so that a walk of the file finds the same; duration_us is not needed.
 * Takes the message, which the bytes lie in, and starts what the PUT asks for. */
static void start_put(struct claims *cl, struct rpc_request *req, const struct put *m, struct session *s)
{
        struct track *t = session_track(s, m->track);
        struct putting *p = mem_alloc(sizeof(*p));
        *p = (struct putting){.claims = cl, .req = req, .session = s};
        p->append = (struct chunk_append){.segment = m->segment, .chunk = m->chunk, .flags = m->flags,
                                          .start_us = m->start_us, .generation = m->generation, .done = appended};
        strcpy(p->track, m->track);
        p->append.bytes = buf_wrap((uint8_t *)(uintptr_t)m->bytes, m->len, free_message, req->msg);
        req->msg = NULL;
        if (m->flags & PUT_INIT)
                session_add_track(s, m, track_added, p);
        else if (!t || !t->log)
                put_done(p, ERR_NOT_FOUND);
        else if (!hold_put(p, t))
                chunk_log_append(t->log, &p->append);
}

static void handle_put(struct claims *cl, struct rpc_request *req)
{
        struct put m;
        if (put_decode(&req->body, &m) < 0) {
                stat_add(STAT_PUTS_PROTO, 1);
                rpc_drop(req, "malformed PUT");
                return;
        }
        struct session *s = store_session(cl->store, m.session);
        int rc = m.start_us < 0 ? ERR_CONFLICT : judge_put(cl, &m, s);
        if (!rc) {
                start_put(cl, req, &m, s);
                return;
        }
        count_refusal(cl, &m, rc);
        reply_put(req, rc, s, m.track);
}

/* END */

struct ending {
        struct session_wait wait;
        struct rpc_request *req;
};

static void reply_end(struct rpc_request *req, int status)
{
        reply(req, MSG_END_REPLY, status_reply_encode, &(struct status_reply){.status = (int8_t)status});
}

static void ended(struct session_wait *w, int status)
{
        struct ending *e = (struct ending *)w;
        reply_end(e->req, status);
        free(e);
}

static void handle_end(struct claims *cl, struct rpc_request *req)
{
        struct end m;
        if (end_decode(&req->body, &m) < 0) {
                rpc_drop(req, "malformed END");
                return;
        }
        struct session *s = store_session(cl->store, m.session);
        bool known = s && (s->claimed || s->state == SESSION_ENDED);
        if (!known || m.generation != s->generation) {
                reply_end(req, known ? ERR_FENCED : ERR_NOT_FOUND);
                return;
        }
        struct ending *e = mem_alloc(sizeof(*e));
        *e = (struct ending){.req = req};
        session_end(s, m.end_us, true, &e->wait, ended);
}

/* Told at once: the writer has other owners to go on with. */
static void refuse(struct rpc_request *req)
{
        if (req->type == MSG_CLAIM)
                reply_claim(req, ERR_CANCELED, NULL);
        else if (req->type == MSG_PUT)
                reply_put(req, ERR_CANCELED, NULL, "");
        else if (req->type == MSG_END)
                reply_end(req, ERR_CANCELED);
        else
                rpc_drop(req, "not for this port");
}

void claim_handle(void *arg, struct rpc_request *req)
{
        struct claims *cl = arg;
        if (cl->stopping) {
                refuse(req);
                return;
        }
        switch (req->type) {
        case MSG_CLAIM:
                handle_claim(cl, req);
                break;
        case MSG_PUT:
                handle_put(cl, req);
                break;
        case MSG_END:
                handle_end(cl, req);
                break;
        default:
                rpc_drop(req, "not for this port");
        }
}
