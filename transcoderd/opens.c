#include "transcoderd/opens.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "transcoderd/stats.h"

static void count(int status)
{
        switch (status) {
        case ERR_FULL:
                metric_add(&stats_refused_full, 1);
                break;
        case ERR_UNSUPPORTED:
                metric_add(&stats_refused_unsupported, 1);
                break;
        case ERR_NOT_YET:
                metric_add(&stats_refused_not_yet, 1);
                break;
        case ERR_NOT_FOUND: /* a proxy only asked whether the stream is here */
                break;
        default:
                metric_add(&stats_refused_other, 1);
        }
}

void opens_refuse(struct rpc_request *open, int status, const char *text)
{
        struct open_reply m = {.status = (int8_t)status};
        count(status);
        snprintf(m.text, sizeof(m.text), "%s", text);
        rpc_reply(open, message_new(MSG_OPEN_REPLY, open_reply_encode, &m));
}

/* ---- those that wait ------------------------------------------------------------------------------------------------ */

static void wait(struct opens *o, struct rpc_request *open, const char *stream, int64_t until_us, bool turn)
{
        int free = -1, turns = 0;
        for (int i = 0; i < OPENS_WAITING_MAX; i++) {
                turns += o->waiting[i].req && o->waiting[i].turn;
                free = o->waiting[i].req ? free : i;
        }
        if (free < 0 || (turn && turns >= OPENS_TURN_MAX)) {
                metric_add(&stats_refused_beginning, 1);
                opens_refuse(open, ERR_FULL, "too many streams are beginning");
                return;
        }
        o->waiting[free].req = open;
        o->waiting[free].until_us = until_us;
        o->waiting[free].turn = turn;
        snprintf(o->waiting[free].stream, sizeof(o->waiting[free].stream), "%s", stream);
}

void opens_wait(struct opens *o, struct rpc_request *open, const char *stream, int64_t until_us)
{
        wait(o, open, stream, until_us, false);
}

void opens_wait_turn(struct opens *o, struct rpc_request *open, const char *stream, int64_t until_us)
{
        wait(o, open, stream, until_us, true);
}

static void hand_on(struct opens *o, int i)
{
        struct rpc_request *req = o->waiting[i].req;
        o->waiting[i].req = NULL;
        message_open(&req->body, req->msg);
        /* It may have to wait again, but no longer than it was going to: its proxy does not wait longer either. */
        o->again(o->arg, req, o->waiting[i].until_us);
}

void opens_look_turn(struct opens *o)
{
        int first = -1;
        for (int i = 0; i < OPENS_WAITING_MAX; i++) {
                if (o->waiting[i].req && o->waiting[i].turn &&
                    (first < 0 || o->waiting[i].until_us < o->waiting[first].until_us))
                        first = i;
        }
        if (first >= 0)
                hand_on(o, first);
}

void opens_look(struct opens *o, const char *stream)
{
        for (int i = 0; i < OPENS_WAITING_MAX; i++) {
                if (o->waiting[i].req && !o->waiting[i].turn && (!stream || strcmp(o->waiting[i].stream, stream) == 0))
                        hand_on(o, i);
        }
}

void opens_expire(struct opens *o, int64_t now_us)
{
        for (int i = 0; i < OPENS_WAITING_MAX; i++) {
                struct rpc_request *req = o->waiting[i].req;
                if (!req || o->waiting[i].until_us > now_us)
                        continue;
                o->waiting[i].req = NULL;
                if (o->waiting[i].turn) {
                        metric_add(&stats_refused_beginning, 1);
                        opens_refuse(req, ERR_FULL, "too many streams are beginning");
                } else {
                        opens_refuse(req, ERR_NOT_YET, "what was here before is still ending");
                }
        }
}

/* ---- streams that could not be encoded -------------------------------------------------------------------------------- */

void opens_ban(struct opens *o, const char *stream, int status, const char *text)
{
        unsigned i = o->bans_next;
        o->bans_next = (i + 1) % OPENS_BANS_MAX;
        snprintf(o->bans[i].stream, sizeof(o->bans[i].stream), "%s", stream);
        snprintf(o->bans[i].text, sizeof(o->bans[i].text), "%s", text);
        o->bans[i].status = status;
        o->bans[i].until_us = clock_mono_us() + OPENS_BAN_US;
}

int opens_banned(const struct opens *o, const char *stream, const char **text)
{
        int64_t now_us = clock_mono_us();
        for (unsigned i = 0; i < OPENS_BANS_MAX; i++) {
                if (o->bans[i].until_us > now_us && strcmp(o->bans[i].stream, stream) == 0) {
                        *text = o->bans[i].text;
                        return o->bans[i].status;
                }
        }
        return 0;
}

/* ---- handles -------------------------------------------------------------------------------------------------------- */

uint64_t opens_handle(struct opens *o)
{
        return ++o->last_handle;
}

void opens_retire(struct opens *o, uint64_t handle, int status)
{
        if (!handle)
                return;
        o->retired[o->retired_next].handle = handle;
        o->retired[o->retired_next].status = status;
        o->retired_next = (o->retired_next + 1) % OPENS_RETIRED_MAX;
}

int opens_retired(const struct opens *o, uint64_t handle)
{
        for (unsigned i = 0; handle && i < OPENS_RETIRED_MAX; i++) {
                if (o->retired[i].handle == handle)
                        return o->retired[i].status;
        }
        return ERR_NOT_FOUND;
}
