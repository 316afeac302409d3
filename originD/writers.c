#include "originD/writers.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/stats.h"
#include "proto/generation.h"

static void reply(struct rpc_request *req, uint8_t type, message_encode *encode, const void *message)
{
        rpc_reply(req, message_new(type, encode, message));
}

/* ---- CLAIM ------------------------------------------------------------------------------------------------------------ */

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
        struct catch_up_wait compared;
        struct writers *writers;
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
                m.chunk_ms = s->chunk_ms;
                m.track_count = (uint8_t)session_claim_tracks(s, m.tracks);
        }
        reply(req, MSG_CLAIM_REPLY, claim_reply_encode, &m);
}

/* What only the disk can have said: a writer would take some of it for its own fault, and give up. */
static bool is_disks(int status)
{
        return status == ERR_READ_ONLY || status == ERR_LIMIT || status == ERR_DENIED || status == ERR_NOT_FOUND;
}

static void answer_claim(struct claiming *c, int status)
{
        c->session->pins--;
        if (!status && (c->session->generation != c->generation || c->session->ending))
                status = ERR_FENCED; /* claimed again by another one meanwhile */
        reply_claim(c->req, is_disks(status) ? ERR_IO : status, c->session);
        free(c);
}

/* In step or not, this is where its tracks end now. */
static void join_compared(struct catch_up_wait *w, int status)
{
        (void)status;
        answer_claim((struct claiming *)((char *)w - offsetof(struct claiming, compared)), 0);
}

static void claimed(struct session_wait *w, int status)
{
        struct claiming *c = (struct claiming *)w;
        struct catch_up *r = c->writers->catch_up;
        if (status || !c->join || !r || !catch_up_wait(r, c->session, &c->compared, join_compared))
                answer_claim(c, status);
}

static void refuse_claim(struct rpc_request *req, const struct claim *m, int why)
{
        if (why == ERR_NOT_FOUND) { /* its writer only asked whether the stream is live */
                reply_claim(req, why, NULL);
                return;
        }
        /* The disk's state is told once, by space.c or with the save that failed; the writer tries again for as long as it lasts. */
        if (why == ERR_IO || why == ERR_NOSPACE)
                log_debug("session=%s stream=%s msg=\"claim refused\" writer=%s error=\"%s\"", m->session, m->stream, m->node,
                          err_text(why));
        else
                log_warn_of(m->node, "session=%s stream=%s msg=\"claim refused\" writer=%s error=\"%s\"", m->session, m->stream,
                            m->node, err_text(why));
        stat_add(STAT_CLAIMS_REFUSED, 1);
        reply_claim(req, why, NULL);
}

/* A transcoder of a version that knows one grid cannot read the answer: it would take the origin for broken, and end the connection that
 * its other streams are stored by. And the claim would have fenced who writes now. Who asks for the short one knows it, also if it does not say so. */
static bool is_beyond_asker(const struct writers *ws, const struct rpc_request *req, const struct claim *m)
{
        bool join = m->flags & CLAIM_JOIN;
        const struct session *s = join ? store_session(ws->store, m->session) : stream_live(store_stream(ws->store, m->stream));
        return s && s->chunk_ms != CHUNK_MS && m->chunk_ms != CHUNK_MS_SHORT && !rpc_asker_can(req, CAN_SHORT_GRID);
}

static void take_claim(struct writers *ws, struct rpc_request *req, const struct claim *m)
{
        struct session *s;
        if (!generation_possible(m->generation)) {
                stat_add(STAT_IMPOSSIBLE_GENERATIONS, 1);
                log_warn_of(m->node, "session=%s stream=%s msg=\"there is no such generation: it does not count\" writer=%s generation=%u",
                            m->session, m->stream, m->node, m->generation);
        }
        if (is_beyond_asker(ws, req, m)) {
                log_warn_of(m->node, "session=%s stream=%s writer=%s msg=\"the writer knows no such chunks: another goes on\"",
                            m->session, m->stream, m->node);
                refuse_claim(req, m, ERR_FULL); /* for which a proxy asks the next transcoder */
                return;
        }
        int rc = store_claim(ws->store, m, &s);
        if (rc) {
                refuse_claim(req, m, rc);
                return;
        }
        struct claiming *c = mem_alloc(sizeof(*c));
        *c = (struct claiming){.writers = ws, .req = req, .session = s, .join = m->flags & CLAIM_JOIN};
        s->pins++;
        const char *what = m->flags & CLAIM_JOIN ? "joined" : s->generation ? "claimed again" : "session begins";
        char title[160], before[NODE_ID_MAX + 1];
        strcpy(before, s->node[0] ? s->node : "-");
        session_claim(s, m, &c->wait, claimed); /* answers later, from the save */
        c->generation = s->generation;
        log_info("session=%s stream=%s msg=\"%s\" generation=%u writer=%s before=%s title=%s", s->id, s->stream, what,
                 s->generation, m->node, before, log_quote(title, sizeof(title), m->title));
}

