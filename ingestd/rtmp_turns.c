#include "ingestd/rtmp_server_impl.h"

void rtmp_turns_queue(struct queue *q)
{
        *q = (struct queue){.last = &q->first};
}

/* It may go on and be read in the same turn: its messages are counted over both. */
void rtmp_turns_begin(struct conn *c)
{
        if (c->turn != c->server->turn)
                rtmp_session_turn(c->session);
        c->turn = c->server->turn;
}

/* Whether it may be read now. Who publishes is read once a turn. The loop's thread is everybody's, so all who do not publish have a part
 * of each turn; who had nothing of it comes before those that had. */
bool rtmp_turns_may_read(struct conn *c)
{
        struct rtmp_server *s = c->server;
        uint64_t in = c->live ? s->turn : s->round;
        if (c->read_in == in)
                return false;
        if (!c->live && s->strangers_ns >= STRANGERS_TURN_NS) {
                s->round_goes_on = true;
                return false;
        }
        c->read_in = in;
        return true;
}

void rtmp_turns_behind(void *arg)
{
        struct conn *c = conn_of(arg);
        struct rtmp_server *s = c->server;
        struct queue *q = rtmp_session_live(c->session) ? &s->behind_live : &s->behind_strangers; /* it may have begun just now */
        metric_add(&rtmp_server_metrics[BEHIND], 1);
        c->behind = q;
        c->behind_next = NULL;
        c->behind_link = q->last;
        *q->last = c;
        q->last = &c->behind_next;
        q->count++;
        uv_idle_start(&s->next_turn, rtmp_turns_next);
}

void rtmp_turns_leave(struct conn *c)
{
        struct queue *q = c->behind;
        if (!q)
                return;
        *c->behind_link = c->behind_next;
        if (c->behind_next)
                c->behind_next->behind_link = c->behind_link;
        else
                q->last = c->behind_link;
        q->count--;
        c->behind = NULL;
}

static void go_on(struct conn *c)
{
        rtmp_turns_leave(c);
        rtmp_turns_begin(c);
        rtmp_session_go_on(c->session, now_us(c->server));
        rtmp_conn_look(c);
}

/* Each once; who still is behind stands at the end of the queue again. Strangers have half of their time for it. */
static void go_on_all(struct rtmp_server *s)
{
        for (unsigned n = s->behind_live.count; n > 0 && s->behind_live.first; n--)
                go_on(s->behind_live.first);
        uint64_t began_ns = uv_hrtime();
        for (unsigned n = s->behind_strangers.count; n > 0 && s->behind_strangers.first; n--) {
                if (uv_hrtime() - began_ns >= STRANGERS_TURN_NS / 2)
                        break;
                go_on(s->behind_strangers.first);
        }
        if (s->behind_strangers.count > 0)
                uv_idle_start(&s->next_turn, rtmp_turns_next);
}

void rtmp_turns_next(uv_idle_t *idle)
{
        struct rtmp_server *s = magic_check(idle->data, SERVER_MAGIC);
        uv_idle_stop(idle);
        for (unsigned i = 0; i < s->listening && s->accepting; i++) {
                if (s->listeners[i].waits)
                        rtmp_server_accept(&s->listeners[i]);
                s->listeners[i].waits = false;
        }
        go_on_all(s);
}

void rtmp_turns_over(uv_check_t *check)
{
        struct rtmp_server *s = magic_check(check->data, SERVER_MAGIC);
        s->turn++;
        s->round += !s->round_goes_on;
        s->round_goes_on = false;
        s->strangers_ns = s->accept_ns = 0;
}
