#include "transcoderd/push/claim.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/timer.h"
#include "proto/generation.h"
#include "transcoderd/stats.h"

#define CANDIDATES_MAX 4
#define CALL_MIN_MS 300 /* for the one that is raised when most of the time is over */

enum answer { NOT_ASKED, ASKED, TOOK_IT, REFUSED };

struct candidate {
        struct claiming *claiming;
        struct origin origin;
        enum answer answer;
        struct claim_reply m; /* TOOK_IT */
};

struct claiming {
        const struct origins *origins;
        struct claim message;
        struct candidate candidates[CANDIDATES_MAX];
        size_t count, next; /* next: the first that was not asked */
        unsigned calls;     /* under way */
        uv_timer_t timer;   /* the deadline; from the first that took it on, the end of waiting for the others */
        int64_t until_us;
        uint32_t generation;      /* the highest that was given */
        int err;                  /* the last one's */
        struct candidate *leader; /* chosen, and being raised */
        bool finished, closing;
        claim_done *done; /* NULL: canceled, or called */
        void *arg;
};

static void choose(struct claiming *c);

/* ---- the end -------------------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h)
{
        free(h->data);
}

/* Answers that are still to come need c. */
static void close_if_idle(struct claiming *c)
{
        if (!c->finished || c->calls || c->closing)
                return;
        c->closing = true;
        uv_close((uv_handle_t *)&c->timer, on_closed);
}

static void finish(struct claiming *c, int err, const struct candidate *leader)
{
        claim_done *done = c->done;
        c->done = NULL;
        c->finished = true;
        uv_timer_stop(&c->timer);
        if (done && leader)
                done(c->arg, 0, &leader->origin, &leader->m);
        else if (done)
                done(c->arg, err, NULL, NULL);
        close_if_idle(c);
}

/* ---- asking --------------------------------------------------------------------------------------------------------- */

static void refused(struct candidate *a, int err)
{
        struct claiming *c = a->claiming;
        a->answer = REFUSED;
        c->err = err;
        if (err == ERR_NOT_FOUND && c->message.flags & CLAIM_ONLY_LIVE) /* this is no failure */
                return;
        log_warn("session=%s stream=%s origin=%s msg=\"claim failed\" error=\"%s\"", c->message.session, c->message.stream,
                 a->origin.id, err_text(err));
}

static bool call(struct candidate *a, const struct claim *m, rpc_done *done)
{
        struct claiming *c = a->claiming;
        int64_t ms = (c->until_us - clock_mono_us()) / US_PER_MS;
        nng_msg *msg = message_new(MSG_CLAIM, claim_encode, m);
        if (!origins_call(c->origins, a->origin.id, msg, ms > CALL_MIN_MS ? (unsigned)ms : CALL_MIN_MS, done, a))
                return false;
        c->calls++;
        return true;
}

/* No other owner would take a generation that there cannot be: whoever gives one is left out. */
static int judge(const struct candidate *a, const struct claim_reply *m)
{
        const char *origin = a->origin.id;
        if (m->status || generation_possible(m->generation))
                return m->status;
        metric_add(&stats_impossible_generations, 1);
        log_warn_of(origin, "stream=%s origin=%s msg=\"there is no such generation: the origin is left out\" generation=%u",
                    a->claiming->message.stream, origin, m->generation);
        return ERR_LIMIT;
}

static int read_answer(struct candidate *a, nng_msg *reply, struct claim_reply *m)
{
        struct reader r;
        if (message_open(&r, reply) == MSG_CLAIM_REPLY && claim_reply_decode(&r, m) == 0)
                return judge(a, m);
        origins_drop(a->claiming->origins, a->origin.id, "malformed answer to CLAIM");
        return ERR_PROTO;
}

static void on_claimed(void *arg, int err, nng_msg *reply);

/* One more of those that are left; false: there is none that is up. */
static bool ask_next(struct claiming *c)
{
        while (c->next < c->count) {
                struct candidate *a = &c->candidates[c->next++];
                if (call(a, &c->message, on_claimed)) {
                        a->answer = ASKED;
                        return true;
                }
        }
        return false;
}

static unsigned count(const struct claiming *c, enum answer answer)
{
        unsigned n = 0;
        for (size_t i = 0; i < c->count; i++)
                n += c->candidates[i].answer == answer;
        return n;
}

static void on_timer(uv_timer_t *t);

static void took_it(struct candidate *a)
{
        struct claiming *c = a->claiming;
        a->answer = TOOK_IT;
        c->generation = a->m.generation > c->generation ? a->m.generation : c->generation;
        if (count(c, TOOK_IT) == 1)
                timer_start(&c->timer, on_timer, CLAIM_OTHERS_MS);
}