struct held_claim {
        struct held_claim *next;
        struct rpc_request *req;
        struct claim m;
        int64_t came_us;
        char live[SESSION_ID_MAX + 1]; /* the stream's session as it was then, "" for none, */
        uint32_t generation;           /* and its generation */
};

static void hold_claim(struct writers *ws, struct rpc_request *req, const struct claim *m)
{
        if (ws->held_count == CLAIMS_HELD_MAX) {
                refuse_claim(req, m, ERR_FULL);
                return;
        }
        struct held_claim *h = mem_alloc(sizeof(*h));
        const struct session *live = stream_live(store_stream(ws->store, m->stream));
        *h = (struct held_claim){.req = req, .m = *m, .came_us = clock_mono_us()};
        if (live) {
                strcpy(h->live, live->id);
                h->generation = live->generation;
        }
        *ws->held_last = h;
        ws->held_last = &h->next;
        ws->held_count++;
}

/* Why a claim that was held comes too late. Its writer may have the session from another owner by now and have joined it here, or
 * this origin may have copied what that owner gave it: one generation more would fence that very writer. That a session ended
 * meanwhile is no such thing. */
static int judge_held(struct writers *ws, const struct held_claim *h)
{
        const struct session *live = stream_live(store_stream(ws->store, h->m.stream));
        if (ws->stopping)
                return ERR_CANCELED;
        if (clock_mono_us() - h->came_us > CLAIM_HELD_US)
                return ERR_NOT_YET;
        bool other = live && !live->over_elsewhere && (live->generation != h->generation || strcmp(live->id, h->live) != 0);
        return live && (live->claimed || other) ? ERR_FENCED : 0;
}

static void release_held(struct writers *ws)
{
        struct held_claim *h = ws->held;
        ws->held = NULL;
        ws->held_last = &ws->held;
        ws->held_count = 0;
        while (h) {
                struct held_claim *next = h->next;
                int why = judge_held(ws, h);
                if (why)
                        refuse_claim(h->req, &h->m, why);
                else
                        take_claim(ws, h->req, &h->m);
                free(h);
                h = next;
        }
}

static void handle_claim(struct writers *ws, struct rpc_request *req)
{
        struct claim m;
        if (claim_decode(&req->body, &m) < 0) {
                rpc_drop(req, "malformed CLAIM");
                return;
        }
        check_title(m.title);
        if (m.grace_ms > GRACE_MAX_MS)
                m.grace_ms = GRACE_MAX_MS;
        /* A JOIN says itself which session it is of, and that one is compared before the answer. */
        if (ws->unsettled && !(m.flags & CLAIM_JOIN))
                hold_claim(ws, req, &m);
        else
                take_claim(ws, req, &m);
}

/* ---- END -------------------------------------------------------------------------------------------------------------- */

struct ending {
        struct session_wait wait;
        struct catch_up_wait compared;
        struct rpc_request *req;
        struct session *session;
        uint32_t generation;
        int64_t end_us;
};

static void reply_end(struct rpc_request *req, int status)
{
        reply(req, MSG_END_REPLY, status_reply_encode, &(struct status_reply){.status = (int8_t)status});
}

static void answer_end(struct ending *e, int status)
{
        reply_end(e->req, is_disks(status) ? ERR_IO : status);
        free(e);
}

static void ended(struct session_wait *w, int status)
{
        answer_end((struct ending *)w, status);
}

