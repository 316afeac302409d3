/* steps.c - what is done for one connection in its turn: its bytes, the steps from a head to the end of its answer, and its end. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/mem.h"
#include "edged/wire/server.h"

/* ---- the end of a connection ------------------------------------------------------------------------------------------ */

/* Proxies of HTTP/1.0 keep what came before an orderly end as all there is. */
static void close_socket(struct conn *c)
{
        static const struct linger none = {.l_onoff = 1, .l_linger = 0};
        if (c->unended)
                setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        close(c->fd);
}

void wire_end_conn(struct conn *c)
{
        struct wire_thread *t = c->thread;
        c->gone = true;
        if (c->closed || (c->request && !request_leave(c->request)))
                return;
        c->closed = true;
        if (c->request)
                request_put(c->request);
        if (c->requests == 0 && !c->condemned)
                stats_close(CLOSE_UNREAD);
        conn_leave(c);
        seats_leave(c);
        close_socket(c);
        c->next_closed = t->closed;
        t->closed = c;
}

void wire_free_closed(struct wire_thread *t)
{
        struct conn *c = t->closed, *next;
        t->closed = NULL;
        for (; c; c = next) {
                next = c->next_closed;
                if (c->ready) {
                        c->next_closed = t->closed;
                        t->closed = c;
                } else {
                        conn_free(c);
                }
        }
}

/* ---- input ----------------------------------------------------------------------------------------------------------- */

static void load_input(struct wire_thread *t, struct conn *c)
{
        t->at = 0;
        t->have = c->saved_len;
        if (c->saved)
                memcpy(t->input, c->saved, c->saved_len);
        free(c->saved);
        c->saved = NULL;
        c->saved_len = 0;
}

static void save_input(struct wire_thread *t, struct conn *c)
{
        c->saved_len = t->have - t->at;
        if (c->saved_len == 0)
                return;
        c->saved = mem_resize(NULL, c->saved_len);
        memcpy(c->saved, t->input + t->at, c->saved_len);
}

/* Behind what is there already. */
static enum turn receive_bytes(struct wire_thread *t, struct conn *c)
{
        if (!c->readable && !c->tls)
                return TURN_WAIT;
        if (t->at > 0)
                memmove(t->input, t->input + t->at, t->have - t->at);
        t->have -= t->at;
        t->at = 0;
        size_t room = sizeof(t->input) - t->have;
        ssize_t n = c->tls ? tls_recv(c->tls, t->input + t->have, room) : recv(c->fd, t->input + t->have, room, 0);
        if (n < 0 && errno == EINTR)
                return TURN_ON;
        if (n < 0 && errno == EAGAIN) {
                c->readable = false;
                return TURN_WAIT;
        }
        if (n <= 0)
                return TURN_OVER;
        t->have += (size_t)n;
        if (!c->tls) /* which knows itself what it took from the kernel */
                c->readable = (size_t)n == room || c->hung_up; /* with less than asked for there is no more, until the kernel tells */
        return TURN_ON;
}

/* ---- the steps of a connection ------------------------------------------------------------------------------------------ */

static void begin_answer(struct request *r)
{
        r->conn->step = STEP_ANSWER;
        r->conn->thread->wire->ops.begin(r);
        if (r->held)
                request_keep_head(r);
}

void wire_refuse(struct conn *c, enum parse_fault fault)
{
        struct request *r = request_get(c);
        stats_bad(fault);
        r->fault = fault;
        r->closes = true;
        c->step = STEP_ANSWER;
        wire_answer(r, c->thread->wire->ops.refusal(fault), NULL);
}

static void begin_request(struct wire_thread *t, struct conn *c, const struct parse_head *head, size_t len)
{
        struct request *r = request_get(c);
        r->head = *head;
        r->head_at = t->input + t->at;
        r->head_len = len;
        r->closes = head->closes || c->turned_away;
        t->at += len;
        c->left_bytes = c->turned_away ? 0 : (size_t)head->body_bytes;
        if (c->left_bytes == 0) {
                begin_answer(r);
                return;
        }
        request_keep_head(r);
        c->step = STEP_BODY;
        conn_enter(c, CONN_HEADERS, r->started_us); /* a body has as much time as headers have */
}

static enum turn read_head(struct wire_thread *t, struct conn *c)
{
        struct parse_head head;
        if (t->at == t->have)
                return receive_bytes(t, c);
        ssize_t n = parse_head(t->input + t->at, t->have - t->at, &head);
        if (n == 0)
                return receive_bytes(t, c);
        if (n > 0)
                begin_request(t, c, &head, (size_t)n);
        else
                wire_refuse(c, (enum parse_fault)-n);
        return TURN_ON;
}

static enum turn read_body(struct wire_thread *t, struct conn *c)
{
        size_t there = t->have - t->at, n = there < c->left_bytes ? there : c->left_bytes;
        if (n > 0 && t->wire->ops.body)
                t->wire->ops.body(c->request, t->input + t->at, n);
        t->at += n;
        c->left_bytes -= n;
        if (c->left_bytes > 0)
                return receive_bytes(t, c);
        begin_answer(c->request);
        return TURN_ON;
}

