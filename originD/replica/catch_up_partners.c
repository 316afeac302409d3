#include "originD/replica/catch_up_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cluster/ring.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/replica/compare.h"
#include "originD/stats.h"

/* In the order of lists: by_start.h. */
static bool session_started_after(const struct peer_session *t, const struct session *s)
{
        int64_t t_ms = t->epoch_us / US_PER_MS, s_ms = s->epoch_us / US_PER_MS;
        return t_ms > s_ms || (t_ms == s_ms && strcmp(t->id, s->id) > 0);
}

/* ---- what a peer has more ------------------------------------------------------------------------------------------ */

static bool removed_here(const struct catch_up *r, const struct peer_session *p)
{
        size_t tracks = p->whole ? p->track_count : p->sum.tracks;
        return p->ended && (tracks == 0 || !retention_wants(r->store, p->stream, p->ended_wall_us, r->store->age.now_us));
}

static bool owned(const struct catch_up *r, const char *stream)
{
        void *owners[PEERS_UP_MAX];
        size_t max = r->options.replicas < PEERS_UP_MAX ? r->options.replicas : PEERS_UP_MAX;
        size_t n = ring_walk(r->ring, stream, NULL, owners, max);
        for (size_t i = 0; i < n; i++)
                if (strcmp(owners[i], r->options.self) == 0)
                        return true;
        return false;
}

/* A session that began while the other origin was of a version without such parts, and nobody here knew: both are to tell the same, and
 * that one has told none. */
static void take_parts(struct session *s, const struct peer_session *theirs)
{
        if (!s->long_parts || theirs->long_parts || theirs->ended || s->state == SESSION_ENDED)
                return;
        log_info("session=%s stream=%s msg=\"another origin has it without parts of 600 ms, so has this one\"", s->id, s->stream);
        s->long_parts = false;
        session_save(s, NULL, false, NULL);
}

static bool lacks(const struct catch_up *r, const struct peer_session *theirs)
{
        struct session *s = store_session(r->store, theirs->id);
        if (s)
                take_parts(s, theirs);
        if (s && compare_end(s, theirs) == END_NOW)
                s->over_elsewhere = true;
        return s ? !s->ending && compare_lacks(s, theirs, false) : !removed_here(r, theirs);
}

/* It was known as live, and is no more: or it would be missed among those that are. */
static void note_end(struct catch_up *r, struct lack *l)
{
        l->live = false;
        catch_up_move_lack(r, l);
}

/* What begins here from now on has long parts where all others know them. */
static void look_who_knows_parts(struct catch_up *r)
{
        bool all = true;
        for (size_t i = 0; i < r->partner_count; i++)
                all &= r->partners[i].long_parts;
        r->store->long_parts = all;
}

static void compare_with(struct partner *p, const struct catalog *list)
{
        struct catch_up *r = p->catch_up;
        for (size_t i = 0; i < list->count; i++) {
                const struct peer_session *t = &list->sessions[i];
                p->long_parts |= t->long_parts;
                if (!lacks(r, t))
                        continue;
                bool foreign = !store_session(r->store, t->id) && !owned(r, t->stream);
                struct lack *l = catch_up_note_lack(r, p->id, t->id, t->stream, t->epoch_us, !t->ended, foreign);
                if (l) {
                        l->told = true;
                        if (l->live && t->ended)
                                note_end(r, l);
                } else if (!foreign) {
                        p->more = true;
                }
        }
        look_who_knows_parts(r);
}

/* ---- what it tells ---------------------------------------------------------------------------------------------------- */

static void ask_list(struct partner *p);

static void ask_more(struct partner *p)
{
        free(p->text);
        p->text = NULL;
        p->len = 0;
        ask_list(p);
}

/* From the beginning: what moved since the last time, or now and then, and at first, all of it. */
static void begin_live(struct partner *p)
{
        struct live_round *live = &p->live;
        int64_t now = clock_mono_us(), pause_us = live->spent_us * CATCH_UP_LIVE_SHARE;
        if (pause_us < CATCH_UP_EVERY_US)
                pause_us = CATCH_UP_EVERY_US;
        live->all = !live->next || live->failed || !p->heard_of_live || now - live->all_us >= pause_us;
        live->since = live->all ? 0 : live->next;
        live->before_ms = INT64_MAX;
        live->before[0] = '\0';
        live->failed = true; /* until its last page is here */
        p->asked_live_us = now;
        if (!live->all)
                return;
        live->all_us = now;
        live->spent_us = 0;
        p->untold_count = 0;
        for (struct lack *l = p->catch_up->lacks; l; l = l->next)
                if (l->live && strcmp(l->peer, p->id) == 0)
                        l->told = false;
}

static void ask(struct partner *p, int what)
{
        p->asking = what;
        p->forgotten = false;
        if (what == ASKS_LIVE)
                begin_live(p);
        if (what != ASKS_NOTHING) {
                ask_more(p);
                return;
        }
        free(p->text);
        p->text = NULL;
        p->len = 0;
}