/* Of what its writer has stored the last is not here. A still picture of the last second is no sign of that second's chunks. */
static bool ends_early(const struct session *s, int64_t end_us)
{
        int64_t longest = 0;
        for (size_t i = 0; i < s->track_count; i++) {
                struct track_facts f = track_facts(s, s->tracks[i]);
                longest = f.any && s->tracks[i]->init.kind < TRACK_KINDS && f.end_us > longest ? f.end_us : longest;
        }
        return s->state == SESSION_LIVE && longest + chunk_us(s->chunk_ms) < end_us;
}

/* What is still missing then comes later, and it ends with that: viewers would take it for the whole before. */
static void end_compared(struct catch_up_wait *w, int status)
{
        struct ending *e = (struct ending *)((char *)w - offsetof(struct ending, compared));
        struct session *s = e->session;
        s->pins--;
        if (s->generation != e->generation)
                answer_end(e, ERR_FENCED);
        else if (status == ERR_CANCELED || (status == ERR_NOT_YET && ends_early(s, e->end_us)))
                answer_end(e, status == ERR_CANCELED ? status : 0);
        else
                session_end(s, e->end_us, true, &e->wait, ended);
}

/* A writer tells all owners of the end, also one that lacks something. What is over nobody goes on with from here on. */
static bool hold_end(struct writers *ws, struct ending *e)
{
        struct session *s = e->session;
        if (!ws->catch_up || !ends_early(s, e->end_us) || !catch_up_wait(ws->catch_up, s, &e->compared, end_compared))
                return false;
        s->over_elsewhere = true;
        s->pins++;
        return true;
}

static void handle_end(struct writers *ws, struct rpc_request *req)
{
        struct end m;
        if (end_decode(&req->body, &m) < 0) {
                rpc_drop(req, "malformed END");
                return;
        }
        struct session *s = store_session(ws->store, m.session);
        bool known = s && (s->claimed || s->state == SESSION_ENDED);
        if (!known || m.generation != s->generation) {
                reply_end(req, known ? ERR_FENCED : ERR_NOT_FOUND);
                return;
        }
        struct ending *e = mem_alloc(sizeof(*e));
        *e = (struct ending){.req = req, .session = s, .generation = m.generation, .end_us = m.end_us};
        if (!hold_end(ws, e))
                session_end(s, m.end_us, true, &e->wait, ended);
}

/* ---- the port --------------------------------------------------------------------------------------------------------- */

/* Told at once: the writer has other owners to go on with. */
static void refuse(struct rpc_request *req)
{
        if (req->type == MSG_CLAIM)
                reply_claim(req, ERR_CANCELED, NULL);
        else if (req->type == MSG_PUT)
                writers_refuse_put(req, ERR_CANCELED);
        else if (req->type == MSG_END)
                reply_end(req, ERR_CANCELED);
        else
                rpc_drop(req, "not for this port");
}

void writers_open(struct writers *ws, uv_loop_t *loop, struct store *store)
{
        *ws = (struct writers){.store = store};
        ws->held_last = &ws->held;
        shadow_turns_open(&ws->turns, loop);
}

static bool connected(void *arg, const char *node)
{
        return rpc_server_has(arg, node);
}

static void gone(void *arg, const char *node)
{
        (void)node;
        shadow_turns_node_gone(&((struct writers *)arg)->turns);
}

void writers_watch(struct writers *ws, struct rpc_server *s)
{
        ws->turns.connected = connected;
        ws->turns.arg = s;
        rpc_server_watch(s, gone, ws);
}

void writers_session_changed(struct writers *ws, struct session *s)
{
        shadow_turns_session_changed(&ws->turns, s);
}

void writers_unsettled(struct writers *ws)
{
        ws->unsettled = true;
}

void writers_settled(struct writers *ws)
{
        ws->unsettled = false;
        release_held(ws);
}

void writers_stop(struct writers *ws)
{
        ws->stopping = true;
        release_held(ws);
        shadow_turns_stop(&ws->turns);
}

void writers_close(struct writers *ws)
{
        shadow_turns_close(&ws->turns);
}

void writers_handle(void *arg, struct rpc_request *req)
{
        struct writers *ws = arg;
        if (ws->stopping) {
                refuse(req);
                return;
        }
        switch (req->type) {
        case MSG_CLAIM:
                handle_claim(ws, req);
                break;
        case MSG_PUT:
                writers_put(ws, req);
                break;
        case MSG_END:
                handle_end(ws, req);
                break;
        default:
                rpc_drop(req, "not for this port");
        }
}