static void on_claimed(void *arg, int err, nng_msg *reply)
{
        struct candidate *a = arg;
        struct claiming *c = a->claiming;
        c->calls--;
        if (!err)
                err = read_answer(a, reply, &a->m);
        nng_msg_free(reply);
        if (c->finished || c->leader) { /* too late; push.h joins it */
                close_if_idle(c);
                return;
        }
        if (err) {
                refused(a, err);
                ask_next(c);
        } else {
                took_it(a);
        }
        if (count(c, ASKED) == 0)
                choose(c);
}

/* ---- choosing ------------------------------------------------------------------------------------------------------- */

/* Of what is shown: a still picture is a second at once, and would count for more than the chunks that another owner has. */
static int64_t sum_of_ends(const struct claim_reply *m)
{
        int64_t sum = 0;
        for (int i = 0; i < m->track_count; i++)
                sum += strcmp(m->tracks[i].name, PICTURES_TRACK) != 0 ? m->tracks[i].end_us : 0;
        return sum;
}

static int compare(int64_t a, int64_t b)
{
        return a < b ? -1 : a > b;
}

/* A session that this claim made, at an origin that knew of none, is newer than any, but no reason to leave one that
 * has something. */
static int more(const struct claim_reply *a, const struct claim_reply *b)
{
        int rc = compare(a->track_count > 0, b->track_count > 0);
        if (!rc)
                rc = compare(a->epoch_us, b->epoch_us);
        if (!rc)
                rc = compare(a->written_generation, b->written_generation);
        if (!rc)
                rc = compare(sum_of_ends(a), sum_of_ends(b));
        return rc ? rc : compare(a->generation, b->generation);
}

static void on_raised(void *arg, int err, nng_msg *reply)
{
        struct candidate *a = arg;
        struct claiming *c = a->claiming;
        struct claim_reply m;
        c->calls--;
        c->leader = NULL;
        if (!err)
                err = read_answer(a, reply, &m);
        nng_msg_free(reply);
        if (c->finished) {
                close_if_idle(c);
        } else if (err == ERR_FENCED) { /* what any of them answered may be old by now */
                refused(a, err);
                finish(c, err, NULL);
        } else if (err) {
                refused(a, err);
                choose(c);
        } else {
                a->m = m;
                finish(c, 0, a);
        }
}

/* Nothing may be written at a generation that another owner has given to somebody before. */
static void raise_to_highest(struct claiming *c, struct candidate *leader)
{
        struct claim m = c->message;
        m.flags |= CLAIM_JOIN;
        m.generation = c->generation;
        m.epoch_us = leader->m.epoch_us;
        m.chunk_ms = leader->m.chunk_ms;
        memcpy(m.session, leader->m.session, sizeof(m.session));
        c->leader = leader;
        uv_timer_stop(&c->timer);
        if (call(leader, &m, on_raised))
                return;
        c->leader = NULL;
        refused(leader, ERR_CLOSED);
        choose(c);
}

static void choose(struct claiming *c)
{
        struct candidate *leader = NULL;
        for (size_t i = 0; i < c->count; i++) {
                struct candidate *a = &c->candidates[i];
                if (a->answer == TOOK_IT && (!leader || more(&a->m, &leader->m) > 0))
                        leader = a;
        }
        if (leader && leader->m.generation < c->generation)
                raise_to_highest(c, leader);
        else
                finish(c, c->err, leader);
}

static void on_timer(uv_timer_t *t)
{
        struct claiming *c = t->data;
        if (!c->err)
                c->err = ERR_TIMEOUT;
        choose(c);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

/* An origin that cannot store chunks of that length would end the connection for it: where one of those that may be asked is such, a
 * session that begins has chunks of the usual length. */
static void choose_grid(struct claiming *c)
{
        for (size_t i = 0; i < c->count; i++)
                if (!(c->candidates[i].origin.can & CAN_SHORT_GRID))
                        c->message.chunk_ms = 0;
}

struct claiming *claim_start(uv_loop_t *loop, const struct origins *origins, unsigned replicas,
                             const struct claim *message, claim_done *done, void *arg)
{
        struct origin route[CANDIDATES_MAX];
        struct claiming *c = mem_alloc(sizeof(*c));
        *c = (struct claiming){.origins = origins, .message = *message, .done = done, .arg = arg};
        c->until_us = clock_mono_us() + CLAIM_DEADLINE_MS * US_PER_MS;
        c->count = origins->link->route(origins->arg, message->stream, route, CANDIDATES_MAX);
        for (size_t i = 0; i < c->count; i++)
                c->candidates[i] = (struct candidate){.claiming = c, .origin = route[i]};
        choose_grid(c);
        for (unsigned n = 0; n < replicas && ask_next(c);)
                n++;
        if (!c->calls) {
                free(c);
                return NULL;
        }
        uv_timer_init(loop, &c->timer);
        c->timer.data = c;
        timer_start(&c->timer, on_timer, CLAIM_DEADLINE_MS);
        return c;
}

void claim_cancel(struct claiming **c)
{
        if (!c || !*c)
                return;
        (*c)->done = NULL;
        finish(*c, ERR_CANCELED, NULL);
        *c = NULL;
}