/* What ended comes in pages, and over a long way many of them take a minute; nobody who watches something live waits for that. */
static void take_ended(struct partner *p, const struct catalog *list)
{
        p->pages_left = !p->more && list->more && list->next > p->since;
        if (!p->more) /* what could not be noted is read again when there is room */
                p->since = list->next;
        bool live_is_due = clock_mono_us() - p->asked_live_us > CATCH_UP_SILENT_US;
        ask(p, p->pages_left && !live_is_due ? ASKS_ENDED : ASKS_LIVE);
}

static void add_untold(struct partner *p, const char *id)
{
        if (p->untold_count == p->untold_room) {
                p->untold_room = p->untold_room ? 2 * p->untold_room : 16;
                p->untold = mem_resize(p->untold, p->untold_room * sizeof(*p->untold));
        }
        strcpy(p->untold[p->untold_count++], id);
}

/* What is live here and not there may have ended there: among many recordings that would be heard last, and until then it would
 * be claimed again here. Page and list are in one order, so a page tells of all that started between its beginning and its end. */
static void note_untold(struct partner *p, const struct catalog *list)
{
        const struct by_start *here = &p->catch_up->store->live_by_start;
        size_t i = by_start_before(here, p->live.before_ms, p->live.before), told = 0;
        /* An index of what started last before the end of the page, which is the page's last itself when that is live here. */
        size_t end = list->more ? by_start_before(here, list->before_ms, list->before) : here->count;
        for (; i < end; i++) {
                const struct session *s = here->at[i];
                while (told < list->count && session_started_after(&list->sessions[told], s))
                        told++;
                if (told == list->count || strcmp(list->sessions[told].id, s->id) != 0)
                        add_untold(p, s->id);
        }
}

/* true: it is on its way. */
static bool ask_untold(struct partner *p)
{
        if (p->heard_of_live || !p->untold_count) {
                p->heard_of_live = true;
                return false;
        }
        ask(p, ASKS_ONE);
        return true;
}

static void forget_untold_lacks(struct partner *p)
{
        struct catch_up *r = p->catch_up;
        for (struct lack *l = r->lacks, *next; l; l = next) {
                next = l->next;
                if (!l->told && !l->copy && !l->exact && strcmp(l->peer, p->id) == 0)
                        catch_up_forget_lack(r, l);
        }
}

/* true: the next page is asked for. */
static bool take_live(struct partner *p, const struct catalog *list)
{
        struct live_round *live = &p->live;
        bool first = !live->before[0];
        if (live->all && !p->heard_of_live)
                note_untold(p, list);
        if (first)
                live->next = list->next;
        if (list->more && !p->forgotten) {
                live->before_ms = list->before_ms;
                strcpy(live->before, list->before);
                ask_more(p);
                return true;
        }
        live->failed = p->forgotten;
        if (live->all && !p->forgotten)
                forget_untold_lacks(p);
        return false;
}

static void take_list(struct partner *p, const struct catalog *list)
{
        compare_with(p, list);
        if (p->asking == ASKS_LIVE && take_live(p, list))
                return;
        if (p->asking == ASKS_ONE)
                p->untold_count--;
        if (p->forgotten) {
                ask(p, ASKS_ENDED);
        } else if (p->asking == ASKS_ENDED) {
                take_ended(p, list);
        } else if (ask_untold(p)) {
                return;
        } else if (p->pages_left) {
                ask(p, ASKS_ENDED);
        } else {
                p->compared = true;
                ask(p, ASKS_NOTHING);
        }
}

/* A page that leads to where it begins, or before that, would be asked for for ever. */
static bool goes_nowhere(const struct partner *p, const struct catalog *list)
{
        const struct live_round *live = &p->live;
        bool later = list->before_ms > live->before_ms || (list->before_ms == live->before_ms && strcmp(list->before, live->before) >= 0);
        return list->more && (!*list->before || later);
}

/* answered: the peer said so. */
static void list_over(struct partner *p, int status, bool answered)
{
        struct catch_up *r = p->catch_up;
        struct catalog list = {0};
        int64_t began_us = clock_mono_us();
        p->starts = answered && status == ERR_NOT_YET && p->asking != ASKS_ONE;
        if (!status) {
                status = catalog_read(&list, (const char *)p->text, p->len);
                if (!status && p->asking == ASKS_LIVE && goes_nowhere(p, &list)) {
                        status = ERR_PROTO;
                        catalog_free(&list);
                }
        } else if (answered && p->asking == ASKS_ONE) { /* of this one it cannot tell, which is not to be waited for */
                status = 0;
        }
        if (list.left_out) {
                stat_add(STAT_IMPOSSIBLE_GENERATIONS, (int64_t)list.left_out);
                log_warn_of(p->id, "peer=%s msg=\"it tells of sessions with generations that there cannot be: they are left out\" sessions=%zu",
                            p->id, list.left_out);
        }
        if (!status) {
                take_list(p, &list);
                catalog_free(&list);
        } else {
                if (status != ERR_CANCELED && status != ERR_CLOSED && !p->starts)
                        log_warn("peer=%s msg=\"cannot compare\" error=\"%s\"", p->id, err_text(status));
                ask(p, ASKS_NOTHING);
        }
        p->live.spent_us += clock_mono_us() - began_us;
        if (r->stopping)
                return;
        catch_up_check_settled(r);
        catch_up_start_copies(r);
}