enum turn wire_linger(struct conn *c)
{
        tls_free(&c->tls); /* what is read away need not be understood */
        if (shutdown(c->fd, SHUT_WR) != 0)
                return TURN_OVER;
        c->step = STEP_LINGER;
        c->left_bytes = WIRE_LINGER_BYTES;
        conn_enter(c, CONN_CLOSING, clock_mono_us());
        return TURN_ON;
}

static enum turn finish_answer(struct conn *c, bool whole)
{
        struct request *r = c->request;
        bool closes = r->closes;
        r->whole = whole;
        int64_t ended_us = request_put(r);
        conn_admit(c, &access_nothing);
        if (c->unended && !whole)
                return TURN_OVER;
        c->unended = false;
        if (closes && whole && c->tls)
                tls_end(c->tls);
        if (closes)
                return wire_linger(c);
        c->step = STEP_HEAD;
        conn_enter(c, CONN_IDLE, ended_us);
        return TURN_ON;
}

/* The next piece of what grows. */
static enum turn take_piece(struct wire_thread *t, struct conn *c)
{
        struct request *r = c->request;
        struct buf *piece = NULL;
        size_t off = 0;
        bool last = false;
        ssize_t n = t->wire->ops.more(r, &piece, &off, &last);
        if (n == 0)
                return TURN_WAIT;
        if (n > 0) {
                output_piece(&r->out, piece, off, (size_t)n, last);
                conn_enter(c, CONN_SENDING, clock_mono_us());
        } else if (n == ERR_CLOSED) {
                output_last(&r->out);
                last = true;
        } else { /* the viewer sees by the missing end that it is not all */
                stats_close(CLOSE_BROKEN);
                r->closes = true;
                return finish_answer(c, false);
        }
        r->wants_piece = false;
        r->ended = last;
        return TURN_ON;
}

static enum turn send_answer(struct wire_thread *t, struct conn *c)
{
        struct request *r = c->request;
        if (r->held || c->full)
                return TURN_WAIT;
        assert(r->out.answer);
        if (r->wants_piece)
                return take_piece(t, c);
        switch (output_send(&r->out, c->fd, c->tls)) {
        case OUTPUT_FULL:
                c->full = true;
                return TURN_WAIT;
        case OUTPUT_BROKEN:
                return TURN_OVER;
        case OUTPUT_SENT:
                break;
        }
        if (!r->out.answer->grows || r->ended)
                return finish_answer(c, true);
        r->wants_piece = true;
        return TURN_ON;
}

/* What comes after the last answer is read away: to close over it would send a reset, which may reach the viewer before the answer. */
static enum turn linger(struct wire_thread *t, struct conn *c)
{
        size_t there = t->have - t->at;
        t->at = t->have;
        if (there >= c->left_bytes)
                return TURN_OVER;
        c->left_bytes -= there;
        return receive_bytes(t, c);
}

static enum turn (*const steps[])(struct wire_thread *, struct conn *) = {
        [STEP_SHAKE] = wire_shake, [STEP_HEAD] = read_head, [STEP_BODY] = read_body, [STEP_ANSWER] = send_answer, [STEP_LINGER] = linger};

static void look_again(struct wire_thread *t, struct conn *c)
{
        if (c->ready)
                return;
        c->ready = true;
        c->next_ready = NULL;
        *t->ready_last = c;
        t->ready_last = &c->next_ready;
}

/* The other side sends no more, and waits. true: it has gone, or may have and cannot be asked (wire.h). */
static bool has_gone(struct conn *c)
{
        static const char words[] = "HTTP/1.1 100 Continue\r\n\r\n";
        struct request *r = c->request;
        if (!c->hung_up || c->probed || !r || !r->held)
                return false;
        if (c->tls || r->head.http_1_0 || r->out.answer)
                return true;
        c->probed = true;
        return send(c->fd, words, sizeof(words) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(words) - 1;
}

void wire_run(struct wire_thread *t, struct conn *c)
{
        enum turn turn = TURN_ON;
        uint64_t before = c->requests;
        if (c->closed)
                return;
        load_input(t, c);
        for (unsigned i = 0; turn == TURN_ON && c->requests - before <= WIRE_TURN_REQUESTS && i < WIRE_TURN_STEPS; i++)
                turn = steps[c->step](t, c);
        if (turn == TURN_OVER || has_gone(c) || (c->condemned && c->unended)) {
                wire_end_conn(c);
                return;
        }
        save_input(t, c);
        enum conn_phase phase = (enum conn_phase)atomic_load_explicit(&c->phase, memory_order_relaxed);
        if (c->step == STEP_ANSWER && (phase == CONN_IDLE || phase == CONN_HEADERS))
                conn_enter(c, CONN_SENDING, c->request->started_us); /* who is answered at once does not stop resting for that moment */
        if (turn == TURN_ON || turn == TURN_LATER)
                look_again(t, c);
        else if (c->step == STEP_HEAD && c->saved && phase == CONN_IDLE)
                conn_enter(c, CONN_HEADERS, clock_mono_us()); /* from its first byte on a request has as long as the first one */
}