static void on_list(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct partner *p = arg;
        int status = err ? err : m->status;
        p->heard_us = err ? p->heard_us : clock_mono_us();
        if (!status && bytes && p->len + bytes->len <= CATALOG_MAX_BYTES) {
                p->text = mem_resize(p->text, p->len + bytes->len);
                memcpy(p->text + p->len, bytes->data, bytes->len);
                p->len += bytes->len;
        } else if (!status) {
                status = bytes ? ERR_LIMIT : ERR_PROTO;
        }
        if (status || m->flags & FETCH_COMPLETE)
                list_over(p, status, !err);
        else
                ask_list(p);
}

static void ask_list(struct partner *p)
{
        struct fetch m = {.offset = p->len, .hops = FETCH_HOPS_MAX, .wait_ms = p->asking == ASKS_ONE ? COPY_LOAD_WAIT_MS : 0};
        struct catch_up *r = p->catch_up;
        const struct live_round *live = &p->live;
        if (p->asking == ASKS_LIVE && *live->before)
                snprintf(m.key, sizeof(m.key), "/peer/live/%" PRIu64 "/%" PRIi64 "/%s", live->since, live->before_ms, live->before);
        else if (p->asking == ASKS_LIVE)
                snprintf(m.key, sizeof(m.key), "/peer/live/%" PRIu64, live->since);
        else if (p->asking == ASKS_ONE)
                snprintf(m.key, sizeof(m.key), "/peer/session/%s", p->untold[p->untold_count - 1]);
        else
                snprintf(m.key, sizeof(m.key), "/peer/ended/%" PRIu64, p->since);
        if (r->stopping || r->link->ops->fetch(r->link, p->id, &m, on_list, p))
                list_over(p, ERR_CLOSED, false);
}

void catch_up_begin_comparing(struct partner *p)
{
        struct catch_up *r = p->catch_up;
        p->asked_us = clock_mono_us();
        p->pages_left = false;
        if (r->lack_count < CATCH_UP_LACKS_MAX / 2)
                p->more = false;
        ask(p, p->more ? ASKS_LIVE : ASKS_ENDED);
}

/* The caller puts a new one on the ring. */
static struct partner *partner_of(struct catch_up *r, const char *id)
{
        struct partner *unused = NULL;
        for (size_t i = 0; i < r->partner_count; i++) {
                if (strcmp(r->partners[i].id, id) == 0)
                        return &r->partners[i];
                if (!r->partners[i].up && !r->partners[i].asking)
                        unused = &r->partners[i];
        }
        if (r->partner_count < PEERS_UP_MAX)
                unused = &r->partners[r->partner_count++];
        if (unused) {
                ring_remove(r->ring, unused->id); /* of one that has not been up for long */
                free(unused->untold);
                *unused = (struct partner){.catch_up = r};
                memcpy(unused->id, id, strlen(id) + 1);
        }
        return unused;
}

/* From here on it has to tell again what ended: it counts anew, or what it told is forgotten. */
static void read_anew(struct partner *p)
{
        p->heard_of_live = false;
        p->since = 0;
        p->live.next = 0;
        p->forgotten = true;
}

static void forget_lacks_of(struct catch_up *r, const char *peer)
{
        for (struct lack *l = r->lacks, *next; l; l = next) {
                next = l->next;
                if (!l->copy && strcmp(l->peer, peer) == 0)
                        catch_up_forget_lack(r, l);
        }
}

void catch_up_peers_changed(struct catch_up *r)
{
        struct peer_node up[PEERS_UP_MAX];
        size_t n = r->link && !r->stopping ? r->link->ops->up(r->link, up) : 0;
        for (size_t i = 0; i < r->partner_count; i++)
                r->partners[i].up = false;
        for (size_t i = 0; i < n; i++) {
                struct partner *p = partner_of(r, up[i].id);
                if (!p)
                        continue;
                p->up = true;
                ring_add(r->ring, p->id, up[i].zone, p->id);
                if (p->incarnation_us != up[i].incarnation_us) {
                        catch_up_stop_copies_of(r, p->id);
                        p->compared = false;
                        p->long_parts = false;
                        read_anew(p);
                }
                p->incarnation_us = up[i].incarnation_us;
                p->long_parts |= (up[i].can & CAN_LONG_PARTS) != 0;
        }
        for (size_t i = 0; i < r->partner_count; i++) {
                struct partner *p = &r->partners[i];
                p->compared &= p->up;
                if (!p->up) {
                        read_anew(p);
                        forget_lacks_of(r, p->id);
                }
                if (p->up && !p->compared && !p->asking)
                        catch_up_begin_comparing(p);
        }
        look_who_knows_parts(r);
}
